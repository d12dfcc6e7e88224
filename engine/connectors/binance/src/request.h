/* request.h: one request of the WebSocket API, written into a fixed buffer as JSON and, where it is signed
 * by itself, at the same time as the payload that is signed. No allocation.
 */
#ifndef BINANCE_REQUEST_H
#define BINANCE_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libwebsockets.h>

#include "sign.h"

#define REQUEST_MAX 1024

typedef struct api_request {
  char room[LWS_PRE + REQUEST_MAX]; /* the JSON starts at LWS_PRE */
  char payload[REQUEST_MAX];
  const char *last; /* name of the last parameter: they must come sorted */
  size_t used, payload_used;
  bool bad;
} api_request;

/* `api_key` NULL: neither key nor signature (a logged-on session). */
void request_begin(api_request *self, int64_t id, const char *method, const char *api_key);

/* Parameters, in alphabetical order of their names. */
void request_text(api_request *self, const char *name, const char *value);
void request_integer(api_request *self, const char *name, int64_t value);
void request_decimal(api_request *self, const char *name, int64_t value_e8);

/* Closes the request; `by` NULL leaves it unsigned. Returns the length of the JSON, 0 if it did not fit
 * or a parameter was out of order. */
size_t request_end(api_request *self, const signer *by);

char *request_json(api_request *self);

#endif
