/* engine.h: the order loop: connectors, permit, risk, strategy, kill; and what it shares outward. */
#ifndef SLIPWAY_ENGINE_H
#define SLIPWAY_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "broker_interface.h"
#include "config.h"
#include "connector.h"
#include "histogram.h"
#include "ledger.h"
#include "limits.h"
#include "notify.h"
#include "orders.h"
#include "paper_quote.h"
#include "permit.h"
#include "risk.h"
#include "snapshot.h"

/* The latch file is written and watched by housekeeping, so that no disk can hold up the loop. */
typedef enum latch_step {
  LATCH_NONE = 0,
  LATCH_WANTED = 1,  /* loop: halted; the file is to be written (and is tried until it is) */
  LATCH_WRITTEN = 2, /* housekeeping: the file is there */
  LATCH_LIFTED = 3   /* housekeeping: the file was removed by a person */
} latch_step;

/* Between the loop and the housekeeping thread; nothing here is guarded by a lock. */
typedef struct engine_shared {
  const config *config;
  const limits *limits;
  char release[DIGEST_HEX]; /* sha256 of the running executable */
  int64_t started_mono_ns;
  snapshot_box box;
  histogram order_rtt[VENUES_MAX];
  histogram tick_to_order[VENUES_MAX];
  /* A command is a flag that housekeeping sets and the loop clears when it has done it. The reason is
   * written before the flag is set. */
  _Atomic bool kill_wanted;
  _Atomic bool resume_wanted;
  char kill_reason[REASON_MAX];
  _Atomic int latch;                  /* latch_step */
  char latch_reason[REASON_MAX];      /* written by the loop before LATCH_WANTED */
  _Atomic int64_t latch_seen_wall_ns; /* when the file was last seen in place */
} engine_shared;

struct engine;

typedef struct venue {
  struct engine *engine;
  size_t index;
  const config_venue *about;
  const limits_venue *bounds;
  connector connector;
  order_table orders;
  ledger ledgers[INSTRUMENTS_MAX];
  market markets[INSTRUMENTS_MAX];
  bool fresh[INSTRUMENTS_MAX]; /* a quote came in this turn */
  paper_quote strategies[INSTRUMENTS_MAX];
  message_window messages;
  message_window rate_refusals; /* full: the strategy has run away */
  day_loss day;
  int64_t net_e8;
  uint32_t epoch;       /* counts lost connections; orders of an older one may be lost with it */
  bool results_changed; /* a quote or fill since the loss was last looked at */
  bool reduce_only;
  bool sweeping; /* cancelling what may be open before anything else is sent */
  int64_t sweep_from_mono_ns;
  int64_t sweep_quiet_from_mono_ns;
  int64_t cancel_all_mono_ns; /* last asked; 0 never */
  uint32_t cancel_alls_of_sweep;
  int64_t checked_mono_ns;
  venue_view view; /* counters and state as published */
} venue;

typedef struct engine {
  engine_shared *shared;
  venue *venues;
  size_t venue_count;
  permit permit;
  notify notify;
  message_window messages;
  message_window rate_refusals;
  day_loss day;
  uint64_t next_client_id;
  int64_t mono_ns; /* of this turn */
  int64_t wall_ns;
  engine_state state;
  char reason[REASON_MAX]; /* why the state is what it is */
  bool may_trade;
  bool permit_held;
  bool killed;
  int64_t killed_wall_ns;
  bool latched;
  bool flattening; /* cancelling everything; ends when nothing is open */
  bool stopping;
  int64_t stop_deadline_mono_ns;
  bool pinned;
  bool status_due;
  int64_t published_mono_ns;
  int64_t watchdog_mono_ns;
  int64_t status_mono_ns;
  snapshot out;
} engine;

typedef struct engine_options {
  const config *config;
  const limits *limits;
  const char *release_sha256;
  const char *credentials_directory; /* NULL: none given */
  connector *connectors;             /* loaded, one a venue; the engine takes them over */
} engine_options;

/* Create the connectors and everything else. NULL with `error` filled. Starts disarmed, always; with a
 * latch file in place, halted. */
engine *engine_create(const engine_options *options, char *error, size_t error_size);

/* One turn of the loop; never waits. False when the engine has stopped and may be destroyed. */
bool engine_turn(engine *self);

/* Begin to stop: cancel everything, go on turning until nothing is open or 5 s have passed. */
void engine_stop(engine *self);
void engine_destroy(engine *self);

/* The order path: permit, risk, table, socket. The client id, or 0 when refused or not sent. */
uint64_t engine_submit(venue *at, broker_order *order, bool fresh);
void engine_cancel(venue *at, uint64_t client_id);

/* Housekeeping's part of the latch: write the file, watch it. Call often, from one other thread. */
void latch_housekeeping(engine_shared *shared);

#endif
