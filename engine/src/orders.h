/* orders.h: the orders of one venue that we believe open. Fixed capacity, nothing allocated.
 *
 * A client id picks its slot (its low bits); the next id skips slots that are in use, so a look-up is
 * one comparison. A closed order stays readable until its slot is used again, so that a fill that
 * arrives late is still booked to the right instrument.
 */
#ifndef SLIPWAY_ORDERS_H
#define SLIPWAY_ORDERS_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker_interface.h"
#include "config.h"
#include "limits.h"

#define ORDER_SLOTS 1024
static_assert(ORDER_SLOTS > OPEN_ORDERS_MAX, "a free slot must always be near");

typedef enum order_state { ORDER_CLOSED = 0, ORDER_SENT = 1, ORDER_OPEN = 2 } order_state;

typedef struct order_entry {
  broker_order order;
  int64_t left_e8;
  int64_t sent_mono_ns;
  int64_t cancel_mono_ns;       /* when we last asked to cancel it; 0: may be asked now */
  int64_t cancel_first_mono_ns; /* when we first asked; 0 never */
  uint32_t epoch;               /* the venue connection it was sent on */
  uint16_t place;               /* in `open` */
  uint8_t state;                /* order_state */
} order_entry;

typedef struct order_table {
  order_entry slots[ORDER_SLOTS];
  uint16_t open[OPEN_ORDERS_MAX];
  uint16_t open_count;
  int64_t open_buy_e8[INSTRUMENTS_MAX];
  int64_t open_sell_e8[INSTRUMENTS_MAX];
} order_table;

void orders_init(order_table *self);

/* Enter an order as SENT; gives it its client id from *next_id, which moves on. NULL when full. */
order_entry *orders_enter(order_table *self, broker_order *order, uint64_t *next_id, int64_t mono_ns,
                          uint32_t epoch);

/* The entry of this id, open or lately closed; NULL when unknown. */
order_entry *orders_find(order_table *self, uint64_t client_id);

static inline bool order_is_open(const order_entry *entry) {
  return entry != NULL && entry->state != ORDER_CLOSED;
}

/* Part of it was filled. Closes nothing; what is left never goes below 0. */
void orders_reduce(order_table *self, order_entry *entry, int64_t quantity_e8);
void orders_close(order_table *self, order_entry *entry);

#endif
