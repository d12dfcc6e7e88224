/* settings.h: the connector's own settings (a closed JSON schema), instruments and credentials, checked
 * together: a key, a host or an account of one mode never meets another mode.
 */
#ifndef BINANCE_SETTINGS_H
#define BINANCE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker_interface.h"
#include "sign.h"

#define ENDPOINT_HOST_MAX 128
#define ENDPOINT_PATH_MAX 128
#define API_KEY_MAX 129
#define INSTRUMENT_MAX 32

typedef struct endpoint {
  char host[ENDPOINT_HOST_MAX];
  char path[ENDPOINT_PATH_MAX]; /* without a trailing '/'; "" for the root */
  uint16_t port;
  bool tls;
} endpoint;

typedef struct binance_settings {
  endpoint rest, ws_api, streams;
  int64_t recv_window_ms;
  int64_t clock_bound_ms;
  int64_t rollover_ns;
  signer_kind key_type;
} binance_settings;

typedef struct binance_credentials {
  char api_key[API_KEY_MAX];
  signer *signer;
} binance_credentials;

/* All return 0, or -1 with `error` naming the key or file, what was found and what is allowed. */
int settings_read(binance_settings *out, const broker_config *config, char *error, size_t error_size);
int settings_check_instruments(const broker_config *config, char *error, size_t error_size);
int credentials_read(binance_credentials *out, const binance_settings *from, const char *directory,
                     char *error, size_t error_size);

/* Wipes. */
void credentials_clear(binance_credentials *self);

#endif
