/* paper_quote.c: see paper_quote.h. */
#include "paper_quote.h"

#include <string.h>

#include "clock.h"
#include "decimal.h"

#define BPS 10000
#define MESSAGES_A_CYCLE 4 /* two cancels, two orders */
#define BACKOFF_MOST (30 * NS_PER_S)
#define BACKOFF_FIRST_CYCLES 4

static paper_side *side_of(paper_quote *self, broker_side side) {
  return &self->sides[side == BROKER_BUY ? 0 : 1];
}

void paper_quote_init(paper_quote *self, const paper_quote_parameters *parameters) {
  memset(self, 0, sizeof *self);
  self->parameters = *parameters;
}

void paper_quote_rejected(paper_quote *self, broker_side side, int64_t mono_ns) {
  paper_side *at = side_of(self, side);
  if (at->backoff_ns == 0) {
    at->backoff_ns = self->parameters.requote_ms * NS_PER_MS * BACKOFF_FIRST_CYCLES;
  } else {
    at->backoff_ns *= 2;
  }
  if (at->backoff_ns > BACKOFF_MOST) {
    at->backoff_ns = BACKOFF_MOST;
  }
  at->blocked_until_mono_ns = mono_ns + at->backoff_ns;
}

void paper_quote_accepted(paper_quote *self, broker_side side) { side_of(self, side)->backoff_ns = 0; }

static int64_t round_down(int64_t value, int64_t step) { return value / step * step; }

static int64_t round_up(int64_t value, int64_t step) {
  return value % step == 0 ? value : (value / step + 1) * step;
}

static bool still_open(const strategy_port *port, uint64_t id) {
  return id != 0 && port->open_order(port->engine, id) != NULL;
}

/* Take the resting quote away. False while an earlier one is still leaving: then nothing may follow it. */
static bool clear_side(paper_side *side, const strategy_port *port) {
  if (still_open(port, side->leaving)) {
    port->cancel(port->engine, side->leaving); /* the engine sends it again only after a while */
    return false;
  }
  side->leaving = 0;
  if (still_open(port, side->quote)) {
    port->cancel(port->engine, side->quote);
    side->leaving = side->quote;
  }
  side->quote = 0;
  return true;
}

static bool may_send(const paper_quote *self, const strategy_view *view, broker_side side) {
  const paper_side *at = &self->sides[side == BROKER_BUY ? 0 : 1];
  return view->mono_ns >= at->blocked_until_mono_ns;
}

static void quote_side(paper_quote *self, const strategy_view *view, const strategy_port *port,
                       broker_side side, int64_t price_e8) {
  const int64_t toward = side == BROKER_BUY ? view->position_e8 : -view->position_e8;
  /* With a position on, do not add to what the limit no longer allows. */
  if (price_e8 <= 0 || !may_send(self, view, side) ||
      (toward > 0 && toward + 2 * self->parameters.quantity_e8 > view->max_position_e8)) {
    return;
  }
  broker_order order = {.price_e8 = price_e8,
                        .quantity_e8 = self->parameters.quantity_e8,
                        .instrument = view->index,
                        .side = (uint8_t)side,
                        .tif = BROKER_GTC};
  side_of(self, side)->quote = port->submit(port->engine, &order, view->fresh);
}

/* Whether a crossing order at this price would meet an order of our own. */
static bool meets_own(const paper_quote *self, const strategy_port *port, broker_side side,
                      int64_t price_e8) {
  const paper_side *other = &self->sides[side == BROKER_BUY ? 1 : 0];
  const uint64_t ids[] = {other->quote, other->leaving};
  for (size_t i = 0; i < 2; i++) {
    const broker_order *own = ids[i] == 0 ? NULL : port->open_order(port->engine, ids[i]);
    if (own != NULL && (side == BROKER_BUY ? own->price_e8 <= price_e8 : own->price_e8 >= price_e8)) {
      return true;
    }
  }
  return false;
}

/* Cross the spread: toward flat if there is a position, else buy. `take_wanted` stays set while an
 * order of our own stands in the way. */
static void take(paper_quote *self, const strategy_view *view, const strategy_port *port) {
  if (still_open(port, self->take)) {
    self->take_wanted = false;
    return;
  }
  const broker_side side = view->position_e8 > 0 ? BROKER_SELL : BROKER_BUY;
  const int64_t price = side == BROKER_BUY ? round_up(view->ask_e8, view->instrument->tick_e8)
                                           : round_down(view->bid_e8, view->instrument->tick_e8);
  int64_t quantity = self->parameters.quantity_e8;
  if (view->position_e8 != 0) {
    quantity = view->position_e8 > 0 ? view->position_e8 : -view->position_e8;
    quantity = quantity < view->max_order_quantity_e8 ? quantity : view->max_order_quantity_e8;
    int64_t affordable = 0;
    if (price > 0 && decimal_scale(view->max_order_value_e8, SLIPWAY_SCALE, price, &affordable) &&
        affordable < quantity) {
      quantity = affordable;
    }
    quantity = round_down(quantity, view->instrument->lot_e8);
  }
  if (meets_own(self, port, side, price)) {
    return;
  }
  self->take_wanted = false;
  if (price <= 0 || quantity <= 0 || !may_send(self, view, side) ||
      (view->reduce_only && view->position_e8 == 0)) {
    return;
  }
  broker_order order = {.price_e8 = price,
                        .quantity_e8 = quantity,
                        .instrument = view->index,
                        .side = (uint8_t)side,
                        .tif = BROKER_IOC};
  self->take = port->submit(port->engine, &order, view->fresh);
}

void paper_quote_turn(paper_quote *self, const strategy_view *view, const strategy_port *port) {
  const int64_t period = self->parameters.requote_ms * NS_PER_MS;
  const int64_t since = view->mono_ns - self->last_cycle_mono_ns;
  if (self->take_wanted && view->messages_left > 0) {
    take(self, view, port);
  }
  /* Prefer to act on a quote; without one, act anyway after twice the time. */
  if (self->last_cycle_mono_ns != 0 && (since < period || (!view->fresh && since < 2 * period))) {
    return;
  }
  const int64_t need =
      view->max_messages_per_s < MESSAGES_A_CYCLE ? view->max_messages_per_s : MESSAGES_A_CYCLE;
  if ((int64_t)view->messages_left < need) {
    return;
  }
  self->last_cycle_mono_ns = view->mono_ns;
  self->cycle++;
  self->take_wanted = view->reduce_only || (self->parameters.take_every > 0 &&
                                            self->cycle % (uint64_t)self->parameters.take_every == 0);
  const bool buy_clear = clear_side(&self->sides[0], port);
  const bool sell_clear = clear_side(&self->sides[1], port);
  if (self->take_wanted) {
    take(self, view, port);
    return;
  }
  const int64_t mid = view->bid_e8 + (view->ask_e8 - view->bid_e8) / 2;
  int64_t half = 0;
  if (!decimal_scale(mid, self->parameters.spread_bps, (int64_t)2 * BPS, &half)) {
    return;
  }
  if (buy_clear) {
    quote_side(self, view, port, BROKER_BUY, round_down(mid - half, view->instrument->tick_e8));
  }
  if (sell_clear) {
    quote_side(self, view, port, BROKER_SELL, round_up(mid + half, view->instrument->tick_e8));
  }
}
