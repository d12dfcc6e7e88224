/* REST: the time, the account, and error bodies. */
#include "fuzzed.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  char *text = fuzz_copy(bytes, length);
  json_doc doc;
  if (doc_parse(&doc, text, length, fuzz_tokens, FUZZ_TOKENS)) {
    int64_t value = 0;
    char error[40];
    bool can_trade = false;
    if (time_read(&doc, &value)) {
      HOLDS(value > 0);
    }
    if (rest_error_read(&doc, &value, error, sizeof error)) {
      for (const char *c = error; *c != '\0'; c++) {
        HOLDS(*c >= ' ' && *c <= '~');
      }
    }
    (void)doc_boolean(&doc, doc_member(&doc, 0, "canTrade"), &can_trade);
  }
  free(text);
  return 0;
}
