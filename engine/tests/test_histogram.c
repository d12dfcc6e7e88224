#include "check.h"
#include "histogram.h"

static histogram all;

int main(void) {
  histogram_summary summary;
  histogram_summarise(&all, &summary);
  CHECK_EQ(summary.count, 0);
  CHECK_EQ(summary.p99, 0);
  CHECK_EQ(histogram_percentile(&all, 50.0), 0);
  for (int64_t i = 1; i <= 1000; i++) {
    histogram_record(&all, i);
  }
  histogram_summarise(&all, &summary);
  CHECK_EQ(summary.count, 1000);
  CHECK_EQ(summary.p50, 500);
  CHECK_EQ(summary.p99, 990);
  CHECK_EQ(summary.p999, 999);
  CHECK_EQ(summary.max, 1000);
  CHECK_EQ(summary.sum, 500500);
  histogram_record(&all, -5);
  histogram_record(&all, INT64_MAX);
  histogram_record(&all, INT64_MIN);
  histogram_summarise(&all, &summary);
  CHECK_EQ(summary.count, 1003);
  CHECK_EQ(summary.max, HISTOGRAM_HIGHEST);
  CHECK_EQ(histogram_percentile(&all, 0.0), 0);

  /* Every value is held to better than one part in a thousand, over the whole range. */
  for (int64_t value = 1; value <= HISTOGRAM_HIGHEST; value += 1 + value / 3) {
    histogram_init(&all);
    histogram_record(&all, value);
    const int64_t told = histogram_percentile(&all, 100.0);
    CHECK(told >= value && (double)(told - value) <= (double)value / 1000.0);
    histogram_summarise(&all, &summary);
    CHECK_EQ(summary.p50, value); /* held by the largest sample */
  }
  return 0;
}
