/* The venue's filters, at and beside each of their bounds. */
#include "cases.h"

#include <string.h>

#include "rules.h"

#define E8 SLIPWAY_SCALE

static rules btc(void) {
  rules found = {.known = true,
                 .trading = true,
                 .tick = E8 / 100,
                 .price_min = E8 / 100,
                 .price_max = 1000000 * E8,
                 .lot = 1000,
                 .quantity_min = 1000,
                 .quantity_max = 9000 * E8,
                 .notional_min = 5 * E8,
                 .notional_max = 9000000 * E8,
                 .orders_max = 200};
  strcpy(found.status, "TRADING");
  return found;
}

static char why[160];

static bool allowed(const rules *self, int64_t price, int64_t quantity, unsigned open) {
  const broker_order order = {.client_id = 1, .price_e8 = price, .quantity_e8 = quantity, .side = BROKER_BUY};
  why[0] = '\0';
  return rules_allow(self, &order, open, why, sizeof why);
}

static void expect(const rules *self, int64_t price, int64_t quantity, unsigned open, const char *filter) {
  assert_false(allowed(self, price, quantity, open));
  if (strstr(why, filter) == NULL) {
    fail_msg("'%s' does not name %s", why, filter);
  }
}

static void bounds(void **state) {
  (void)state;
  const rules self = btc();
  assert_true(allowed(&self, 90000 * E8, E8 / 1000, 0));
  expect(&self, 90000 * E8 + 1, E8 / 1000, 0, "PRICE_FILTER");
  expect(&self, 1000000 * E8 + E8 / 100, E8 / 1000, 0, "at most 1000000");
  assert_true(allowed(&self, 1000000 * E8, E8 / 1000, 0));
  expect(&self, 0, E8, 0, "price");
  expect(&self, -E8, E8, 0, "price");
  expect(&self, E8, 0, 0, "quantity");
  expect(&self, 90000 * E8, E8 / 1000 + 1, 0, "LOT_SIZE");
  expect(&self, E8, 9001 * E8, 0, "LOT_SIZE");
  assert_true(allowed(&self, E8, 9000 * E8, 0));
  assert_true(allowed(&self, 5 * E8, E8, 0)); /* exactly the least value */
  expect(&self, 5 * E8 - E8 / 100, E8, 0, "NOTIONAL");
  expect(&self, 1000000 * E8, 9 * E8 + 1000, 0, "NOTIONAL");
  assert_true(allowed(&self, 1000000 * E8, 9 * E8, 0));
  assert_true(allowed(&self, 90000 * E8, E8, 199));
  expect(&self, 90000 * E8, E8, 200, "MAX_NUM_ORDERS");
}

static void a_bound_of_zero_is_off(void **state) {
  (void)state;
  rules self = {.known = true, .trading = true};
  assert_true(allowed(&self, 1, 1, 1000000));
  assert_true(allowed(&self, INT64_MAX, INT64_MAX, 0));
  self.notional_max = INT64_MAX;
  expect(&self, INT64_MAX, INT64_MAX, 0, "NOTIONAL");
}

static void nothing_is_sent_on_a_symbol_that_does_not_trade(void **state) {
  (void)state;
  rules self = btc();
  self.trading = false;
  strcpy(self.status, "CANCEL_ONLY");
  expect(&self, 90000 * E8, E8, 0, "CANCEL_ONLY");
  self.known = false;
  expect(&self, 90000 * E8, E8, 0, "unknown");
}

static void a_finer_grid_than_the_venue_s_does_not_match(void **state) {
  (void)state;
  const rules self = btc();
  broker_instrument item = {.symbol = "BTCUSDT", .tick_e8 = E8 / 100, .lot_e8 = 1000};
  assert_true(rules_match(&self, &item, why, sizeof why));
  item.tick_e8 = E8;
  item.lot_e8 = E8;
  assert_true(rules_match(&self, &item, why, sizeof why));
  item.tick_e8 = E8 / 1000;
  assert_false(rules_match(&self, &item, why, sizeof why));
  assert_string_equal(why, "BTCUSDT: tick 0.001 is configured, the venue allows multiples of 0.01");
  item.tick_e8 = E8;
  item.lot_e8 = 1500;
  assert_false(rules_match(&self, &item, why, sizeof why));
  assert_non_null(strstr(why, "lot 0.000015"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bounds),
      cmocka_unit_test(a_bound_of_zero_is_off),
      cmocka_unit_test(nothing_is_sent_on_a_symbol_that_does_not_trade),
      cmocka_unit_test(a_finer_grid_than_the_venue_s_does_not_match),
  };
  return cmocka_run_group_tests_name("rules", tests, NULL, NULL);
}
