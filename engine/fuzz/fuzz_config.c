#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static config parsed;
  char error[256] = "";
  if (config_parse(&parsed, "fuzz", (const char *)data, size, error, sizeof error)) {
    if (error[0] != '\0' || parsed.venue_count == 0 || parsed.venue_count > VENUES_MAX) {
      abort();
    }
    config_free(&parsed);
  } else if (error[0] == '\0') {
    abort(); /* a refusal always says why */
  }
  return 0;
}
