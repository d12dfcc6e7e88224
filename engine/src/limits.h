/* limits.h: limits.json, the bounds set in advance by someone who is not the strategy. */
#ifndef SLIPWAY_LIMITS_H
#define SLIPWAY_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config.h"

#define LIMITS_VERSION 1
#define OPEN_ORDERS_MAX 256
#define MESSAGES_MAX 100000

typedef struct limits_venue {
  char name[NAME_MAX_TEXT];
  char instruments[INSTRUMENTS_MAX][SLIPWAY_SYMBOL_MAX];
  size_t instrument_count;
  int64_t price_collar_bps;      /* largest distance of an order's price from the last mid */
  int64_t max_order_value_e8;    /* price * quantity, quote currency */
  int64_t max_order_quantity_e8; /* base currency or contracts */
  int64_t max_open_orders;
  int64_t max_messages_per_s; /* orders and cancels, any sliding second */
  int64_t max_position_e8;    /* per instrument, either way, open orders counted as if filled */
  int64_t max_daily_loss_e8;  /* quote currency, UTC day, realised + unrealised - fees */
} limits_venue;

typedef struct limits {
  char sha256[DIGEST_HEX]; /* of the file's bytes */
  char mode[NAME_MAX_TEXT];
  int64_t total_venues;
  int64_t total_messages_per_s;
  int64_t total_daily_loss_e8;
  limits_venue venues[VENUES_MAX];
  size_t venue_count;
} limits;

bool limits_parse(limits *self, const char *file, const char *bytes, size_t length, char *error,
                  size_t error_size);
bool limits_load(limits *self, const char *file, char *error, size_t error_size);

/* The limits of one venue, or NULL. */
const limits_venue *limits_find(const limits *self, const char *venue);

/* Whether these limits cover this configuration: same mode, every venue and every instrument listed,
 * not more venues than allowed. The message names both files. */
bool limits_cover(const limits *self, const config *of, const char *config_file, char *error,
                  size_t error_size);

#endif
