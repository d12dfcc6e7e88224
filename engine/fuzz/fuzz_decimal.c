#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "decimal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int64_t value = 0;
  int64_t again = 0;
  char text[DECIMAL_TEXT_MAX];
  if (decimal_parse_n((const char *)data, size, &value) == DECIMAL_OK) {
    const size_t length = decimal_format(value, text, sizeof text);
    if (length == 0 || decimal_parse(text, &again) != DECIMAL_OK || again != value) {
      abort();
    }
  }
  return 0;
}
