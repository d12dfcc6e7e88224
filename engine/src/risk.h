/* risk.h: every order is asked here before it is sent. Counts at send, refuses one over. */
#ifndef SLIPWAY_RISK_H
#define SLIPWAY_RISK_H

#include <stdbool.h>
#include <stdint.h>

#include "broker_interface.h"
#include "ledger.h"
#include "limits.h"
#include "orders.h"

/* Why an order was refused; also the label of the metric. */
typedef enum risk_verdict {
  RISK_PASS = 0,
  RISK_PERMIT,    /* no valid permit at this instant */
  RISK_HALTED,    /* killed, latched, stopping, or the venue is not ready */
  RISK_MALFORMED, /* no such instrument, price or quantity not above 0 or off tick or lot */
  RISK_ORDER_QUANTITY,
  RISK_ORDER_VALUE,
  RISK_NO_REFERENCE, /* no two-sided quote to hold the price against */
  RISK_PRICE_COLLAR,
  RISK_OPEN_ORDERS,
  RISK_POSITION,
  RISK_REDUCE_ONLY,  /* the engine is REDUCING and this order does not reduce */
  RISK_MESSAGE_RATE, /* the venue's */
  RISK_TOTAL_RATE,
  RISK_VERDICTS
} risk_verdict;

const char *risk_name(risk_verdict verdict);

/* The last `capacity` sends; the window is the last second. */
typedef struct message_window {
  int64_t *times; /* ring, owned */
  uint32_t capacity;
  uint32_t next;
} message_window;

bool window_init(message_window *self, int64_t capacity);
void window_free(message_window *self);
/* How many more fit into the second that ends now. */
uint32_t window_left(const message_window *self, int64_t mono_ns);
bool window_full(const message_window *self, int64_t mono_ns);
/* Count a message. Also used for cancels, which are counted but never refused. */
void window_count(message_window *self, int64_t mono_ns);

typedef struct market {
  broker_quote quote;
  int64_t mid_e8; /* of the last two-sided quote; kept for marking when the book is one-sided */
  bool two_sided;
} market;

typedef struct risk_view {
  const limits_venue *bounds;
  const broker_instrument *instruments;
  uint16_t instrument_count;
  const order_table *orders;
  const ledger *ledgers;
  const market *markets;
  bool reduce_only;
} risk_view;

/* All checks that do not depend on time. */
risk_verdict risk_check(const risk_view *view, const broker_order *order);

/* Whether any instrument's position alone (no open orders) is beyond its bound. */
bool risk_over_position(const risk_view *view);

/* Loss of the current UTC day; the day's first look sets the base. */
typedef struct day_loss {
  int64_t day;
  int64_t base_e8;
  int64_t loss_e8; /* above 0: lost */
} day_loss;

/* Move to the day of `wall_ns` and take the net result so far. Returns the day's loss. */
int64_t day_loss_update(day_loss *self, int64_t wall_ns, int64_t net_e8);

#endif
