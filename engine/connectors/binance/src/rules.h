/* rules.h: what the venue allows for a symbol (exchangeInfo's filters), checked before an order is sent. */
#ifndef BINANCE_RULES_H
#define BINANCE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker_interface.h"

#define ASSET_MAX 32

/* 0 disables a bound, as in the venue's own filters. All in 1e-8 units. */
typedef struct rules {
  bool known;
  bool trading; /* status TRADING and spot trading allowed */
  char status[24];
  char quote_asset[ASSET_MAX];
  int64_t tick, price_min, price_max;
  int64_t lot, quantity_min, quantity_max;
  int64_t notional_min, notional_max;
  int64_t orders_max;
} rules;

/* True if the venue's filters let the order through; otherwise `why` says which one and by what bound.
 * `open` is the number of orders that we have open on the symbol. */
bool rules_allow(const rules *self, const broker_order *order, unsigned open, char *why, size_t why_size);

/* True if prices and sizes on the configured grid always lie on the venue's grid. */
bool rules_match(const rules *self, const broker_instrument *instrument, char *why, size_t why_size);

#endif
