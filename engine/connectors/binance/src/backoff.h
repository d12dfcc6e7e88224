/* backoff.h: how long to wait before the next attempt: doubling from 250 ms to 30 s, half of it random, so
 * that hosts which lost a venue together do not return together. The venue allows 300 connections in 5
 * minutes from one address.
 */
#ifndef BINANCE_BACKOFF_H
#define BINANCE_BACKOFF_H

#include <stdint.h>

typedef struct backoff {
  uint64_t random; /* any seed but 0 */
  unsigned failures;
} backoff;

void backoff_seed(backoff *self, uint64_t seed);

/* Nanoseconds until the next attempt; counts one failure more. */
int64_t backoff_next(backoff *self);

void backoff_reset(backoff *self);

#endif
