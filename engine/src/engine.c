/* engine.c: see engine.h. */
#include "engine.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "clock.h"
#include "closed_json.h"
#include "log.h"

#define CANCEL_ALL_AGAIN_NS (250 * NS_PER_MS)
#define CANCEL_AGAIN_NS NS_PER_S
#define ANSWER_WITHIN_NS (2 * NS_PER_S) /* an order without an answer for longer: the venue is stale */
#define QUIET_NS NS_PER_S               /* without news of strays before a sweep is over */
#define LOST_AFTER_NS (4 * NS_PER_S)    /* of sweeping, until an order of a lost connection is given up */
#define CHECK_EVERY_NS (20 * NS_PER_MS)
#define PUBLISH_EVERY_NS (5 * NS_PER_MS)
#define STATUS_EVERY_NS (200 * NS_PER_MS)
#define STOP_WITHIN_NS (5 * NS_PER_S)
#define REDUCE_AT_PERCENT 80 /* of a daily loss limit */

/* ---- halting -------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void set_reason(engine *self, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(self->reason, sizeof self->reason, format, arguments);
  va_end(arguments);
}

static void ask_cancel_all(venue *at) {
  window_count(&at->messages, at->engine->mono_ns);
  window_count(&at->engine->messages, at->engine->mono_ns);
  at->cancel_all_mono_ns = at->engine->mono_ns;
  at->view.cancel_alls_sent++;
  if (at->connector.ops->cancel_all(at->connector.broker) == 0) {
    at->cancel_alls_of_sweep++;
  }
}

/* From here on nothing is sent but cancels, until nothing is open. */
static void flatten(engine *self) {
  self->may_trade = false;
  self->flattening = true;
  self->status_due = true;
  for (size_t i = 0; i < self->venue_count; i++) {
    ask_cancel_all(&self->venues[i]);
  }
}

/* An automatic halt: held in memory whatever the disk says, lifted only by a person. */
static void latch(engine *self, const char *reason) {
  if (self->latched) {
    return;
  }
  self->latched = true;
  set_reason(self, "%s", reason);
  permit_void(&self->permit, self->wall_ns, "an automatic halt is latched: lift the latch first");
  (void)snprintf(self->shared->latch_reason, sizeof self->shared->latch_reason, "%s", reason);
  atomic_store_explicit(&self->shared->latch, LATCH_WANTED, memory_order_release);
  log_line(LOG_ALERT, "HALTED: %s", reason);
  flatten(self);
}

/* ---- the order path ------------------------------------------------------------------------- */

static risk_view view_of(const venue *at) {
  return (risk_view){.bounds = at->bounds,
                     .instruments = at->about->instruments,
                     .instrument_count = at->about->instrument_count,
                     .orders = &at->orders,
                     .ledgers = at->ledgers,
                     .markets = at->markets,
                     .reduce_only = at->reduce_only};
}

/* Count a refusal for too many messages; as many refusals as the limit itself within a second is no
 * burst but a runaway, and halts. */
static void rate_refused(venue *at, message_window *refusals, const char *whose) {
  engine *self = at->engine;
  window_count(refusals, self->mono_ns);
  if (window_full(refusals, self->mono_ns)) {
    char reason[REASON_MAX];
    (void)snprintf(reason, sizeof reason,
                   "runaway: venue %s tried twice the message limit of %s in one second", at->about->name,
                   whose);
    latch(self, reason);
  }
}

static risk_verdict ask(venue *at, const broker_order *order) {
  engine *self = at->engine;
  if (!permit_holds(&self->permit, clock_wall_ns())) {
    return RISK_PERMIT;
  }
  if (!self->may_trade || at->sweeping || at->view.stale != 0 || at->view.connection != BROKER_READY) {
    return RISK_HALTED;
  }
  const risk_view view = view_of(at);
  const risk_verdict verdict = risk_check(&view, order);
  if (verdict != RISK_PASS) {
    return verdict;
  }
  if (window_full(&at->messages, self->mono_ns)) {
    rate_refused(at, &at->rate_refusals, "the venue");
    return RISK_MESSAGE_RATE;
  }
  if (window_full(&self->messages, self->mono_ns)) {
    rate_refused(at, &self->rate_refusals, "all venues");
    return RISK_TOTAL_RATE;
  }
  return RISK_PASS;
}

uint64_t engine_submit(venue *at, broker_order *order, bool fresh) {
  engine *self = at->engine;
  const risk_verdict verdict = ask(at, order);
  at->view.refused[verdict]++;
  if (verdict != RISK_PASS) {
    return 0;
  }
  const int64_t quote_mono_ns = at->markets[order->instrument].quote.received_mono_ns;
  order_entry *entry = orders_enter(&at->orders, order, &self->next_client_id, self->mono_ns, at->epoch);
  if (entry == NULL) {
    at->view.refused[RISK_OPEN_ORDERS]++;
    return 0;
  }
  window_count(&at->messages, self->mono_ns);
  window_count(&self->messages, self->mono_ns);
  entry->sent_mono_ns = clock_mono_ns();
  if (at->connector.ops->submit(at->connector.broker, order) != 0) {
    at->view.submit_failed++;
    orders_close(&at->orders, entry);
    return 0;
  }
  at->view.sent++;
  if (fresh) {
    histogram_record(&self->shared->tick_to_order[at->index], clock_mono_ns() - quote_mono_ns);
  }
  return order->client_id;
}

void engine_cancel(venue *at, uint64_t client_id) {
  engine *self = at->engine;
  order_entry *entry = orders_find(&at->orders, client_id);
  if (!order_is_open(entry) ||
      (entry->cancel_mono_ns != 0 && self->mono_ns - entry->cancel_mono_ns < CANCEL_AGAIN_NS)) {
    return;
  }
  /* Counted, never refused: a cancel makes us safer. */
  window_count(&at->messages, self->mono_ns);
  window_count(&self->messages, self->mono_ns);
  if (at->connector.ops->cancel(at->connector.broker, client_id) == 0) {
    entry->cancel_mono_ns = self->mono_ns;
    entry->cancel_first_mono_ns =
        entry->cancel_first_mono_ns == 0 ? self->mono_ns : entry->cancel_first_mono_ns;
    at->view.cancels_sent++;
  }
}

/* ---- what connectors report ----------------------------------------------------------------- */

/* Before anything else is sent: cancel all, at once and again until nothing is open. */
static void begin_sweep(venue *at) {
  if (!at->sweeping) {
    at->sweeping = true;
    at->sweep_from_mono_ns = at->engine->mono_ns;
    at->cancel_alls_of_sweep = 0;
  }
  at->cancel_all_mono_ns = 0;
  at->checked_mono_ns = 0;
  at->sweep_quiet_from_mono_ns = at->engine->mono_ns;
}

static bool has_old_orders(const venue *at) {
  for (uint16_t i = 0; i < at->orders.open_count; i++) {
    if (at->orders.slots[at->orders.open[i]].epoch != at->epoch) {
      return true;
    }
  }
  return false;
}

static void on_state(void *user, broker_state state, const char *reason) {
  venue *at = user;
  engine *self = at->engine;
  const bool was_ready = at->view.connection == BROKER_READY;
  if (at->view.connection != (int64_t)state) {
    log_line(state == BROKER_REFUSED ? LOG_ERR : LOG_NOTICE, "%s: %s%s%s", at->about->name,
             state == BROKER_READY          ? "READY"
             : state == BROKER_CONNECTING   ? "CONNECTING"
             : state == BROKER_DISCONNECTED ? "DISCONNECTED"
                                            : "REFUSED",
             reason != NULL && reason[0] != '\0' ? ": " : "", reason == NULL ? "" : reason);
  }
  at->view.connection = state;
  (void)snprintf(at->view.reason, sizeof at->view.reason, "%s", reason == NULL ? "" : reason);
  self->status_due = true;
  if (state == BROKER_DISCONNECTED) {
    at->epoch++;
    for (uint16_t i = 0; i < at->about->instrument_count; i++) {
      at->markets[i].two_sided = false; /* what we saw is no longer the market */
    }
  }
  if (!was_ready && state == BROKER_READY && has_old_orders(at) && !at->sweeping) {
    begin_sweep(at); /* orders of a connection that was lost: start from nothing */
  }
}

static void on_quote(void *user, const broker_quote *quote) {
  venue *at = user;
  at->view.quotes++;
  if (quote->instrument >= at->about->instrument_count) {
    at->view.unknown_events++;
    return;
  }
  market *book = &at->markets[quote->instrument];
  const int64_t now = clock_mono_ns();
  book->quote = *quote;
  if (quote->received_mono_ns <= 0 || quote->received_mono_ns > now) {
    book->quote.received_mono_ns = now; /* another process wrote it: it may hold anything */
  }
  book->two_sided = quote->bid_e8 > 0 && quote->ask_e8 > quote->bid_e8 && quote->ask_e8 <= DECIMAL_READ_MAX;
  at->view.quote_mono_ns = book->quote.received_mono_ns;
  if (book->two_sided) {
    book->mid_e8 = quote->bid_e8 + (quote->ask_e8 - quote->bid_e8) / 2;
    at->fresh[quote->instrument] = true;
    at->results_changed = true;
  }
}

/* First word of the venue about an order. */
static void confirm(venue *at, order_entry *entry) {
  if (entry->state == ORDER_SENT) {
    entry->state = ORDER_OPEN;
    at->view.acked++;
    histogram_record(&at->engine->shared->order_rtt[at->index], clock_mono_ns() - entry->sent_mono_ns);
    paper_quote_accepted(&at->strategies[entry->order.instrument], (broker_side)entry->order.side);
  }
}

static void on_ack(void *user, uint64_t client_id, const char *venue_id) {
  venue *at = user;
  (void)venue_id;
  order_entry *entry = orders_find(&at->orders, client_id);
  if (entry == NULL) {
    at->view.unknown_events++;
    return;
  }
  confirm(at, entry);
}

static void on_fill(void *user, const broker_fill *fill) {
  venue *at = user;
  order_entry *entry = orders_find(&at->orders, fill->client_id);
  uint16_t instrument = 0;
  if (entry != NULL) {
    instrument = entry->order.instrument;
    confirm(at, entry);
  } else {
    at->view.unknown_events++;
    if (at->about->instrument_count > 1) {
      latch(at->engine, "a fill of an order we do not know: position unknown");
      return;
    }
  }
  at->view.fills++;
  at->results_changed = true;
  if (!ledger_fill(&at->ledgers[instrument], fill->side == BROKER_BUY, fill->price_e8, fill->quantity_e8,
                   fill->fee_e8)) {
    latch(at->engine, "an impossible fill: position unknown");
    return;
  }
  if (entry != NULL) {
    orders_reduce(&at->orders, entry, fill->quantity_e8);
    if (fill->final != 0 || entry->left_e8 == 0) {
      orders_close(&at->orders, entry);
    }
  }
}

static void on_cancel(void *user, uint64_t client_id, int64_t left_e8) {
  venue *at = user;
  (void)left_e8;
  order_entry *entry = orders_find(&at->orders, client_id);
  at->sweep_quiet_from_mono_ns = at->engine->mono_ns;
  if (!order_is_open(entry)) {
    at->view.unknown_events++; /* an orphan's, or one told twice */
    return;
  }
  confirm(at, entry);
  at->view.canceled++;
  orders_close(&at->orders, entry);
}

static void on_reject(void *user, uint64_t client_id, int32_t code, const char *text) {
  venue *at = user;
  order_entry *entry = orders_find(&at->orders, client_id);
  at->view.rejected++;
  log_line(LOG_WARNING, "%s: order %" PRIu64 " rejected: %d %s", at->about->name, client_id, (int)code, text);
  if (!order_is_open(entry)) {
    at->view.unknown_events++;
    return;
  }
  paper_quote_rejected(&at->strategies[entry->order.instrument], (broker_side)entry->order.side,
                       at->engine->mono_ns);
  orders_close(&at->orders, entry);
}

static void on_orphan(void *user, const char *venue_id, uint16_t instrument) {
  venue *at = user;
  log_line(LOG_WARNING, "%s: open order %s (instrument %u) is not of this life; cancelling all",
           at->about->name, venue_id, (unsigned)instrument);
  at->view.orphans++;
  begin_sweep(at);
}

static void on_log(void *user, int level, const char *text) {
  const venue *at = user;
  log_line(level, "%s: %s", at->about->name, text);
}

static const broker_callbacks callbacks = {.on_state = on_state,
                                           .on_quote = on_quote,
                                           .on_ack = on_ack,
                                           .on_fill = on_fill,
                                           .on_cancel = on_cancel,
                                           .on_reject = on_reject,
                                           .on_orphan = on_orphan,
                                           .on_log = on_log};

/* ---- looking after a venue ------------------------------------------------------------------ */

/* Orders of a connection that was lost: the new one is logged in and reconciled, cancel_all was handed
 * over again and again, and still no word of them (a connector that was started anew does not know
 * them). They are not open; a late fill is booked all the same. */
static void close_lost(venue *at) {
  engine *self = at->engine;
  if (!at->sweeping || at->view.connection != BROKER_READY || at->cancel_alls_of_sweep < 2 ||
      self->mono_ns - at->sweep_from_mono_ns < LOST_AFTER_NS) {
    return;
  }
  for (uint16_t i = at->orders.open_count; i > 0; i--) {
    order_entry *entry = &at->orders.slots[at->orders.open[i - 1]];
    if (entry->epoch != at->epoch) {
      log_line(LOG_WARNING, "%s: order %" PRIu64 " was lost with its connection", at->about->name,
               entry->order.client_id);
      at->view.lost++;
      orders_close(&at->orders, entry);
    }
  }
}

static int64_t count_unanswered(const venue *at) {
  int64_t count = 0;
  for (uint16_t i = 0; i < at->orders.open_count; i++) {
    const order_entry *entry = &at->orders.slots[at->orders.open[i]];
    const bool order_late =
        entry->state == ORDER_SENT && at->engine->mono_ns - entry->sent_mono_ns > ANSWER_WITHIN_NS;
    const bool cancel_late = entry->cancel_first_mono_ns != 0 &&
                             at->engine->mono_ns - entry->cancel_first_mono_ns > ANSWER_WITHIN_NS;
    count += order_late || cancel_late ? 1 : 0;
  }
  return count;
}

static void look_after(venue *at) {
  engine *self = at->engine;
  if (self->mono_ns - at->checked_mono_ns < CHECK_EVERY_NS) {
    return;
  }
  at->checked_mono_ns = self->mono_ns;
  at->view.unconfirmed = count_unanswered(at);
  const int64_t stale = at->view.unconfirmed > 0 ? 1 : 0;
  if (stale != at->view.stale) {
    at->view.stale = stale;
    self->status_due = true;
    log_line(stale != 0 ? LOG_ERR : LOG_NOTICE, "%s: %s", at->about->name,
             stale != 0 ? "no answer to an order for 2 s; no new orders, cancelling all" : "answers again");
  }
  const bool cancelling = at->sweeping || stale != 0 || (self->flattening && at->orders.open_count > 0);
  if (cancelling &&
      (at->cancel_all_mono_ns == 0 || self->mono_ns - at->cancel_all_mono_ns >= CANCEL_ALL_AGAIN_NS)) {
    ask_cancel_all(at);
  }
  close_lost(at);
  if (at->sweeping && at->orders.open_count == 0 &&
      self->mono_ns - at->sweep_quiet_from_mono_ns >= QUIET_NS) {
    at->sweeping = false;
    log_line(LOG_NOTICE, "%s: swept, nothing open", at->about->name);
  }
}

static void look_at_results(venue *at) {
  engine *self = at->engine;
  char reason[REASON_MAX];
  at->results_changed = false;
  at->net_e8 = 0;
  for (uint16_t i = 0; i < at->about->instrument_count; i++) {
    at->net_e8 = add_held(at->net_e8, ledger_net_e8(&at->ledgers[i], at->markets[i].mid_e8));
  }
  int64_t net_e8 = 0;
  for (size_t i = 0; i < self->venue_count; i++) {
    net_e8 = add_held(net_e8, self->venues[i].net_e8);
  }
  const int64_t loss = day_loss_update(&at->day, self->wall_ns, at->net_e8);
  const int64_t total = day_loss_update(&self->day, self->wall_ns, net_e8);
  if (loss >= at->bounds->max_daily_loss_e8) {
    (void)snprintf(reason, sizeof reason, "daily loss limit of venue %s reached", at->about->name);
    latch(self, reason);
  } else if (total >= self->shared->limits->total_daily_loss_e8) {
    latch(self, "daily loss limit over all venues reached");
  }
  const risk_view view = view_of(at);
  at->reduce_only = loss >= at->bounds->max_daily_loss_e8 / 100 * REDUCE_AT_PERCENT ||
                    total >= self->shared->limits->total_daily_loss_e8 / 100 * REDUCE_AT_PERCENT ||
                    risk_over_position(&view);
}

/* ---- the strategy's port -------------------------------------------------------------------- */

static uint64_t port_submit(void *user, broker_order *order, bool fresh) {
  return engine_submit(user, order, fresh);
}

static void port_cancel(void *user, uint64_t client_id) { engine_cancel(user, client_id); }

static const broker_order *port_open_order(void *user, uint64_t client_id) {
  venue *at = user;
  const order_entry *entry = orders_find(&at->orders, client_id);
  return order_is_open(entry) ? &entry->order : NULL;
}

static uint32_t messages_left(const venue *at) {
  const uint32_t own = window_left(&at->messages, at->engine->mono_ns);
  const uint32_t total = window_left(&at->engine->messages, at->engine->mono_ns);
  return own < total ? own : total;
}

static void run_strategy(venue *at) {
  engine *self = at->engine;
  const strategy_port port = {
      .engine = at, .submit = port_submit, .cancel = port_cancel, .open_order = port_open_order};
  for (uint16_t i = 0; i < at->about->instrument_count && self->may_trade; i++) {
    const market *book = &at->markets[i];
    if (!book->two_sided) {
      continue;
    }
    const strategy_view view = {.instrument = &at->about->instruments[i],
                                .index = i,
                                .bid_e8 = book->quote.bid_e8,
                                .ask_e8 = book->quote.ask_e8,
                                .fresh = at->fresh[i],
                                .mono_ns = self->mono_ns,
                                .position_e8 = at->ledgers[i].position_e8,
                                .max_position_e8 = at->bounds->max_position_e8,
                                .max_order_quantity_e8 = at->bounds->max_order_quantity_e8,
                                .max_order_value_e8 = at->bounds->max_order_value_e8,
                                .max_messages_per_s = at->bounds->max_messages_per_s,
                                .messages_left = messages_left(at),
                                .reduce_only = at->reduce_only};
    paper_quote_turn(&at->strategies[i], &view, &port);
  }
}

/* ---- the turn ------------------------------------------------------------------------------- */

static void take_commands(engine *self) {
  if (atomic_load_explicit(&self->shared->kill_wanted, memory_order_acquire)) {
    self->killed = true;
    self->killed_wall_ns = self->wall_ns;
    if (!self->latched) {
      set_reason(self, "killed: %s", self->shared->kill_reason);
    }
    log_line(LOG_WARNING, "killed: %s", self->shared->kill_reason);
    flatten(self);
    atomic_store_explicit(&self->shared->kill_wanted, false, memory_order_release);
  }
  if (atomic_load_explicit(&self->shared->resume_wanted, memory_order_acquire)) {
    if (self->killed && !self->latched) {
      log_line(LOG_NOTICE, "resumed");
      self->killed = false;
    }
    atomic_store_explicit(&self->shared->resume_wanted, false, memory_order_release);
  }
  if (atomic_load_explicit(&self->shared->latch, memory_order_acquire) == LATCH_LIFTED) {
    log_line(LOG_NOTICE, "the latch was lifted; a new permit is needed");
    self->latched = false;
    /* A permit written while the latch was in place is worth nothing; one written since it went is. */
    permit_void(&self->permit, atomic_load_explicit(&self->shared->latch_seen_wall_ns, memory_order_relaxed),
                "the latch was lifted; arm again");
    atomic_store_explicit(&self->shared->latch, LATCH_NONE, memory_order_release);
  }
}

static void look_at_permit(engine *self) {
  const bool held = permit_poll(&self->permit, self->mono_ns, self->wall_ns);
  if (held && self->killed && self->permit.terms.armed_at_ns > self->killed_wall_ns) {
    self->killed = false; /* armed anew by a person, after the kill */
  }
  if (held && !self->permit_held) {
    log_line(LOG_NOTICE, "permit of %s taken up", self->permit.terms.armed_by);
  }
  if (!held && self->permit_held) {
    log_line(LOG_WARNING, "permit lost: %s", self->permit.reason);
    if (!self->killed && !self->latched) {
      set_reason(self, "%s", self->permit.reason);
    }
  }
  self->permit_held = held;
  const bool may_trade = held && !self->killed && !self->latched && !self->stopping;
  if (self->may_trade && !may_trade) {
    flatten(self);
  }
  self->may_trade = may_trade && !self->flattening;
}

static void decide_state(engine *self) {
  bool nothing_open = true;
  bool reduce = false;
  for (size_t i = 0; i < self->venue_count; i++) {
    nothing_open = nothing_open && self->venues[i].orders.open_count == 0;
    reduce = reduce || self->venues[i].reduce_only;
  }
  if (self->flattening && nothing_open) {
    self->flattening = false;
    log_line(LOG_NOTICE, "nothing open");
  }
  engine_state state = ENGINE_DISARMED;
  if (self->latched || self->flattening || (self->killed && self->permit_held)) {
    state = ENGINE_HALTED;
  } else if (self->may_trade) {
    state = reduce ? ENGINE_REDUCING : ENGINE_ACTIVE;
    self->reason[0] = '\0';
  } else if (!self->permit_held && !self->killed) {
    set_reason(self, "%s", self->permit.reason);
  }
  if (state != self->state) {
    log_line(LOG_NOTICE, "state %s -> %s%s%s", engine_state_name(self->state), engine_state_name(state),
             self->reason[0] == '\0' ? "" : ": ", self->reason);
    self->state = state;
    self->status_due = true;
  }
}

static void publish_venue(const venue *at, venue_view *out) {
  *out = at->view;
  out->open_orders = at->orders.open_count;
  out->messages_last_s =
      (int64_t)at->messages.capacity - (int64_t)window_left(&at->messages, at->engine->mono_ns);
  out->daily_loss_e8 = at->day.loss_e8;
  for (uint16_t i = 0; i < at->about->instrument_count; i++) {
    const ledger *book = &at->ledgers[i];
    out->instruments[i] =
        (instrument_view){.position_e8 = book->position_e8,
                          .realised_e8 = ledger_realised_e8(book),
                          .unrealised_e8 = ledger_unrealised_e8(book, at->markets[i].mid_e8),
                          .fees_paid_e8 = book->fees_paid_e8,
                          .rebates_e8 = book->rebates_e8,
                          .mid_e8 = at->markets[i].mid_e8};
  }
}

static void publish(engine *self) {
  snapshot *out = &self->out;
  self->published_mono_ns = self->mono_ns;
  out->state = self->state;
  (void)snprintf(out->reason, sizeof out->reason, "%s", self->reason);
  out->published_mono_ns = self->mono_ns;
  out->permit_held = self->permit_held ? 1 : 0;
  out->armed_at_wall_ns = self->permit.terms.armed_at_ns;
  out->expires_at_wall_ns = self->permit.terms.expires_at_ns;
  out->latched = self->latched ? 1 : 0;
  out->latch_written =
      atomic_load_explicit(&self->shared->latch, memory_order_relaxed) == LATCH_WRITTEN ? 1 : 0;
  out->killed = self->killed ? 1 : 0;
  out->daily_loss_e8 = self->day.loss_e8;
  out->pinned = self->pinned ? 1 : 0;
  for (size_t i = 0; i < self->venue_count; i++) {
    publish_venue(&self->venues[i], &out->venues[i]);
  }
  snapshot_publish(&self->shared->box, out, self->venue_count);
}

static void tell_manager(engine *self) {
  if (self->notify.watchdog_interval_ns > 0 &&
      self->mono_ns - self->watchdog_mono_ns >= self->notify.watchdog_interval_ns) {
    self->watchdog_mono_ns = self->mono_ns;
    notify_send(&self->notify, "WATCHDOG=1");
  }
  if (!self->status_due || self->mono_ns - self->status_mono_ns < STATUS_EVERY_NS) {
    return;
  }
  char text[768];
  size_t used =
      (size_t)snprintf(text, sizeof text, "STATUS=%s%s%s%s", engine_state_name(self->state),
                       self->reason[0] == '\0' ? "" : " (", self->reason, self->reason[0] == '\0' ? "" : ")");
  static const char *const names[] = {"disconnected", "connecting", "ready", "refused"};
  for (size_t i = 0; i < self->venue_count && used < sizeof text; i++) {
    const venue *at = &self->venues[i];
    used += (size_t)snprintf(text + used, sizeof text - used, "; %s %s%s", at->about->name,
                             names[at->view.connection & 3], at->view.stale != 0 ? ", stale" : "");
  }
  self->status_due = false;
  self->status_mono_ns = self->mono_ns;
  notify_send(&self->notify, text);
}

bool engine_turn(engine *self) {
  const engine_state before = self->state;
  self->mono_ns = clock_mono_ns();
  self->wall_ns = clock_wall_ns();
  self->out.turns++;
  take_commands(self);
  look_at_permit(self);
  for (size_t i = 0; i < self->venue_count; i++) {
    venue *at = &self->venues[i];
    memset(at->fresh, 0, sizeof at->fresh);
    at->connector.ops->poll(at->connector.broker, self->mono_ns);
    if (at->results_changed) {
      look_at_results(at);
    }
    look_after(at);
    if (self->may_trade && !at->sweeping && at->view.stale == 0 && at->view.connection == BROKER_READY) {
      run_strategy(at);
    }
  }
  decide_state(self);
  if (self->state != before || self->mono_ns - self->published_mono_ns >= PUBLISH_EVERY_NS) {
    publish(self);
  }
  tell_manager(self);
  return !self->stopping || (self->flattening && self->mono_ns < self->stop_deadline_mono_ns);
}

void engine_stop(engine *self) {
  if (self->stopping) {
    return;
  }
  self->mono_ns = clock_mono_ns();
  self->stopping = true;
  self->stop_deadline_mono_ns = self->mono_ns + STOP_WITHIN_NS;
  set_reason(self, "stopping");
  notify_send(&self->notify, "STOPPING=1");
  log_line(LOG_NOTICE, "stopping: cancelling all");
  flatten(self);
}

/* ---- life ----------------------------------------------------------------------------------- */

static bool create_venue(engine *self, size_t index, const engine_options *options, char *error,
                         size_t error_size) {
  venue *at = &self->venues[index];
  at->engine = self;
  at->index = index;
  at->about = &options->config->venues[index];
  at->bounds = limits_find(options->limits, at->about->name);
  at->connector = options->connectors[index];
  if (at->bounds == NULL || !window_init(&at->messages, at->bounds->max_messages_per_s) ||
      !window_init(&at->rate_refusals, at->bounds->max_messages_per_s)) {
    (void)snprintf(error, error_size, "venue %s: no limits, or out of memory", at->about->name);
    return false;
  }
  orders_init(&at->orders);
  at->day = (day_loss){.day = self->day.day, .base_e8 = 0, .loss_e8 = 0};
  for (uint16_t i = 0; i < at->about->instrument_count; i++) {
    paper_quote_init(&at->strategies[i], &at->about->strategy);
  }
  const broker_config about = config_broker(options->config, index, options->credentials_directory);
  return connector_create(&at->connector, at->about, &about, &callbacks, at, error, error_size);
}

static void start_latched(engine *self) {
  if (access(self->shared->config->latch, F_OK) != 0 && errno == ENOENT) {
    return;
  }
  self->latched = true;
  set_reason(self, "an automatic halt is latched: %s", self->shared->config->latch);
  atomic_store_explicit(&self->shared->latch, LATCH_WRITTEN, memory_order_release);
}

engine *engine_create(const engine_options *options, char *error, size_t error_size) {
  engine *self = calloc(1, sizeof *self);
  if (self != NULL) {
    self->permit.file = -1;
    self->notify.socket = -1;
    self->shared = calloc(1, sizeof *self->shared);
    self->venues = calloc(options->config->venue_count, sizeof *self->venues);
  }
  if (self == NULL || self->shared == NULL || self->venues == NULL) {
    (void)snprintf(error, error_size, "out of memory");
    engine_destroy(self);
    return NULL;
  }
  self->mono_ns = clock_mono_ns();
  self->wall_ns = clock_wall_ns();
  (void)day_loss_update(&self->day, self->wall_ns, 0);
  self->shared->config = options->config;
  self->shared->limits = options->limits;
  self->shared->started_mono_ns = self->mono_ns;
  (void)snprintf(self->shared->release, sizeof self->shared->release, "%s", options->release_sha256);
  /* Microseconds since 1970: higher than any id of an earlier life, as no life sends a million a second. */
  self->next_client_id = (uint64_t)(self->wall_ns / NS_PER_US);
  notify_init(&self->notify);
  if (!permit_init(&self->permit, options->config->permit, options->config->latch, options->release_sha256,
                   options->limits->sha256, self->wall_ns) ||
      !window_init(&self->messages, options->limits->total_messages_per_s) ||
      !window_init(&self->rate_refusals, options->limits->total_messages_per_s)) {
    (void)snprintf(error, error_size, "cannot start: %s", strerror(errno));
    engine_destroy(self);
    return NULL;
  }
  start_latched(self);
  for (size_t i = 0; i < options->config->venue_count; i++) {
    self->venue_count = i + 1;
    if (!create_venue(self, i, options, error, error_size)) {
      engine_destroy(self);
      return NULL;
    }
  }
  self->status_due = true;
  publish(self);
  return self;
}

void engine_destroy(engine *self) {
  if (self == NULL) {
    return;
  }
  for (size_t i = 0; i < self->venue_count; i++) {
    venue *at = &self->venues[i];
    connector_destroy(&at->connector);
    window_free(&at->messages);
    window_free(&at->rate_refusals);
  }
  window_free(&self->messages);
  window_free(&self->rate_refusals);
  permit_free(&self->permit);
  notify_free(&self->notify);
  free(self->venues);
  free(self->shared);
  free(self);
}
