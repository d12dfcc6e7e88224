/* fuzzed.h: what every fuzz target shares. */
#ifndef BINANCE_FUZZED_H
#define BINANCE_FUZZED_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "messages.h"

#define FUZZ_TOKENS 2048

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* A property that must hold whatever came in. */
#define HOLDS(condition)                                                                                     \
  do {                                                                                                       \
    if (!(condition)) {                                                                                      \
      abort();                                                                                               \
    }                                                                                                        \
  } while (0)

static jsmntok_t fuzz_tokens[FUZZ_TOKENS];

/* The text lies in memory of its own size, so that reading one byte too many is seen. */
static inline char *fuzz_copy(const uint8_t *bytes, size_t length) {
  char *text = malloc(length == 0 ? 1 : length);
  HOLDS(text != NULL);
  memcpy(text, bytes, length);
  return text;
}

#endif
