/* book.c: what the venue's answers and events mean for our orders.
 *
 * The venue tells the same thing more than once: as the answer to a request, as an executionReport, and in
 * the lists of a reconcile. Each order keeps how much of it we have told the engine (acknowledged, executed
 * so far), every source is read as "the order is now so", and only the difference is reported.
 */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "decimal.h"

#define UNKNOWN_ORDER_TIME_NS (12 * NS_PER_S) /* the venue gives up an order after 10 s */
#define REQUERY_NS NS_PER_S
#define CODE_NO_SUCH_ORDER (-2013)
#define CODE_NEW_ORDER_REJECTED (-2010)

void book_ack(broker *self, live_order *item, int64_t venue_id) {
  if (item->venue_id != 0) {
    return;
  }
  item->venue_id = venue_id;
  char text[SLIPWAY_VENUE_ID_MAX];
  (void)snprintf(text, sizeof text, "%" PRId64, venue_id);
  self->callbacks.on_ack(self->user, item->client_id, text);
}

void book_reject(broker *self, live_order *item, int64_t code, const char *text) {
  const uint64_t client_id = item->client_id;
  orders_remove(&self->orders, item);
  self->callbacks.on_reject(self->user, client_id, (int32_t)code, text);
}

/* One state of an order, from whichever source. */
typedef struct observed {
  int64_t executed_e8;
  int64_t quote_e8;          /* cumulative; -1: not known */
  int64_t last_e8, price_e8; /* of the newest execution; 0: not known */
  int64_t fee_e8;
  order_status status;
} observed;

static int64_t fill_price(const live_order *item, const observed *now, int64_t quantity) {
  if (quantity == now->last_e8) {
    return now->price_e8;
  }
  int64_t average = 0;
  if (now->quote_e8 > item->quote_e8 &&
      decimal_scale(now->quote_e8 - item->quote_e8, SLIPWAY_SCALE, quantity, &average) && average > 0) {
    return average; /* several executions at once: their mean */
  }
  return item->price_e8;
}

static bool ended(order_status status) {
  return status == STATUS_FILLED || status == STATUS_CANCELED || status == STATUS_EXPIRED ||
         status == STATUS_REJECTED;
}

/* Reports what is new in `now`. The order may be gone afterwards. */
static void settle(broker *self, live_order *item, const observed *now) {
  const int64_t quantity = now->executed_e8 - item->executed_e8;
  const uint64_t client_id = item->client_id;
  broker_fill fill = {.client_id = client_id, .side = item->side};
  if (quantity > 0) {
    fill.quantity_e8 = quantity;
    fill.price_e8 = fill_price(item, now, quantity);
    fill.fee_e8 = quantity == now->last_e8 ? now->fee_e8 : 0;
    item->executed_e8 = now->executed_e8;
    if (now->quote_e8 >= 0) {
      item->quote_e8 = now->quote_e8;
    }
  }
  const bool complete = now->status == STATUS_FILLED || item->executed_e8 >= item->quantity_e8;
  const int64_t left = item->quantity_e8 > item->executed_e8 ? item->quantity_e8 - item->executed_e8 : 0;
  fill.final = quantity > 0 && complete;
  if (complete || ended(now->status)) {
    orders_remove(&self->orders, item);
  }
  if (quantity > 0) {
    self->callbacks.on_fill(self->user, &fill);
  }
  if (fill.final) {
    return;
  }
  if (now->status == STATUS_REJECTED) {
    self->callbacks.on_reject(self->user, client_id, CODE_NEW_ORDER_REJECTED,
                              "the matching engine refused it");
  } else if (complete || ended(now->status)) {
    self->callbacks.on_cancel(self->user, client_id, left);
  }
}

void book_execution(broker *self, const execution_report *event) {
  uint64_t client_id = 0;
  if (!client_parse(event->client, &client_id)) {
    return; /* another user of the account */
  }
  live_order *item = orders_find(&self->orders, client_id);
  if (item == NULL) {
    return; /* ended already, or of an earlier life: the reconcile told of it */
  }
  if (event->status == STATUS_REJECTED) {
    book_reject(self, item, CODE_NEW_ORDER_REJECTED, event->reject);
    return;
  }
  book_ack(self, item, event->venue_id);
  const bool fee_in_quote =
      event->fee_asset[0] != '\0' && strcmp(event->fee_asset, self->rules[item->instrument].quote_asset) == 0;
  const observed now = {.executed_e8 = event->executed_e8,
                        .quote_e8 = event->quote_e8,
                        .last_e8 = event->last_e8,
                        .price_e8 = event->last_price_e8,
                        .fee_e8 = fee_in_quote ? event->fee_e8 : 0,
                        .status = event->status};
  settle(self, item, &now);
}

void book_report(broker *self, const order_report *report, bool listed) {
  uint64_t client_id = 0;
  live_order *item = client_parse(report->client, &client_id) ? orders_find(&self->orders, client_id) : NULL;
  if (item == NULL) {
    const int instrument = instrument_find(self, report->symbol);
    if (listed && instrument >= 0) {
      char text[SLIPWAY_VENUE_ID_MAX];
      (void)snprintf(text, sizeof text, "%" PRId64, report->venue_id);
      self->callbacks.on_orphan(self->user, text, (uint16_t)instrument);
    }
    return;
  }
  item->seen = true;
  item->query_at_ns = 0;
  item->queries = 0;
  if (report->status != STATUS_REJECTED) {
    book_ack(self, item, report->venue_id);
  }
  if (item->cancel_wanted && !item->cancel_in_flight && !ended(report->status)) {
    item->query_at_ns =
        session_cancel(self, item) ? self->now_ns + REQUERY_NS : self->now_ns + NS_PER_MS * 50;
  }
  const observed now = {
      .executed_e8 = report->executed_e8, .quote_e8 = report->quote_e8, .status = report->status};
  settle(self, item, &now);
}

void book_not_found(broker *self, live_order *item) {
  item->seen = true;
  if (item->queries < UINT8_MAX) {
    item->queries++;
  }
  if (self->now_ns - item->sent_ns < UNKNOWN_ORDER_TIME_NS) {
    item->query_at_ns = self->now_ns + REQUERY_NS; /* it may still be on its way to the matching engine */
    return;
  }
  if (item->venue_id == 0) {
    book_reject(self, item, CODE_NO_SUCH_ORDER, "the venue never got the order");
    return;
  }
  if (item->queries < 10) {
    item->query_at_ns = self->now_ns + REQUERY_NS;
    return;
  }
  const uint64_t client_id = item->client_id;
  const int64_t left = item->quantity_e8 - item->executed_e8;
  broker_log(self, LEVEL_ERROR, "the venue acknowledged order %" PRId64 " and now knows nothing of it",
             item->venue_id);
  orders_remove(&self->orders, item);
  self->callbacks.on_cancel(self->user, client_id, left);
}
