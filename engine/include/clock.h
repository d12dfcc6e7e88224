/* clock.h: the two clocks, in nanoseconds. Monotonic for durations, wall (real) for what others see. */
#ifndef SLIPWAY_CLOCK_H
#define SLIPWAY_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_US INT64_C(1000)

static inline int64_t clock_read_ns(clockid_t id) {
  struct timespec now;
  (void)clock_gettime(id, &now); /* cannot fail for the two clocks below */
  return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static inline int64_t clock_mono_ns(void) { return clock_read_ns(CLOCK_MONOTONIC); }
static inline int64_t clock_wall_ns(void) { return clock_read_ns(CLOCK_REALTIME); }

#endif
