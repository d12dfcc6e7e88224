/* Frames of a market stream. */
#include "fuzzed.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  char *text = fuzz_copy(bytes, length);
  json_doc doc;
  stream_message message;
  if (doc_parse(&doc, text, length, fuzz_tokens, FUZZ_TOKENS) && stream_read(&doc, &message)) {
    HOLDS(message.bid_e8 >= 0 && message.ask_e8 >= 0 && message.bid_quantity_e8 >= 0 &&
          message.ask_quantity_e8 >= 0);
    HOLDS(strlen(message.symbol) < sizeof message.symbol);
  }
  free(text);
  return 0;
}
