/* Frames of the WebSocket API: answers, lists of orders, executionReports. */
#include "fuzzed.h"

#include "orders.h"

static void check_client(const char *client) {
  uint64_t id = 0;
  char text[CLIENT_TEXT_MAX];
  if (client_parse(client, &id)) {
    (void)client_text(id, text);
    HOLDS(strcmp(text, client) == 0);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length) {
  char *text = fuzz_copy(bytes, length);
  json_doc doc;
  api_message message;
  if (doc_parse(&doc, text, length, fuzz_tokens, FUZZ_TOKENS) && api_read(&doc, &message)) {
    if (message.kind == API_EXECUTION) {
      const execution_report *event = &message.execution;
      HOLDS(event->executed_e8 >= 0 && event->quote_e8 >= 0 && event->last_e8 >= 0 && event->venue_id >= 0);
      check_client(event->client);
    }
    if (message.kind == API_RESPONSE) {
      order_report report;
      HOLDS(message.status >= 100 && message.status <= 599 && message.retry_after_ms >= 0);
      (void)order_report_read(&doc, message.result, &report);
      int elements = 0;
      for (int at = doc_first(&doc, message.result); at != DOC_NONE;
           at = doc_after(&doc, message.result, at)) {
        HOLDS(++elements < FUZZ_TOKENS);
        if (order_report_read(&doc, at, &report)) {
          HOLDS(report.venue_id >= 0 && report.executed_e8 >= 0 && report.quote_e8 >= -1);
          check_client(report.client);
        }
      }
    }
  }
  free(text);
  return 0;
}
