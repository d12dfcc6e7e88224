/* orders.c: see orders.h. */
#include "orders.h"

#include <string.h>

static const char prefix[] = "slw-";

live_order *orders_find(orders *self, uint64_t client_id) {
  if (client_id == 0) {
    return NULL;
  }
  for (unsigned i = 0; i < self->high; i++) {
    if (self->ids[i] == client_id) {
      return &self->items[i];
    }
  }
  return NULL;
}

live_order *orders_add(orders *self, const broker_order *from) {
  if (from->client_id == 0 || orders_find(self, from->client_id) != NULL) {
    return NULL;
  }
  unsigned slot = 0;
  while (slot < self->high && self->ids[slot] != 0) {
    slot++;
  }
  if (slot == ORDERS_MAX) {
    return NULL;
  }
  if (slot == self->high) {
    self->high++;
  }
  self->ids[slot] = from->client_id;
  self->count++;
  self->open[from->instrument]++;
  live_order *added = &self->items[slot];
  memset(added, 0, sizeof *added);
  added->client_id = from->client_id;
  added->price_e8 = from->price_e8;
  added->quantity_e8 = from->quantity_e8;
  added->instrument = from->instrument;
  added->side = from->side;
  added->tif = from->tif;
  return added;
}

void orders_remove(orders *self, live_order *gone) {
  const size_t slot = (size_t)(gone - self->items);
  self->ids[slot] = 0;
  self->count--;
  self->open[gone->instrument]--;
  while (self->high > 0 && self->ids[self->high - 1] == 0) {
    self->high--;
  }
}

live_order *orders_next(orders *self, unsigned *slot) {
  while (*slot < self->high) {
    const unsigned at = (*slot)++;
    if (self->ids[at] != 0) {
      return &self->items[at];
    }
  }
  return NULL;
}

size_t client_text(uint64_t client_id, char out[CLIENT_TEXT_MAX]) {
  static const char hex[] = "0123456789abcdef";
  const size_t start = sizeof prefix - 1;
  memcpy(out, prefix, start);
  for (unsigned i = 0; i < 16; i++) {
    out[start + i] = hex[(client_id >> (60U - 4U * i)) & 15U];
  }
  out[start + 16] = '\0';
  return start + 16;
}

bool client_parse(const char *text, uint64_t *client_id) {
  const size_t start = sizeof prefix - 1;
  if (strlen(text) != start + 16 || memcmp(text, prefix, start) != 0) {
    return false;
  }
  uint64_t value = 0;
  for (const char *c = text + start; *c != '\0'; c++) {
    if (*c >= '0' && *c <= '9') {
      value = value << 4U | (uint64_t)(*c - '0');
    } else if (*c >= 'a' && *c <= 'f') {
      value = value << 4U | (uint64_t)(*c - 'a' + 10);
    } else {
      return false;
    }
  }
  *client_id = value;
  return value != 0;
}
