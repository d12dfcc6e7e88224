/* histogram_tool.c: record the integers of standard input; print percentiles, one a line.
 * A test holds the output against another implementation. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "histogram.h"

int main(void) {
  static histogram all;
  char line[64];
  while (fgets(line, sizeof line, stdin) != NULL) {
    histogram_record(&all, strtoll(line, NULL, 10));
  }
  static const double percents[] = {0.0, 1.0, 25.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0};
  for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
    (void)printf("%" PRId64 "\n", histogram_percentile(&all, percents[i]));
  }
  return 0;
}
