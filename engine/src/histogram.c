/* histogram.c: see histogram.h.
 *
 * 2048 sub-buckets hold 0..2047 exactly; each further bucket of 1024 covers twice the range at half
 * the resolution, which keeps every value to better than one part in 1024.
 */
#include "histogram.h"

#include <string.h>

#define HALF_BITS 10
#define HALF (1 << HALF_BITS)
#define SUB_BUCKETS (2 * HALF)
#define SUB_BITS (HALF_BITS + 1)

static unsigned index_of(uint64_t value) {
  const unsigned bits = 64U - (unsigned)__builtin_clzll(value | (SUB_BUCKETS - 1));
  const unsigned bucket = bits - SUB_BITS;
  const unsigned sub = (unsigned)(value >> bucket);
  return ((bucket + 1) << HALF_BITS) + sub - HALF;
}

/* The largest value that falls into this count. */
static int64_t highest_of(unsigned index) {
  unsigned bucket = index >> HALF_BITS;
  uint64_t sub = (index & (HALF - 1)) + HALF;
  if (bucket == 0) {
    sub -= HALF;
  } else {
    bucket--;
  }
  return (int64_t)(((sub + 1) << bucket) - 1);
}

void histogram_init(histogram *self) { memset(self, 0, sizeof *self); }

void histogram_record(histogram *self, int64_t value) {
  if (value < 0) {
    value = 0;
  } else if (value > HISTOGRAM_HIGHEST) {
    value = HISTOGRAM_HIGHEST;
  }
  _Atomic uint64_t *count = &self->counts[index_of((uint64_t)value)];
  atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_relaxed);
  if (value > atomic_load_explicit(&self->max, memory_order_relaxed)) {
    atomic_store_explicit(&self->max, value, memory_order_relaxed);
  }
  atomic_store_explicit(&self->sum, atomic_load_explicit(&self->sum, memory_order_relaxed) + value,
                        memory_order_relaxed);
}

static uint64_t total_of(const histogram *self) {
  uint64_t total = 0;
  for (unsigned i = 0; i < HISTOGRAM_COUNTS; i++) {
    total += atomic_load_explicit(&self->counts[i], memory_order_relaxed);
  }
  return total;
}

static int64_t at_percentile(const histogram *self, double percent, uint64_t total) {
  uint64_t wanted = (uint64_t)(percent * (double)total / 100.0 + 0.5);
  if (wanted == 0) {
    wanted = 1;
  }
  uint64_t seen = 0;
  for (unsigned i = 0; i < HISTOGRAM_COUNTS; i++) {
    seen += atomic_load_explicit(&self->counts[i], memory_order_relaxed);
    if (seen >= wanted) {
      return highest_of(i);
    }
  }
  return atomic_load_explicit(&self->max, memory_order_relaxed);
}

int64_t histogram_percentile(const histogram *self, double percent) {
  const uint64_t total = total_of(self);
  return total == 0 ? 0 : at_percentile(self, percent, total);
}

static int64_t at_most(int64_t value, int64_t bound) { return value < bound ? value : bound; }

void histogram_summarise(const histogram *self, histogram_summary *summary) {
  memset(summary, 0, sizeof *summary);
  summary->count = total_of(self);
  if (summary->count == 0) {
    return;
  }
  summary->max = atomic_load_explicit(&self->max, memory_order_relaxed);
  /* A percentile is the upper edge of its bucket; no sample lies above the largest. */
  summary->p50 = at_most(at_percentile(self, 50.0, summary->count), summary->max);
  summary->p99 = at_most(at_percentile(self, 99.0, summary->count), summary->max);
  summary->p999 = at_most(at_percentile(self, 99.9, summary->count), summary->max);
  summary->sum = atomic_load_explicit(&self->sum, memory_order_relaxed);
}
