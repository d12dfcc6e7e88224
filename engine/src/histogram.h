/* histogram.h: latencies in nanoseconds in HdrHistogram's bucket layout, three significant digits.
 *
 * One thread records, any thread may read: counts are relaxed atomics, so a reader sees a histogram
 * that is at most a few samples behind. Nothing is allocated.
 */
#ifndef SLIPWAY_HISTOGRAM_H
#define SLIPWAY_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define HISTOGRAM_HIGHEST INT64_C(60000000000) /* 60 s; longer ones are recorded as this */
#define HISTOGRAM_COUNTS (27 * 1024)

typedef struct histogram {
  _Atomic uint64_t counts[HISTOGRAM_COUNTS];
  _Atomic int64_t max;
  _Atomic int64_t sum;
} histogram;

typedef struct histogram_summary {
  uint64_t count;
  int64_t p50, p99, p999, max, sum; /* nanoseconds; 0 while count is 0 */
} histogram_summary;

void histogram_init(histogram *self);
/* Negative values count as 0. */
void histogram_record(histogram *self, int64_t value);
/* The value below which `percent` (0 to 100) of the samples lie, to three digits. 0 when empty. */
int64_t histogram_percentile(const histogram *self, double percent);
void histogram_summarise(const histogram *self, histogram_summary *summary);

#endif
