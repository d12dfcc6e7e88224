/* The rules document, and what is done with rules: whatever they are, checking an order is safe. */
#include "fuzzed.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  char *text = fuzz_copy(bytes, length);
  json_doc doc;
  rules found;
  if (doc_parse(&doc, text, length, fuzz_tokens, FUZZ_TOKENS) &&
      exchange_info_read(&doc, "BTCUSDT", &found)) {
    static const int64_t values[] = {INT64_MIN, -1, 0, 1, 1000, INT64_C(9000000000000), INT64_MAX};
    const broker_instrument item = {.symbol = "BTCUSDT", .tick_e8 = 1, .lot_e8 = INT64_MAX};
    char why[SLIPWAY_TEXT_MAX];
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
      for (size_t j = 0; j < sizeof values / sizeof values[0]; j++) {
        const broker_order order = {.client_id = 1, .price_e8 = values[i], .quantity_e8 = values[j]};
        if (rules_allow(&found, &order, 3, why, sizeof why)) {
          HOLDS(values[i] > 0 && values[j] > 0);
        }
      }
    }
    (void)rules_match(&found, &item, why, sizeof why);
  }
  free(text);
  return 0;
}
