/* rest.h: one REST request at a time over libcurl's multi interface, never waiting. */
#ifndef BINANCE_REST_H
#define BINANCE_REST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <curl/curl.h>

#include "resolver.h"
#include "settings.h"

#define REST_BODY_MAX (1U << 20U)
#define REST_TARGET_MAX 2048

typedef struct rest_answer {
  long http_status; /* 0: no answer, see `error` */
  int64_t retry_after_s;
  const char *body;
  size_t length;
  int64_t received_ms;   /* CLOCK_REALTIME */
  int64_t round_trip_ms; /* of the request alone, without connecting */
  const char *error;
} rest_answer;

typedef struct rest rest;

typedef void (*rest_done)(void *owner, const rest_answer *answer);

/* NULL when out of memory. `to` and `names` must outlive it. */
rest *rest_create(const endpoint *to, resolver *names, unsigned slot);
void rest_destroy(rest *self);

bool rest_busy(const rest *self);

/* Starts a request for `target` (path with query) under the endpoint's base. `method` is GET or DELETE;
 * `api_key` NULL for public data. False while one is running. */
bool rest_start(rest *self, const char *method, const char *target, const char *api_key, rest_done done,
                void *owner);

/* Moves the request on; calls `done` at its end. */
void rest_step(rest *self);

#endif
