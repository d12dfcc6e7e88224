/* What the venue sends, from its own documents, and spoilt. */
#include "cases.h"

#include <stdbool.h>
#include <string.h>

#include "messages.h"

#define TOKENS 4096

static jsmntok_t tokens[TOKENS];

static bool read_api(const char *text, json_doc *doc, api_message *out) {
  return doc_parse(doc, text, strlen(text), tokens, TOKENS) && api_read(doc, out);
}

static const char execution[] =
    "{\"subscriptionId\":0,\"event\":{\"e\":\"executionReport\",\"E\":1499405658658,\"s\":\"ETHBTC\","
    "\"c\":\"slw-00000000000000ff\",\"S\":\"BUY\",\"o\":\"LIMIT\",\"f\":\"GTC\",\"q\":\"1.00000000\","
    "\"p\":\"0.10264410\",\"P\":\"0.00000000\",\"F\":\"0.00000000\",\"g\":-1,\"C\":\"\",\"x\":\"TRADE\","
    "\"X\":\"PARTIALLY_FILLED\",\"r\":\"NONE\",\"i\":4293153,\"l\":\"0.25000000\",\"z\":\"0.50000000\","
    "\"L\":\"0.10264000\",\"n\":\"0.00002566\",\"N\":\"BTC\",\"T\":1499405658657,\"t\":12,\"v\":3,\"I\":"
    "8641984,"
    "\"w\":true,\"m\":false,\"M\":false,\"O\":1499405658657,\"Z\":\"0.05132000\",\"Y\":\"0.02566000\","
    "\"Q\":\"0.00000000\",\"W\":1499405658657,\"V\":\"NONE\"}}";

static void an_execution(void **state) {
  (void)state;
  json_doc doc;
  api_message message;
  assert_true(read_api(execution, &doc, &message));
  assert_int_equal(message.kind, API_EXECUTION);
  assert_string_equal(message.execution.symbol, "ETHBTC");
  assert_string_equal(message.execution.client, "slw-00000000000000ff");
  assert_string_equal(message.execution.type, "TRADE");
  assert_string_equal(message.execution.fee_asset, "BTC");
  assert_int_equal(message.execution.status, STATUS_PARTIALLY_FILLED);
  assert_int_equal(message.execution.venue_id, 4293153);
  assert_int_equal(message.execution.last_e8, 25000000);
  assert_int_equal(message.execution.last_price_e8, 10264000);
  assert_int_equal(message.execution.executed_e8, 50000000);
  assert_int_equal(message.execution.quote_e8, 5132000);
  assert_int_equal(message.execution.fee_e8, 2566);
}

/* Replaces the first `from` in the sample. */
static const char *with(const char *sample, const char *from, const char *to) {
  static char out[4096];
  const char *at = strstr(sample, from);
  assert_non_null(at);
  const size_t before = (size_t)(at - sample);
  memcpy(out, sample, before);
  strcpy(out + before, to);
  strcat(out, at + strlen(from));
  return out;
}

static void a_cancel_keeps_the_order_s_own_id(void **state) {
  (void)state;
  json_doc doc;
  api_message message;
  assert_true(read_api(with(execution, "\"C\":\"\"", "\"C\":\"slw-0000000000000001\""), &doc, &message));
  assert_string_equal(message.execution.client, "slw-0000000000000001");
}

static void no_fee_is_no_fee(void **state) {
  (void)state;
  json_doc doc;
  api_message message;
  assert_true(read_api(with(execution, "\"N\":\"BTC\"", "\"N\":null"), &doc, &message));
  assert_string_equal(message.execution.fee_asset, "");
  assert_int_equal(message.execution.fee_e8, 0);
}

static void a_spoilt_execution_is_refused(void **state) {
  (void)state;
  static const char *const spoilt[][2] = {{"\"z\":\"0.50000000\"", "\"z\":\"-0.5\""},
                                          {"\"z\":\"0.50000000\"", "\"z\":\"0.5x\""},
                                          {"\"z\":\"0.50000000\"", "\"zz\":\"0.5\""},
                                          {"\"i\":4293153", "\"i\":\"4293153\""},
                                          {"\"i\":4293153", "\"i\":-4"},
                                          {"\"s\":\"ETHBTC\"", "\"s\":null"},
                                          {"\"L\":\"0.10264000\"", "\"L\":\"1e2\""},
                                          {"\"n\":\"0.00002566\"", "\"n\":\"?\""},
                                          {"\"x\":\"TRADE\"", "\"x\":\"TRADETRADETRADETRADETRADE\""}};
  json_doc doc;
  api_message message;
  for (size_t i = 0; i < sizeof spoilt / sizeof spoilt[0]; i++) {
    if (read_api(with(execution, spoilt[i][0], spoilt[i][1]), &doc, &message)) {
      fail_msg("taken: %s", spoilt[i][1]);
    }
  }
  /* A status that we do not know is no end of an order. */
  assert_true(read_api(with(execution, "PARTIALLY_FILLED", "SOMETHING_NEW"), &doc, &message));
  assert_int_equal(message.execution.status, STATUS_OTHER);
}

static void answers(void **state) {
  (void)state;
  json_doc doc;
  api_message message;
  order_report report;
  assert_true(read_api("{\"id\":7,\"status\":200,\"result\":{\"symbol\":\"BTCUSDT\",\"orderId\":12510053279,"
                       "\"orderListId\":-1,\"clientOrderId\":\"slw-000000000000000a\",\"transactTime\":1},"
                       "\"rateLimits\":[]}",
                       &doc, &message));
  assert_int_equal(message.kind, API_RESPONSE);
  assert_true(message.has_id);
  assert_int_equal(message.id, 7);
  assert_int_equal(message.code, 0);
  assert_true(order_report_read(&doc, message.result, &report));
  assert_true(report.venue_id == INT64_C(12510053279));
  assert_int_equal(report.quote_e8, -1);

  assert_true(
      read_api("{\"id\":8,\"status\":418,\"error\":{\"code\":-1003,\"msg\":\"Way too much\",\"data\":{"
               "\"serverTime\":1659142907531,\"retryAfter\":1659146400000}}}",
               &doc, &message));
  assert_int_equal(message.code, -1003);
  assert_string_equal(message.text, "Way too much");
  assert_true(message.retry_after_ms == INT64_C(1659146400000));

  /* A session that the venue revoked. */
  assert_true(read_api("{\"id\":null,\"status\":401,\"error\":{\"code\":-2015,\"msg\":\"Invalid API-key\"}}",
                       &doc, &message));
  assert_false(message.has_id);
  assert_int_equal(message.code, -2015);

  static const char *const bad[] = {"{}",
                                    "[]",
                                    "{\"id\":1}",
                                    "{\"id\":1,\"status\":200}",
                                    "{\"id\":1,\"status\":\"200\",\"result\":{}}",
                                    "{\"id\":1,\"status\":99,\"result\":{}}",
                                    "{\"id\":1,\"status\":400,\"error\":{}}",
                                    "{\"id\":1,\"status\":400,\"error\":\"x\"}",
                                    "{\"event\":{}}",
                                    "{\"event\":[]}"};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    if (read_api(bad[i], &doc, &message)) {
      fail_msg("taken: %s", bad[i]);
    }
  }
}

static void events(void **state) {
  (void)state;
  json_doc doc;
  api_message message;
  assert_true(read_api("{\"event\":{\"e\":\"serverShutdown\",\"E\":1770123456789}}", &doc, &message));
  assert_int_equal(message.kind, API_SHUTDOWN);
  assert_true(
      read_api("{\"subscriptionId\":0,\"event\":{\"e\":\"eventStreamTerminated\",\"E\":1}}", &doc, &message));
  assert_int_equal(message.kind, API_TERMINATED);
  assert_true(read_api("{\"subscriptionId\":0,\"event\":{\"e\":\"balanceUpdate\",\"E\":1}}", &doc, &message));
  assert_int_equal(message.kind, API_EVENT);
}

static void an_order_of_someone_else(void **state) {
  (void)state;
  json_doc doc;
  order_report report;
  static const char text[] =
      "[{\"symbol\":\"BTCUSDT\",\"orderId\":5,\"clientOrderId\":\"a\\\"b\",\"status\":\"NEW\","
      "\"executedQty\":\"0.1\",\"cummulativeQuoteQty\":\"-1.0\"}]";
  assert_true(doc_parse(&doc, text, strlen(text), tokens, TOKENS));
  assert_true(order_report_read(&doc, doc_first(&doc, 0), &report));
  assert_string_equal(report.client, "");
  assert_int_equal(report.quote_e8, -1);
  assert_int_equal(report.executed_e8, 10000000);
  assert_false(order_report_read(&doc, 0, &report));
}

static bool read_stream(const char *text, stream_message *out) {
  json_doc doc;
  return doc_parse(&doc, text, strlen(text), tokens, TOKENS) && stream_read(&doc, out);
}

static void book_ticker(void **state) {
  (void)state;
  stream_message message;
  assert_true(
      read_stream("{\"stream\":\"bnbusdt@bookTicker\",\"data\":{\"u\":400900217,\"s\":\"BNBUSDT\","
                  "\"b\":\"25.35190000\",\"B\":\"31.21000000\",\"a\":\"25.36520000\",\"A\":\"40.66000000\"}}",
                  &message));
  assert_int_equal(message.kind, STREAM_BOOK);
  assert_string_equal(message.symbol, "BNBUSDT");
  assert_true(message.bid_e8 == INT64_C(2535190000) && message.ask_e8 == INT64_C(2536520000));
  assert_true(message.bid_quantity_e8 == INT64_C(3121000000) &&
              message.ask_quantity_e8 == INT64_C(4066000000));
  assert_int_equal(message.update_id, 400900217);
  assert_true(
      read_stream("{\"stream\":\"!serverShutdown\",\"data\":{\"e\":\"serverShutdown\",\"E\":1}}", &message));
  assert_int_equal(message.kind, STREAM_SHUTDOWN);
  assert_true(read_stream("{\"e\":\"serverShutdown\",\"E\":1}", &message));
  assert_int_equal(message.kind, STREAM_SHUTDOWN);
  assert_false(read_stream("{\"stream\":\"x\",\"data\":[]}", &message));
  assert_false(
      read_stream("{\"u\":1,\"s\":\"B\",\"b\":\"-1\",\"B\":\"1\",\"a\":\"1\",\"A\":\"1\"}", &message));
  assert_false(read_stream("{\"u\":1,\"s\":\"B\",\"b\":\"1\",\"B\":\"1\",\"a\":\"1\"}", &message));
  assert_false(read_stream("[1]", &message));
}

static bool read_time(const char *text, int64_t *ms) {
  json_doc doc;
  return doc_parse(&doc, text, strlen(text), tokens, TOKENS) && time_read(&doc, ms);
}

static void server_time(void **state) {
  (void)state;
  int64_t ms = 0;
  assert_true(read_time("{\"serverTime\":1499827319559}", &ms));
  assert_true(ms == INT64_C(1499827319559));
  assert_false(read_time("{\"serverTime\":1499827319559000}", &ms)); /* microseconds */
  assert_false(read_time("{\"serverTime\":-1}", &ms));
  assert_false(read_time("{\"serverTime\":\"1499827319559\"}", &ms));
  assert_false(read_time("{}", &ms));
}

static const char info[] =
    "{\"timezone\":\"UTC\",\"serverTime\":1,\"rateLimits\":[],\"exchangeFilters\":[],\"symbols\":["
    "{\"symbol\":\"OTHER\",\"status\":\"BREAK\",\"quoteAsset\":\"X\",\"filters\":[]},"
    "{\"symbol\":\"BTCUSDT\",\"status\":\"TRADING\",\"baseAsset\":\"BTC\",\"quoteAsset\":\"USDT\","
    "\"isSpotTradingAllowed\":true,\"orderTypes\":[\"LIMIT\"],\"filters\":["
    "{\"filterType\":\"PRICE_FILTER\",\"minPrice\":\"0.01000000\",\"maxPrice\":\"1000000.00000000\","
    "\"tickSize\":"
    "\"0.01000000\"},"
    "{\"filterType\":\"LOT_SIZE\",\"minQty\":\"0.00001000\",\"maxQty\":\"99999999999999.00000000\","
    "\"stepSize\":"
    "\"0.00001000\"},"
    "{\"filterType\":\"ICEBERG_PARTS\",\"limit\":10},"
    "{\"filterType\":\"NOTIONAL\",\"minNotional\":\"5.00000000\",\"applyMinToMarket\":true,\"maxNotional\":"
    "\"9000000.00000000\"},{\"filterType\":\"MAX_NUM_ORDERS\",\"maxNumOrders\":200}],\"permissions\":[]}]}";

static bool read_info(const char *text, rules *out) {
  json_doc doc;
  return doc_parse(&doc, text, strlen(text), tokens, TOKENS) && exchange_info_read(&doc, "BTCUSDT", out);
}

static void exchange_info(void **state) {
  (void)state;
  rules found;
  assert_true(read_info(info, &found));
  assert_true(found.known && found.trading);
  assert_string_equal(found.quote_asset, "USDT");
  assert_int_equal(found.tick, 1000000);
  assert_int_equal(found.lot, 1000);
  assert_true(found.quantity_max == INT64_MAX);
  assert_int_equal(found.notional_min, 500000000);
  assert_int_equal(found.orders_max, 200);
  assert_true(read_info(with(info, "\"TRADING\"", "\"CANCEL_ONLY\""), &found));
  assert_false(found.trading);
  assert_true(read_info(with(info, "Allowed\":true", "Allowed\":false"), &found));
  assert_false(found.trading);
  static const char *const spoilt[][2] = {{"\"tickSize\":\"0.01000000\"", "\"tickSize\":\"-0.01\""},
                                          {"\"tickSize\":\"0.01000000\"", "\"tickSize\":\"0.000000001\""},
                                          {"\"minQty\":\"0.00001000\"", "\"min\":\"1\""},
                                          {"\"maxNumOrders\":200", "\"maxNumOrders\":\"200\""},
                                          {"\"minNotional\":\"5.00000000\"", "\"minNotional\":{}"},
                                          {"\"symbol\":\"BTCUSDT\"", "\"symbol\":\"BTCUSDC\""},
                                          {"\"quoteAsset\":\"USDT\"", "\"quoteAsset\":null"}};
  for (size_t i = 0; i < sizeof spoilt / sizeof spoilt[0]; i++) {
    if (read_info(with(info, spoilt[i][0], spoilt[i][1]), &found)) {
      fail_msg("taken: %s", spoilt[i][1]);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_execution),     cmocka_unit_test(a_cancel_keeps_the_order_s_own_id),
      cmocka_unit_test(no_fee_is_no_fee), cmocka_unit_test(a_spoilt_execution_is_refused),
      cmocka_unit_test(answers),          cmocka_unit_test(events),
      cmocka_unit_test(book_ticker),      cmocka_unit_test(an_order_of_someone_else),
      cmocka_unit_test(server_time),      cmocka_unit_test(exchange_info),
  };
  return cmocka_run_group_tests_name("messages", tests, NULL, NULL);
}
