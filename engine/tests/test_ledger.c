#include "broker_interface.h"
#include "check.h"
#include "ledger.h"

#define UNIT SLIPWAY_SCALE

int main(void) {
  ledger book = {0};
  CHECK(ledger_fill(&book, true, 100 * UNIT, 2 * UNIT, UNIT));
  CHECK(ledger_fill(&book, true, 110 * UNIT, 2 * UNIT, 0));
  CHECK_EQ(book.position_e8, 4 * UNIT);
  CHECK_EQ(ledger_unrealised_e8(&book, 105 * UNIT), 0);
  CHECK_EQ(ledger_unrealised_e8(&book, 106 * UNIT), 4 * UNIT);
  CHECK_EQ(ledger_unrealised_e8(&book, 0), 0);
  CHECK(ledger_fill(&book, false, 120 * UNIT, UNIT, 0)); /* one of four, average cost 105 */
  CHECK_EQ(ledger_realised_e8(&book), 15 * UNIT);
  CHECK_EQ(book.position_e8, 3 * UNIT);
  CHECK(ledger_fill(&book, false, 100 * UNIT, 5 * UNIT, 0)); /* through flat to short 2 */
  CHECK_EQ(ledger_realised_e8(&book), 0);
  CHECK_EQ(book.position_e8, -2 * UNIT);
  CHECK_EQ(ledger_unrealised_e8(&book, 90 * UNIT), 20 * UNIT);
  CHECK(ledger_fill(&book, true, 90 * UNIT, 2 * UNIT, -3 * UNIT)); /* with a rebate */
  CHECK_EQ(book.position_e8, 0);
  CHECK(book.cost_e16 == 0);
  CHECK_EQ(ledger_realised_e8(&book), 20 * UNIT);
  CHECK_EQ(book.fees_paid_e8, UNIT);
  CHECK_EQ(book.rebates_e8, 3 * UNIT);
  CHECK_EQ(ledger_fees_e8(&book), -2 * UNIT);
  CHECK_EQ(ledger_net_e8(&book, 1), 22 * UNIT);

  /* Uneven parts: nothing is lost between cost and result, to the last 1e-16. */
  ledger uneven = {0};
  wide_int cash = 0;
  const int64_t prices[] = {333333333, 700000001, 123456789, 999999999};
  for (int64_t i = 0; i < 4000; i++) {
    const bool buy = (i * 7) % 3 != 0;
    const int64_t quantity = 1 + (i * 7919) % 1000;
    CHECK(ledger_fill(&uneven, buy, prices[i % 4], quantity, 0));
    cash += (wide_int)prices[i % 4] * quantity * (buy ? -1 : 1);
    CHECK(uneven.realised_e16 - uneven.cost_e16 == cash);
  }

  const ledger before = uneven;
  const int64_t bad[][3] = {{0, 1, 0},         {1, 0, 0},         {-1, 1, 0},
                            {1, -1, 0},        {INT64_MAX, 1, 0}, {1, INT64_MAX, 0},
                            {1, INT64_MIN, 0}, {1, 1, INT64_MAX}, {1, 1, INT64_MIN}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    CHECK(!ledger_fill(&uneven, true, bad[i][0], bad[i][1], bad[i][2]));
    CHECK_EQ(uneven.position_e8, before.position_e8);
    CHECK(uneven.cost_e16 == before.cost_e16 && uneven.realised_e16 == before.realised_e16);
    CHECK_EQ(uneven.fees_paid_e8, before.fees_paid_e8);
  }
  ledger full = {0};
  int booked = 0;
  while (ledger_fill(&full, true, INT64_C(100000000000000000), INT64_C(100000000000000000), 0)) {
    booked++;
    CHECK(booked < 100);
  }
  CHECK(booked > 0);
  CHECK_EQ(ledger_unrealised_e8(&full, 1), INT64_MIN); /* held, not wrapped */
  CHECK_EQ(add_held(INT64_MAX, 1), INT64_MAX);
  CHECK_EQ(add_held(INT64_MIN, -1), INT64_MIN);
  return 0;
}
