/* The order table and the ids that orders bear at the venue. */
#include "cases.h"

#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "orders.h"

static void add_find_remove(void **state) {
  (void)state;
  orders *table = calloc(1, sizeof *table);
  broker_order from = {.client_id = 0, .instrument = 3};
  assert_null(orders_add(table, &from)); /* 0 is no id */
  for (uint64_t id = 1; id <= ORDERS_MAX; id++) {
    from.client_id = id;
    assert_non_null(orders_add(table, &from));
  }
  from.client_id = ORDERS_MAX + 1;
  assert_null(orders_add(table, &from)); /* full */
  assert_int_equal(table->open[3], ORDERS_MAX);
  orders_remove(table, orders_find(table, 500));
  assert_null(orders_find(table, 500));
  assert_non_null(orders_add(table, &from)); /* takes the room of the one that left */
  from.client_id = 7;
  assert_null(orders_add(table, &from)); /* taken */
  unsigned slot = 0;
  unsigned seen = 0;
  while (orders_next(table, &slot) != NULL) {
    seen++;
  }
  assert_int_equal(seen, ORDERS_MAX);
  for (uint64_t id = ORDERS_MAX + 1; id > 0; id--) {
    live_order *item = orders_find(table, id);
    if (item != NULL) {
      orders_remove(table, item);
    }
  }
  assert_int_equal(table->count, 0);
  assert_int_equal(table->high, 0);
  assert_int_equal(table->open[3], 0);
  free(table);
}

static void ids(void **state) {
  (void)state;
  static const uint64_t samples[] = {1, 255, UINT64_C(0x0123456789abcdef), UINT64_MAX};
  char text[CLIENT_TEXT_MAX];
  uint64_t back = 0;
  for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
    assert_int_equal(client_text(samples[i], text), 20);
    assert_true(client_parse(text, &back));
    assert_true(back == samples[i]);
  }
  assert_string_equal(text, "slw-ffffffffffffffff");
  static const char *const foreign[] = {"",
                                        "slw-",
                                        "slw-1",
                                        "slw-0000000000000000",
                                        "slw-00000000000000FF",
                                        "slw-00000000000000f ",
                                        "slw-00000000000000fff",
                                        "SLW-00000000000000ff",
                                        "web_00000000000000ff"};
  for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
    assert_false(client_parse(foreign[i], &back));
  }
}

static void back_off(void **state) {
  (void)state;
  backoff wait;
  backoff_seed(&wait, 42);
  int64_t whole = INT64_C(250000000);
  int64_t sum = 0;
  for (int i = 0; i < 12; i++) {
    const int64_t next = backoff_next(&wait);
    assert_true(next >= whole / 2 && next < whole);
    sum += next;
    whole = whole * 2 > INT64_C(30000000000) ? INT64_C(30000000000) : whole * 2;
  }
  backoff_reset(&wait);
  assert_true(backoff_next(&wait) < INT64_C(250000000));
  backoff other;
  backoff_seed(&other, 43);
  int64_t other_sum = 0;
  for (int i = 0; i < 12; i++) {
    other_sum += backoff_next(&other);
  }
  assert_true(sum != other_sum); /* two hosts do not move in step */
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(add_find_remove), cmocka_unit_test(ids),
                                     cmocka_unit_test(back_off)};
  return cmocka_run_group_tests_name("orders", tests, NULL, NULL);
}
