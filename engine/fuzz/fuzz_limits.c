#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static limits parsed;
  char error[256] = "";
  if (limits_parse(&parsed, "fuzz", (const char *)data, size, error, sizeof error)) {
    for (size_t i = 0; i < parsed.venue_count; i++) {
      const limits_venue *bound = &parsed.venues[i];
      if (bound->max_open_orders < 1 || bound->max_open_orders > OPEN_ORDERS_MAX ||
          bound->max_position_e8 <= 0 || bound->max_daily_loss_e8 <= 0 ||
          limits_find(&parsed, bound->name) == NULL) {
        abort();
      }
    }
  } else if (error[0] == '\0') {
    abort();
  }
  return 0;
}
