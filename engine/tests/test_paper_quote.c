/* The strategy alone: what it asks for, given a market. */
#include "check.h"
#include "clock.h"
#include "paper_quote.h"

#define UNIT SLIPWAY_SCALE
#define ORDERS 64

static broker_order sent[ORDERS];
static bool open_now[ORDERS];
static int count, cancels;

static uint64_t submit(void *engine, broker_order *order, bool fresh) {
  (void)engine;
  (void)fresh;
  CHECK(count < ORDERS);
  sent[count] = *order;
  open_now[count] = true;
  return (uint64_t)++count;
}

static void cancel(void *engine, uint64_t id) {
  (void)engine;
  (void)id;
  cancels++;
}

static const broker_order *open_order(void *engine, uint64_t id) {
  (void)engine;
  return open_now[id - 1] ? &sent[id - 1] : NULL;
}

static const strategy_port port = {
    .engine = NULL, .submit = submit, .cancel = cancel, .open_order = open_order};
static const broker_instrument instrument = {.symbol = "X", .tick_e8 = UNIT, .lot_e8 = UNIT / 100};

static strategy_view market(int64_t mono_ms) {
  return (strategy_view){.instrument = &instrument,
                         .index = 3,
                         .bid_e8 = 9990 * UNIT,
                         .ask_e8 = 10010 * UNIT,
                         .fresh = true,
                         .mono_ns = mono_ms * NS_PER_MS,
                         .position_e8 = 0,
                         .max_position_e8 = 10 * UNIT,
                         .max_order_quantity_e8 = 5 * UNIT,
                         .max_order_value_e8 = 1000000 * UNIT,
                         .max_messages_per_s = 100,
                         .messages_left = 100};
}

static paper_quote fresh_start(int64_t take_every) {
  const paper_quote_parameters parameters = {
      .spread_bps = 15, .quantity_e8 = UNIT, .requote_ms = 100, .take_every = take_every};
  paper_quote self;
  paper_quote_init(&self, &parameters);
  count = cancels = 0;
  return self;
}

static void close_all(void) { memset(open_now, 0, sizeof open_now); }

static void quotes_outward_on_the_tick(void) {
  paper_quote self = fresh_start(0);
  strategy_view view = market(1000);
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 2);
  CHECK_EQ(sent[0].side, BROKER_BUY);
  CHECK_EQ(sent[0].price_e8, 9992 * UNIT); /* 10000 - 7.5, down to the tick */
  CHECK_EQ(sent[1].price_e8, 10008 * UNIT);
  CHECK_EQ(sent[1].instrument, 3);
  view = market(1099);
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 2); /* not yet */
  view = market(1100);
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(cancels, 2);
  CHECK_EQ(count, 4);
  view = market(1200); /* the first two were never confirmed: nothing is piled on top */
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 4);
  close_all();
}

static void waits_for_a_quote_up_to_twice_its_time(void) {
  paper_quote self = fresh_start(0);
  strategy_view view = market(1000);
  paper_quote_turn(&self, &view, &port);
  close_all();
  view = market(1150);
  view.fresh = false;
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 2);
  view = market(1200);
  view.fresh = false;
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 4);
  close_all();
}

static void takes_once_its_own_orders_are_out_of_the_way(void) {
  paper_quote self = fresh_start(2);
  strategy_view view = market(1000);
  view.bid_e8 = 9999 * UNIT; /* own ask will stand at the best ask */
  view.ask_e8 = 10001 * UNIT;
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 2);
  view = market(1100);
  view.ask_e8 = 10020 * UNIT; /* the taking price would reach the own ask */
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 2);
  CHECK(self.take_wanted);
  close_all(); /* the cancels are confirmed */
  view.mono_ns += NS_PER_MS;
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 3);
  CHECK_EQ(sent[2].tif, BROKER_IOC);
  CHECK_EQ(sent[2].side, BROKER_BUY);
  CHECK_EQ(sent[2].price_e8, 10020 * UNIT);
  close_all();
}

static void takes_toward_flat_within_bounds(void) {
  paper_quote self = fresh_start(1);
  strategy_view view = market(1000);
  view.position_e8 = 7 * UNIT + 1; /* a crumb below the lot is left */
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 1);
  CHECK_EQ(sent[0].side, BROKER_SELL);
  CHECK_EQ(sent[0].quantity_e8, 5 * UNIT);
  CHECK_EQ(sent[0].price_e8, 9990 * UNIT);
  close_all();
  view = market(2000);
  view.position_e8 = -7 * UNIT;
  view.max_order_value_e8 = 10010 * UNIT;
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(sent[1].side, BROKER_BUY);
  CHECK_EQ(sent[1].quantity_e8, UNIT);
  close_all();
}

static void keeps_room_and_pace(void) {
  paper_quote self = fresh_start(0);
  strategy_view view = market(1000);
  view.position_e8 = 9 * UNIT; /* one more could be filled, and one is in flight: only sell */
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 1);
  CHECK_EQ(sent[0].side, BROKER_SELL);
  close_all();
  view = market(2000);
  view.messages_left = 3; /* a cycle may need four */
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 1);
}

static void reduces_only(void) {
  paper_quote self = fresh_start(0);
  strategy_view view = market(1000);
  view.reduce_only = true;
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 0);
  view = market(2000);
  view.reduce_only = true;
  view.position_e8 = UNIT;
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 1);
  CHECK_EQ(sent[0].side, BROKER_SELL);
  CHECK_EQ(sent[0].tif, BROKER_IOC);
  close_all();
}

static void backs_off(void) {
  paper_quote self = fresh_start(0);
  strategy_view view = market(1000);
  paper_quote_turn(&self, &view, &port);
  close_all();
  paper_quote_rejected(&self, BROKER_BUY, view.mono_ns);
  view = market(1399);
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 3);
  CHECK_EQ(sent[2].side, BROKER_SELL);
  close_all();
  view = market(1499);
  paper_quote_turn(&self, &view, &port);
  CHECK_EQ(count, 5);
  close_all();
  paper_quote_rejected(&self, BROKER_BUY, 0);
  CHECK_EQ(self.sides[0].backoff_ns, 800 * NS_PER_MS);
  for (int i = 0; i < 20; i++) {
    paper_quote_rejected(&self, BROKER_BUY, 0);
  }
  CHECK_EQ(self.sides[0].backoff_ns, 30 * NS_PER_S);
  paper_quote_accepted(&self, BROKER_BUY);
  CHECK_EQ(self.sides[0].backoff_ns, 0);
}

int main(void) {
  quotes_outward_on_the_tick();
  waits_for_a_quote_up_to_twice_its_time();
  takes_once_its_own_orders_are_out_of_the_way();
  takes_toward_flat_within_bounds();
  keeps_room_and_pace();
  reduces_only();
  backs_off();
  return 0;
}
