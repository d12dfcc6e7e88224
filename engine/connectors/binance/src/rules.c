/* rules.c: see rules.h. */
#include "rules.h"

#include <inttypes.h>
#include <stdio.h>

#include "decimal.h"

__extension__ typedef __int128 wide;

static bool refuse(char *why, size_t why_size, const char *filter, int64_t found, const char *relation,
                   int64_t bound) {
  char found_text[DECIMAL_TEXT_MAX];
  char bound_text[DECIMAL_TEXT_MAX];
  (void)decimal_format(found, found_text, sizeof found_text);
  (void)decimal_format(bound, bound_text, sizeof bound_text);
  (void)snprintf(why, why_size, "%s: %s found, allowed %s %s", filter, found_text, relation, bound_text);
  return false;
}

/* price * quantity against a bound in 1e-8: compared in 1e-16, so nothing is rounded. */
static bool notional_below(int64_t price, int64_t quantity, int64_t bound) {
  return (wide)price * quantity < (wide)bound * SLIPWAY_SCALE;
}

static int64_t notional(int64_t price, int64_t quantity) {
  const wide value = (wide)price * quantity / SLIPWAY_SCALE;
  return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

bool rules_allow(const rules *self, const broker_order *order, unsigned open, char *why, size_t why_size) {
  const int64_t price = order->price_e8;
  const int64_t quantity = order->quantity_e8;
  if (!self->known || !self->trading) {
    (void)snprintf(why, why_size, "the symbol's status is %s, allowed TRADING",
                   self->known ? self->status : "unknown");
    return false;
  }
  if (price <= 0 || quantity <= 0) {
    return refuse(why, why_size, price <= 0 ? "price" : "quantity", price <= 0 ? price : quantity, "above",
                  0);
  }
  if (self->tick > 0 && price % self->tick != 0) {
    return refuse(why, why_size, "PRICE_FILTER: price", price, "multiples of", self->tick);
  }
  if (self->price_min > 0 && price < self->price_min) {
    return refuse(why, why_size, "PRICE_FILTER: price", price, "at least", self->price_min);
  }
  if (self->price_max > 0 && price > self->price_max) {
    return refuse(why, why_size, "PRICE_FILTER: price", price, "at most", self->price_max);
  }
  if (self->lot > 0 && quantity % self->lot != 0) {
    return refuse(why, why_size, "LOT_SIZE: quantity", quantity, "multiples of", self->lot);
  }
  if (self->quantity_min > 0 && quantity < self->quantity_min) {
    return refuse(why, why_size, "LOT_SIZE: quantity", quantity, "at least", self->quantity_min);
  }
  if (self->quantity_max > 0 && quantity > self->quantity_max) {
    return refuse(why, why_size, "LOT_SIZE: quantity", quantity, "at most", self->quantity_max);
  }
  if (self->notional_min > 0 && notional_below(price, quantity, self->notional_min)) {
    return refuse(why, why_size, "NOTIONAL: price * quantity", notional(price, quantity), "at least",
                  self->notional_min);
  }
  if (self->notional_max > 0 && (wide)price * quantity > (wide)self->notional_max * SLIPWAY_SCALE) {
    return refuse(why, why_size, "NOTIONAL: price * quantity", notional(price, quantity), "at most",
                  self->notional_max);
  }
  if (self->orders_max > 0 && (int64_t)open >= self->orders_max) {
    (void)snprintf(why, why_size, "MAX_NUM_ORDERS: %u orders are open, allowed at most %" PRId64, open,
                   self->orders_max);
    return false;
  }
  return true;
}

bool rules_match(const rules *self, const broker_instrument *instrument, char *why, size_t why_size) {
  char ours[DECIMAL_TEXT_MAX];
  char theirs[DECIMAL_TEXT_MAX];
  const bool tick_bad = self->tick > 0 && instrument->tick_e8 % self->tick != 0;
  const bool lot_bad = self->lot > 0 && instrument->lot_e8 % self->lot != 0;
  if (!tick_bad && !lot_bad) {
    return true;
  }
  (void)decimal_format(tick_bad ? instrument->tick_e8 : instrument->lot_e8, ours, sizeof ours);
  (void)decimal_format(tick_bad ? self->tick : self->lot, theirs, sizeof theirs);
  (void)snprintf(why, why_size, "%s: %s %s is configured, the venue allows multiples of %s",
                 instrument->symbol, tick_bad ? "tick" : "lot", ours, theirs);
  return false;
}
