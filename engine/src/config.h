/* config.h: engine.json, read with a closed schema. */
#ifndef SLIPWAY_CONFIG_H
#define SLIPWAY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker_interface.h"
#include "digest.h"

#define CONFIG_VERSION 1 /* a file of any other version is refused */
#define VENUES_MAX 8
#define INSTRUMENTS_MAX 16
#define NAME_MAX_TEXT 32
#define PATH_MAX_CONFIG 256
#define SOCKET_PATH_MAX 108 /* sun_path */

typedef enum loop_policy { LOOP_BUSY = 0, LOOP_PACED = 1 } loop_policy;
typedef enum connector_kind { CONNECTOR_LIBRARY = 0, CONNECTOR_PROCESS = 1 } connector_kind;

typedef struct paper_quote_parameters {
  int64_t spread_bps;  /* full width around the mid */
  int64_t quantity_e8; /* of each quote, a multiple of every instrument's lot */
  int64_t requote_ms;
  int64_t take_every; /* every nth cycle crosses the spread; 0 never */
} paper_quote_parameters;

typedef struct config_venue {
  char name[NAME_MAX_TEXT];
  connector_kind kind;
  char connector[PATH_MAX_CONFIG]; /* library: relative to the release root; process: socket path */
  char *settings_json;             /* owned; compact text of "settings" */
  broker_instrument instruments[INSTRUMENTS_MAX];
  uint16_t instrument_count;
  paper_quote_parameters strategy;
} config_venue;

typedef struct config {
  char sha256[DIGEST_HEX]; /* of the file's bytes */
  char mode[NAME_MAX_TEXT];
  char host[64];
  loop_policy policy;
  int64_t pace_us;
  int cpu; /* -1: not pinned */
  char permit[PATH_MAX_CONFIG];
  char limits[PATH_MAX_CONFIG];
  char latch[PATH_MAX_CONFIG];
  char control_socket[SOCKET_PATH_MAX];
  char metrics_address[46];
  uint16_t metrics_port;
  config_venue venues[VENUES_MAX];
  size_t venue_count;
} config;

/* Parse bytes; `file` is for messages. On failure false, `error` filled, nothing to free. */
bool config_parse(config *self, const char *file, const char *bytes, size_t length, char *error,
                  size_t error_size);
bool config_load(config *self, const char *file, char *error, size_t error_size);
void config_free(config *self);

/* The venue as its connector sees it; points into `self`. */
broker_config config_broker(const config *self, size_t venue, const char *credentials_directory);

#endif
