/* backoff.c: see backoff.h. */
#include "backoff.h"

#define BASE_NS INT64_C(250000000)
#define DOUBLINGS_MAX 7U /* 32 s, cut to LIMIT_NS */
#define LIMIT_NS INT64_C(30000000000)

void backoff_seed(backoff *self, uint64_t seed) {
  self->random = seed == 0 ? 1 : seed;
  self->failures = 0;
}

int64_t backoff_next(backoff *self) {
  const unsigned doublings = self->failures < DOUBLINGS_MAX ? self->failures : DOUBLINGS_MAX;
  self->failures++;
  int64_t whole = BASE_NS << doublings;
  if (whole > LIMIT_NS) {
    whole = LIMIT_NS;
  }
  self->random ^= self->random << 13U; /* xorshift64 */
  self->random ^= self->random >> 7U;
  self->random ^= self->random << 17U;
  return whole / 2 + (int64_t)(self->random % (uint64_t)(whole / 2));
}

void backoff_reset(backoff *self) { self->failures = 0; }
