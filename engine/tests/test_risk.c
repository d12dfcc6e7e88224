#include "check.h"
#include "clock.h"
#include "risk.h"

#define UNIT SLIPWAY_SCALE

static limits_venue bounds;
static broker_instrument instruments[1];
static order_table table;
static ledger ledgers[1];
static market markets[1];
static risk_view view;
static broker_order order;

static void reset(void) {
  bounds = (limits_venue){.price_collar_bps = 100,
                          .max_order_value_e8 = 1000 * UNIT,
                          .max_order_quantity_e8 = 10 * UNIT,
                          .max_open_orders = 3,
                          .max_messages_per_s = 5,
                          .max_position_e8 = 20 * UNIT,
                          .max_daily_loss_e8 = 50 * UNIT};
  instruments[0] = (broker_instrument){.symbol = "X", .tick_e8 = UNIT / 100, .lot_e8 = UNIT / 10};
  orders_init(&table);
  ledgers[0] = (ledger){0};
  markets[0] = (market){.mid_e8 = 100 * UNIT, .two_sided = true};
  view = (risk_view){.bounds = &bounds,
                     .instruments = instruments,
                     .instrument_count = 1,
                     .orders = &table,
                     .ledgers = ledgers,
                     .markets = markets,
                     .reduce_only = false};
  order = (broker_order){
      .price_e8 = 100 * UNIT, .quantity_e8 = UNIT, .instrument = 0, .side = BROKER_BUY, .tif = BROKER_GTC};
}

static void passes(void) { CHECK_EQ(risk_check(&view, &order), RISK_PASS); }
static void refuses(risk_verdict why) { CHECK_EQ(risk_check(&view, &order), why); }

static void malformed(void) {
  reset();
  passes();
  order.instrument = 1;
  refuses(RISK_MALFORMED);
  reset();
  order.side = 0;
  refuses(RISK_MALFORMED);
  reset();
  order.tif = 9;
  refuses(RISK_MALFORMED);
  reset();
  order.price_e8 = 0;
  refuses(RISK_MALFORMED);
  reset();
  order.quantity_e8 = -UNIT;
  refuses(RISK_MALFORMED);
  reset();
  order.price_e8 += 1;
  refuses(RISK_MALFORMED);
  reset();
  order.quantity_e8 += 1;
  refuses(RISK_MALFORMED);
}

/* Each class: the order at its limit passes, one step over is refused. */
static void one_over(void) {
  reset();
  order.quantity_e8 = 10 * UNIT;
  passes();
  order.quantity_e8 += UNIT / 10;
  refuses(RISK_ORDER_QUANTITY);

  reset();
  bounds.max_order_value_e8 = 500 * UNIT;
  order.quantity_e8 = 5 * UNIT;
  passes();
  order.price_e8 += UNIT / 100;
  refuses(RISK_ORDER_VALUE);

  reset();
  order.price_e8 = 101 * UNIT;
  passes();
  order.price_e8 += UNIT / 100;
  refuses(RISK_PRICE_COLLAR);
  order.price_e8 = 99 * UNIT;
  passes();
  order.price_e8 -= UNIT / 100;
  refuses(RISK_PRICE_COLLAR);
  markets[0].two_sided = false;
  refuses(RISK_NO_REFERENCE);

  reset();
  uint64_t next = 1;
  for (int i = 0; i < 2; i++) {
    broker_order open = order;
    CHECK(orders_enter(&table, &open, &next, 0, 0) != NULL);
  }
  passes();
  broker_order third = order;
  CHECK(orders_enter(&table, &third, &next, 0, 0) != NULL);
  refuses(RISK_OPEN_ORDERS);
}

static void position(void) {
  reset();
  uint64_t next = 1;
  ledgers[0].position_e8 = 12 * UNIT;
  broker_order open = order;
  open.quantity_e8 = 5 * UNIT;
  CHECK(orders_enter(&table, &open, &next, 0, 0) != NULL);
  order.quantity_e8 = 3 * UNIT; /* 12 held + 5 open + 3 = 20 */
  passes();
  order.quantity_e8 += UNIT / 10;
  refuses(RISK_POSITION);
  order.side = BROKER_SELL; /* the other way it is far from its bound */
  passes();

  reset();
  ledgers[0].position_e8 = -20 * UNIT;
  order.side = BROKER_SELL;
  order.quantity_e8 = UNIT / 10;
  refuses(RISK_POSITION);
  CHECK(!risk_over_position(&view));
  ledgers[0].position_e8 -= 1;
  CHECK(risk_over_position(&view));
  order.side = BROKER_BUY; /* beyond the bound, the way back stays open */
  passes();
}

static void reduce_only(void) {
  reset();
  view.reduce_only = true;
  refuses(RISK_REDUCE_ONLY);
  ledgers[0].position_e8 = 2 * UNIT;
  refuses(RISK_REDUCE_ONLY);
  order.side = BROKER_SELL;
  order.quantity_e8 = 2 * UNIT;
  passes();
  order.quantity_e8 += UNIT / 10; /* would turn the position */
  refuses(RISK_REDUCE_ONLY);
}

static void windows(void) {
  message_window window;
  CHECK(window_init(&window, 5));
  const int64_t start = 1000 * NS_PER_S;
  CHECK_EQ(window_left(&window, start), 5);
  for (int i = 0; i < 5; i++) {
    CHECK(!window_full(&window, start + i * NS_PER_MS));
    window_count(&window, start + i * NS_PER_MS);
    CHECK_EQ(window_left(&window, start + i * NS_PER_MS), 4 - i);
  }
  CHECK(window_full(&window, start + NS_PER_S - 1)); /* the sixth within one second */
  CHECK(!window_full(&window, start + NS_PER_S));
  CHECK_EQ(window_left(&window, start + NS_PER_S), 1);
  CHECK_EQ(window_left(&window, start + NS_PER_S + 2 * NS_PER_MS), 3);
  window_count(&window, start + NS_PER_S);
  CHECK(window_full(&window, start + NS_PER_S));
  CHECK_EQ(window_left(&window, start + 3 * NS_PER_S), 5);
  window_free(&window);
}

static void days(void) {
  const int64_t day = INT64_C(86400) * NS_PER_S;
  day_loss loss = {.day = 0};
  CHECK_EQ(day_loss_update(&loss, 100 * day + 5, 0), 0);
  CHECK_EQ(day_loss_update(&loss, 100 * day + 6, -30), 30);
  CHECK_EQ(day_loss_update(&loss, 101 * day - 1, -10), 10);
  CHECK_EQ(day_loss_update(&loss, 101 * day, -10), 0); /* UTC midnight: a new day, a new base */
  CHECK_EQ(day_loss_update(&loss, 101 * day + 1, -15), 5);
  CHECK_EQ(day_loss_update(&loss, 101 * day + 2, INT64_MAX), INT64_MIN);
}

int main(void) {
  malformed();
  one_over();
  position();
  reduce_only();
  windows();
  days();
  for (int i = 0; i < RISK_VERDICTS; i++) {
    CHECK(risk_name((risk_verdict)i) != NULL && strcmp(risk_name((risk_verdict)i), "unknown") != 0);
  }
  return 0;
}
