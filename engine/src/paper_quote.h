/* paper_quote.h: a strategy that proves a deployment, not one that earns.
 *
 * It quotes both sides around the mid, replaces its quotes every requote_ms, and every take_every-th
 * cycle crosses the spread with an immediate-or-cancel order so that fills occur; a position is
 * brought back to flat by those crossing orders. It keeps off prices of its own resting orders, backs
 * off from a venue that rejects, and paces itself below the message limit.
 */
#ifndef SLIPWAY_PAPER_QUOTE_H
#define SLIPWAY_PAPER_QUOTE_H

#include <stdbool.h>
#include <stdint.h>

#include "broker_interface.h"
#include "config.h"

/* What the engine lends the strategy for one instrument and one turn. */
typedef struct strategy_view {
  const broker_instrument *instrument;
  uint16_t index;
  int64_t bid_e8, ask_e8; /* a two-sided, uncrossed quote */
  bool fresh;             /* the quote came in this turn */
  int64_t mono_ns;
  int64_t position_e8;
  int64_t max_position_e8, max_order_quantity_e8, max_order_value_e8;
  int64_t max_messages_per_s;
  uint32_t messages_left; /* in this second */
  bool reduce_only;
} strategy_view;

/* What it may do. submit returns the client id, or 0 when the order was refused or not sent. */
typedef struct strategy_port {
  void *engine;
  uint64_t (*submit)(void *engine, broker_order *order, bool fresh);
  void (*cancel)(void *engine, uint64_t client_id);
  /* The order if it is still open, else NULL. */
  const broker_order *(*open_order)(void *engine, uint64_t client_id);
} strategy_port;

typedef struct paper_side {
  uint64_t quote;   /* resting now */
  uint64_t leaving; /* asked to cancel, not yet confirmed */
  int64_t blocked_until_mono_ns;
  int64_t backoff_ns;
} paper_side;

typedef struct paper_quote {
  paper_quote_parameters parameters;
  int64_t last_cycle_mono_ns;
  uint64_t cycle;
  paper_side sides[2]; /* buy, sell */
  uint64_t take;       /* the crossing order in flight */
  bool take_wanted;    /* due, but an order of ours still stands in its way */
} paper_quote;

void paper_quote_init(paper_quote *self, const paper_quote_parameters *parameters);
void paper_quote_turn(paper_quote *self, const strategy_view *view, const strategy_port *port);
/* The venue rejected an order of this side: wait, twice as long each time. */
void paper_quote_rejected(paper_quote *self, broker_side side, int64_t mono_ns);
void paper_quote_accepted(paper_quote *self, broker_side side);

#endif
