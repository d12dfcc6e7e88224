/* Requests: their JSON, the order of their parameters, what is signed, and what does not fit. */
#include "cases.h"

#include <string.h>

#include "request.h"

#define API_KEY "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
#define SECRET "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"

static api_request request;
static char error[128];

static const char *text(size_t length) {
  request_json(&request)[length] = '\0';
  return request_json(&request);
}

/* The venue's own sample of a signed order. */
static void the_published_order(void **state) {
  (void)state;
  signer *by = signer_hmac(SECRET, strlen(SECRET), error, sizeof error);
  request_begin(&request, 9, "order.place", API_KEY);
  request_text(&request, "price", "52000.00");
  request_text(&request, "quantity", "0.01000000");
  request_integer(&request, "recvWindow", 100);
  request_text(&request, "side", "SELL");
  request_text(&request, "symbol", "BTCUSDT");
  request_text(&request, "timeInForce", "GTC");
  request_integer(&request, "timestamp", INT64_C(1645423376532));
  request_text(&request, "type", "LIMIT");
  const size_t length = request_end(&request, by);
  assert_string_equal(text(length),
                      "{\"id\":9,\"method\":\"order.place\",\"params\":{\"apiKey\":\"" API_KEY
                      "\",\"price\":\"52000.00\","
                      "\"quantity\":\"0.01000000\",\"recvWindow\":100,\"side\":\"SELL\",\"symbol\":"
                      "\"BTCUSDT\",\"timeInForce\":"
                      "\"GTC\",\"timestamp\":1645423376532,\"type\":\"LIMIT\","
                      "\"signature\":\"aa1b5712c094bc4e57c05a1a5c1fd8d88dcd628338ea863fec7b88e59fe2db24\"}}");
  signer_free(by);
}

static void without_parameters(void **state) {
  (void)state;
  request_begin(&request, INT64_MIN, "userDataStream.subscribe", NULL);
  assert_string_equal(text(request_end(&request, NULL)),
                      "{\"id\":-9223372036854775808,\"method\":\"userDataStream.subscribe\",\"params\":{}}");
}

static void amounts_are_exact(void **state) {
  (void)state;
  request_begin(&request, 1, "m", NULL);
  request_decimal(&request, "a", 1);
  request_decimal(&request, "b", INT64_C(9000000000000));
  request_decimal(&request, "c", INT64_MAX);
  assert_string_equal(text(request_end(&request, NULL)),
                      "{\"id\":1,\"method\":\"m\",\"params\":{\"a\":\"0.00000001\",\"b\":\"90000\","
                      "\"c\":\"92233720368.54775807\"}}");
}

static void unsorted_parameters_are_refused(void **state) {
  (void)state;
  request_begin(&request, 1, "m", NULL);
  request_text(&request, "b", "1");
  request_text(&request, "a", "1");
  assert_int_equal(request_end(&request, NULL), 0);
  request_begin(&request, 1, "m", NULL);
  request_text(&request, "a", "1");
  request_text(&request, "a", "2");
  assert_int_equal(request_end(&request, NULL), 0);
}

static void what_does_not_fit_is_refused(void **state) {
  (void)state;
  char value[REQUEST_MAX];
  memset(value, 'v', sizeof value);
  for (size_t length = REQUEST_MAX - 100; length < REQUEST_MAX; length++) {
    value[length] = '\0';
    request_begin(&request, 1, "m", NULL);
    request_text(&request, "a", value);
    const size_t written = request_end(&request, NULL);
    assert_true(written < REQUEST_MAX);
    value[length] = 'v';
  }
  assert_int_equal(request_end(&request, NULL), 0);
  request_begin(&request, 1, "m", NULL); /* and the next one is well again */
  assert_true(request_end(&request, NULL) > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_published_order),
      cmocka_unit_test(without_parameters),
      cmocka_unit_test(amounts_are_exact),
      cmocka_unit_test(unsorted_parameters_are_refused),
      cmocka_unit_test(what_does_not_fit_is_refused),
  };
  return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
