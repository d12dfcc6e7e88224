/* orders.h: the orders that this connector has sent and not yet seen end, in one fixed table. */
#ifndef BINANCE_ORDERS_H
#define BINANCE_ORDERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker_interface.h"
#include "settings.h"

#define ORDERS_MAX 1024
#define CLIENT_TEXT_MAX 24 /* "slw-" and 16 hex digits */

typedef struct live_order {
  uint64_t client_id;
  int64_t venue_id; /* 0: not acknowledged */
  int64_t price_e8, quantity_e8;
  int64_t executed_e8, quote_e8; /* reported as fills so far */
  int64_t sent_ns;               /* CLOCK_MONOTONIC */
  int64_t query_at_ns;           /* ask the venue for its state then; 0: no need */
  uint16_t instrument;
  uint8_t side, tif;
  uint8_t queries;      /* answers "no such order" so far */
  bool query_in_flight; /* order.status is out */
  bool cancel_in_flight;
  bool cancel_wanted; /* and not yet seen to be done */
  bool seen;          /* the reconcile in progress has heard of it */
} live_order;

typedef struct orders {
  uint64_t ids[ORDERS_MAX]; /* 0: free. Apart from the rest so that a search reads few cache lines. */
  live_order items[ORDERS_MAX];
  unsigned high; /* slots from here on are free */
  unsigned count;
  unsigned open[INSTRUMENT_MAX]; /* by instrument */
} orders;

/* NULL: not there (or, for orders_add, the table is full or the id is taken or 0). */
live_order *orders_find(orders *self, uint64_t client_id);
live_order *orders_add(orders *self, const broker_order *from);
void orders_remove(orders *self, live_order *gone);

/* The order at or after `*slot`, moving `*slot` past it; NULL at the end. */
live_order *orders_next(orders *self, unsigned *slot);

/* newClientOrderId: "slw-" and the id in 16 hex digits. Returns its length. */
size_t client_text(uint64_t client_id, char out[CLIENT_TEXT_MAX]);

/* The reverse; false for anything that we did not write. */
bool client_parse(const char *text, uint64_t *client_id);

#endif
