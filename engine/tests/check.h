/* check.h: assertions that stay on in every build and say what they saw. */
#ifndef SLIPWAY_CHECK_H
#define SLIPWAY_CHECK_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                     \
  do {                                                                                                       \
    if (!(condition)) {                                                                                      \
      (void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                          \
      exit(1);                                                                                               \
    }                                                                                                        \
  } while (0)

#define CHECK_EQ(found, wanted)                                                                              \
  do {                                                                                                       \
    const int64_t found_ = (int64_t)(found);                                                                 \
    const int64_t wanted_ = (int64_t)(wanted);                                                               \
    if (found_ != wanted_) {                                                                                 \
      (void)fprintf(stderr, "%s:%d: %s: found %" PRId64 ", wanted %" PRId64 "\n", __FILE__, __LINE__,        \
                    #found, found_, wanted_);                                                                \
      exit(1);                                                                                               \
    }                                                                                                        \
  } while (0)

#define CHECK_HAS(text, part)                                                                                \
  do {                                                                                                       \
    if (strstr((text), (part)) == NULL) {                                                                    \
      (void)fprintf(stderr, "%s:%d: \"%s\" lacks \"%s\"\n", __FILE__, __LINE__, (text), (part));             \
      exit(1);                                                                                               \
    }                                                                                                        \
  } while (0)

#endif
