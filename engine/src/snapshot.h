/* snapshot.h: what the loop knows, published for the housekeeping thread without a lock.
 *
 * A sequence lock over atomic words: the loop never waits for a reader, a reader tries again when the
 * loop wrote meanwhile.
 */
#ifndef SLIPWAY_SNAPSHOT_H
#define SLIPWAY_SNAPSHOT_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "risk.h"

#define REASON_MAX 256

typedef enum engine_state {
  ENGINE_DISARMED = 0, /* no permit; nothing of ours open */
  ENGINE_ACTIVE = 1,
  ENGINE_REDUCING = 2, /* permit, but only orders that reduce a position */
  ENGINE_HALTED = 3,   /* latched or killed, or orders still being cancelled */
  ENGINE_STATES = 4
} engine_state;

const char *engine_state_name(engine_state state);

typedef struct instrument_view {
  int64_t position_e8, realised_e8, unrealised_e8, fees_paid_e8, rebates_e8, mid_e8;
} instrument_view;

typedef struct venue_view {
  int64_t connection; /* broker_state */
  char reason[SLIPWAY_TEXT_MAX];
  int64_t open_orders, unconfirmed;
  uint64_t sent, acked, fills, canceled, rejected, cancels_sent, cancel_alls_sent, submit_failed;
  uint64_t quotes, orphans, lost, unknown_events;
  uint64_t refused[RISK_VERDICTS];
  int64_t messages_last_s;
  int64_t daily_loss_e8;
  int64_t quote_mono_ns; /* of the newest quote; 0 none yet */
  int64_t stale;         /* 1: no answer to an order for too long */
  instrument_view instruments[INSTRUMENTS_MAX];
} venue_view;

typedef struct snapshot {
  int64_t state; /* engine_state */
  char reason[REASON_MAX];
  int64_t published_mono_ns;
  int64_t permit_held, armed_at_wall_ns, expires_at_wall_ns;
  int64_t latched, latch_written, killed;
  int64_t daily_loss_e8;
  int64_t pinned;
  uint64_t turns;
  venue_view venues[VENUES_MAX];
} snapshot;

#define SNAPSHOT_WORDS (sizeof(snapshot) / sizeof(uint64_t))
static_assert(sizeof(snapshot) % sizeof(uint64_t) == 0, "snapshot is copied by words");

typedef struct snapshot_box {
  _Atomic uint64_t sequence; /* odd: being written */
  _Atomic uint64_t words[SNAPSHOT_WORDS];
} snapshot_box;

/* Only the loop. `venues`: how many of them are in use (the rest is not copied). */
void snapshot_publish(snapshot_box *box, const snapshot *value, size_t venues);
/* Any thread. False only when the loop kept writing through many tries. */
bool snapshot_read(snapshot_box *box, snapshot *value);

#endif
