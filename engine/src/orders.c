/* orders.c: see orders.h. */
#include "orders.h"

#include <string.h>

void orders_init(order_table *self) { memset(self, 0, sizeof *self); }

static int64_t *exposure(order_table *self, const broker_order *order) {
  return order->side == BROKER_BUY ? &self->open_buy_e8[order->instrument]
                                   : &self->open_sell_e8[order->instrument];
}

order_entry *orders_enter(order_table *self, broker_order *order, uint64_t *next_id, int64_t mono_ns,
                          uint32_t epoch) {
  if (self->open_count >= OPEN_ORDERS_MAX || order->instrument >= INSTRUMENTS_MAX) {
    return NULL;
  }
  while (self->slots[*next_id % ORDER_SLOTS].state != ORDER_CLOSED) {
    (*next_id)++;
  }
  order->client_id = (*next_id)++;
  const uint16_t slot = (uint16_t)(order->client_id % ORDER_SLOTS);
  order_entry *entry = &self->slots[slot];
  *entry = (order_entry){.order = *order,
                         .left_e8 = order->quantity_e8,
                         .sent_mono_ns = mono_ns,
                         .cancel_mono_ns = 0,
                         .cancel_first_mono_ns = 0,
                         .epoch = epoch,
                         .place = self->open_count,
                         .state = ORDER_SENT};
  self->open[self->open_count++] = slot;
  *exposure(self, order) += order->quantity_e8;
  return entry;
}

order_entry *orders_find(order_table *self, uint64_t client_id) {
  order_entry *entry = &self->slots[client_id % ORDER_SLOTS];
  return client_id != 0 && entry->order.client_id == client_id ? entry : NULL;
}

void orders_reduce(order_table *self, order_entry *entry, int64_t quantity_e8) {
  const int64_t part = quantity_e8 < entry->left_e8 ? quantity_e8 : entry->left_e8;
  if (entry->state != ORDER_CLOSED) {
    *exposure(self, &entry->order) -= part;
  }
  entry->left_e8 -= part;
}

void orders_close(order_table *self, order_entry *entry) {
  if (entry->state == ORDER_CLOSED) {
    return;
  }
  *exposure(self, &entry->order) -= entry->left_e8;
  entry->state = ORDER_CLOSED;
  const uint16_t last = self->open[--self->open_count];
  self->open[entry->place] = last;
  self->slots[last].place = entry->place;
}
