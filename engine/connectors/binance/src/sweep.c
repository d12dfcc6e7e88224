/* sweep.c: cancel_all. The venue cancels by symbol only and has no kill switch, so: cancel on every
 * instrument at once, ask for the account's whole list, cancel on every symbol in it, and again, until the
 * list is empty and no order of ours is unaccounted for. While it runs no new order goes out.
 */
#include "internal.h"

#include <string.h>

#define FIRST_PAUSE_NS (50 * NS_PER_MS)
#define LONGEST_PAUSE_NS (2 * NS_PER_S) /* the list weighs 80 of 6000 a minute */

static bool cancel_symbol(broker *self, const char *symbol) {
  api_request *request = session_begin(self, "openOrders.cancelAll", PENDING_SWEEP_CANCEL, 0, 0);
  if (request == NULL) {
    return false;
  }
  session_window(self, request);
  request_text(request, "symbol", symbol);
  if (!session_send(self, request)) {
    return false;
  }
  self->sweep.in_flight++;
  return true;
}

static void pause_round(broker *self) {
  cancel_sweep *sweep = &self->sweep;
  const unsigned doublings = sweep->rounds < 6 ? sweep->rounds : 6;
  int64_t pause = FIRST_PAUSE_NS << doublings;
  if (pause > LONGEST_PAUSE_NS) {
    pause = LONGEST_PAUSE_NS;
  }
  sweep->rounds++;
  sweep->next_at_ns = self->now_ns + pause;
}

static bool instrument_listed(const broker *self, const char *symbol) {
  return instrument_find(self, symbol) >= 0;
}

/* One round of cancels. */
static void cancel_everything(broker *self) {
  cancel_sweep *sweep = &self->sweep;
  bool sent = true;
  for (uint16_t i = 0; i < self->instrument_count && sent; i++) {
    sent = cancel_symbol(self, self->instruments[i].symbol);
  }
  for (unsigned i = 0; i < sweep->symbol_count && sent; i++) {
    sent = cancel_symbol(self, sweep->symbols[i]);
  }
  sweep->verifying = sent;
  if (!sent) {
    pause_round(self);
  }
}

static void ask_list(broker *self) {
  api_request *request = session_begin(self, "openOrders.status", PENDING_SWEEP_LIST, 0, 0);
  if (request == NULL) {
    pause_round(self);
    return;
  }
  session_window(self, request);
  if (!session_send(self, request)) {
    pause_round(self);
    return;
  }
  self->sweep.in_flight++;
}

void sweep_tick(broker *self) {
  cancel_sweep *sweep = &self->sweep;
  if (!sweep->active || !self->session.authorised || sweep->in_flight > 0 ||
      self->now_ns < sweep->next_at_ns) {
    return;
  }
  if (sweep->verifying) {
    ask_list(self);
  } else {
    cancel_everything(self);
  }
}

void sweep_start(broker *self) {
  cancel_sweep *sweep = &self->sweep;
  sweep->next_at_ns = 0;
  sweep->rounds = 0;
  if (!sweep->active) {
    sweep->active = true;
    sweep->verifying = false;
    sweep->in_flight = 0;
    sweep->symbol_count = 0;
  }
  sweep_tick(self);
}

void sweep_restart(broker *self) {
  self->sweep.in_flight = 0;
  self->sweep.verifying = false;
  self->sweep.next_at_ns = 0;
}

void sweep_canceled(broker *self, bool failed) {
  cancel_sweep *sweep = &self->sweep;
  if (sweep->in_flight > 0) {
    sweep->in_flight--;
  }
  if (failed) {
    pause_round(self); /* the list will say what is left */
  }
}

void sweep_list_failed(broker *self) {
  cancel_sweep *sweep = &self->sweep;
  if (sweep->in_flight > 0) {
    sweep->in_flight--;
  }
  sweep->verifying = false;
  pause_round(self);
}

static void remember(cancel_sweep *sweep, const char *symbol) {
  for (unsigned i = 0; i < sweep->symbol_count; i++) {
    if (strcmp(sweep->symbols[i], symbol) == 0) {
      return;
    }
  }
  if (sweep->symbol_count < SWEEP_SYMBOLS_MAX) {
    memcpy(sweep->symbols[sweep->symbol_count++], symbol, strlen(symbol) + 1);
  }
}

/* An order that we sent and the venue's list lacks is over or on its way: its own query tells which. */
static bool ask_missing(broker *self) {
  unsigned slot = 0;
  bool any = false;
  for (live_order *item = orders_next(&self->orders, &slot); item != NULL;
       item = orders_next(&self->orders, &slot)) {
    any = true;
    if (item->query_at_ns == 0 && !item->query_in_flight) {
      item->query_at_ns = self->now_ns;
    }
  }
  return any;
}

void sweep_listed(broker *self, const json_doc *doc, int result) {
  cancel_sweep *sweep = &self->sweep;
  if (sweep->in_flight > 0) {
    sweep->in_flight--;
  }
  unsigned open = 0;
  bool readable = doc_is_array(doc, result);
  sweep->symbol_count = 0;
  for (int at = doc_first(doc, result); at != DOC_NONE; at = doc_after(doc, result, at)) {
    char symbol[SYMBOL_TEXT_MAX];
    open++;
    if (!doc_copy(doc, doc_member(doc, at, "symbol"), symbol, sizeof symbol)) {
      readable = false;
    } else if (!instrument_listed(self, symbol)) {
      remember(sweep, symbol);
    }
  }
  sweep->verifying = false;
  if (!readable) {
    broker_log(self, LEVEL_ERROR, "cancel all: the list of open orders is not readable; asking again");
    pause_round(self);
    return;
  }
  if (open > 0) {
    pause_round(self);
    return;
  }
  if (ask_missing(self)) {
    sweep->verifying = true;
    pause_round(self);
    return;
  }
  sweep->active = false;
  broker_log(self, LEVEL_NOTICE, "cancel all: the venue has no open order of this account");
}
