/* risk.c: see risk.h. */
#include "risk.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "decimal.h"

#define BPS 10000
#define DAY_NS (INT64_C(86400) * NS_PER_S)

const char *risk_name(risk_verdict verdict) {
  static const char *const names[RISK_VERDICTS] = {
      "pass",        "permit",       "halted",       "malformed",   "order_quantity",
      "order_value", "no_reference", "price_collar", "open_orders", "position",
      "reduce_only", "message_rate", "total_rate"};
  return verdict < RISK_VERDICTS ? names[verdict] : "unknown";
}

bool window_init(message_window *self, int64_t capacity) {
  self->times = malloc((size_t)capacity * sizeof *self->times);
  self->capacity = (uint32_t)capacity;
  self->next = 0;
  if (self->times == NULL) {
    return false;
  }
  for (uint32_t i = 0; i < self->capacity; i++) {
    self->times[i] = INT64_MIN / 2; /* long ago, and a difference with it does not overflow */
  }
  return true;
}

void window_free(message_window *self) {
  free(self->times);
  self->times = NULL;
}

bool window_full(const message_window *self, int64_t mono_ns) {
  return mono_ns - self->times[self->next] < NS_PER_S;
}

uint32_t window_left(const message_window *self, int64_t mono_ns) {
  /* The ring is in order of time from `next` on, so the oldest ones that have left are in front. */
  uint32_t low = 0;
  uint32_t high = self->capacity;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    const uint32_t at = (self->next + middle) % self->capacity;
    if (mono_ns - self->times[at] >= NS_PER_S) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

void window_count(message_window *self, int64_t mono_ns) {
  self->times[self->next] = mono_ns;
  self->next = self->next + 1 == self->capacity ? 0 : self->next + 1;
}

static risk_verdict check_price(const risk_view *view, const broker_order *order) {
  const market *at = &view->markets[order->instrument];
  if (!at->two_sided) {
    return RISK_NO_REFERENCE;
  }
  const wide_int away = order->price_e8 > at->mid_e8 ? (wide_int)order->price_e8 - at->mid_e8
                                                     : (wide_int)at->mid_e8 - order->price_e8;
  return away * BPS > (wide_int)at->mid_e8 * view->bounds->price_collar_bps ? RISK_PRICE_COLLAR : RISK_PASS;
}

static risk_verdict check_position(const risk_view *view, const broker_order *order) {
  const wide_int position = view->ledgers[order->instrument].position_e8;
  const bool buy = order->side == BROKER_BUY;
  const wide_int open =
      buy ? view->orders->open_buy_e8[order->instrument] : view->orders->open_sell_e8[order->instrument];
  const wide_int toward = (buy ? position : -position) + open + order->quantity_e8;
  if (toward > view->bounds->max_position_e8) {
    return RISK_POSITION;
  }
  return view->reduce_only && toward > 0 ? RISK_REDUCE_ONLY : RISK_PASS;
}

risk_verdict risk_check(const risk_view *view, const broker_order *order) {
  if (order->instrument >= view->instrument_count || order->price_e8 <= 0 || order->quantity_e8 <= 0 ||
      (order->side != BROKER_BUY && order->side != BROKER_SELL) ||
      (order->tif != BROKER_GTC && order->tif != BROKER_IOC) ||
      order->price_e8 % view->instruments[order->instrument].tick_e8 != 0 ||
      order->quantity_e8 % view->instruments[order->instrument].lot_e8 != 0) {
    return RISK_MALFORMED;
  }
  if (order->quantity_e8 > view->bounds->max_order_quantity_e8) {
    return RISK_ORDER_QUANTITY;
  }
  int64_t value = 0;
  if (!decimal_multiply_up(order->price_e8, order->quantity_e8, &value) ||
      value > view->bounds->max_order_value_e8) {
    return RISK_ORDER_VALUE;
  }
  const risk_verdict price = check_price(view, order);
  if (price != RISK_PASS) {
    return price;
  }
  if (view->orders->open_count >= view->bounds->max_open_orders) {
    return RISK_OPEN_ORDERS;
  }
  return check_position(view, order);
}

bool risk_over_position(const risk_view *view) {
  for (uint16_t i = 0; i < view->instrument_count; i++) {
    const int64_t position = view->ledgers[i].position_e8;
    if (position > view->bounds->max_position_e8 || position < -view->bounds->max_position_e8) {
      return true;
    }
  }
  return false;
}

int64_t day_loss_update(day_loss *self, int64_t wall_ns, int64_t net_e8) {
  const int64_t day = wall_ns / DAY_NS;
  if (day != self->day) {
    self->day = day;
    self->base_e8 = net_e8;
  }
  const wide_int loss = (wide_int)self->base_e8 - net_e8;
  self->loss_e8 = loss > INT64_MAX ? INT64_MAX : loss < INT64_MIN ? INT64_MIN : (int64_t)loss;
  return self->loss_e8;
}
