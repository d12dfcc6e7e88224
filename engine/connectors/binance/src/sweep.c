/* sweep.c: cancel_all. The venue cancels by symbol only and has no kill switch, so: cancel on every
 * instrument at once, ask for the account's whole list, cancel on every symbol in it, and again, until the
 * list is empty and no order of ours is unaccounted for. While it runs no new order goes out.
 */
#include "internal.h"

#include <string.h>

#define RETRY_NS (50 * NS_PER_MS) /* the socket is full, or the venue holds us off */
#define FIRST_PAUSE_NS (50 * NS_PER_MS)
#define LONGEST_PAUSE_NS (2 * NS_PER_S) /* a list weighs 80 of the 6000 that a minute allows */
#define FORGET_NS (10 * NS_PER_S)

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

/* Lists come ever more slowly, also over several calls of cancel_all: the engine repeats those. */
static void pace_lists(broker *self) {
  cancel_sweep *sweep = &self->sweep;
  if (self->now_ns - sweep->listed_at_ns > FORGET_NS) {
    sweep->lists = 0;
  }
  int64_t pause = FIRST_PAUSE_NS << (sweep->lists < 6 ? sweep->lists : 6);
  if (pause > LONGEST_PAUSE_NS) {
    pause = LONGEST_PAUSE_NS;
  }
  sweep->lists++;
  sweep->listed_at_ns = self->now_ns;
  sweep->list_at_ns = self->now_ns + pause;
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
    sweep->retry_at_ns = self->now_ns + RETRY_NS;
  }
}

static void ask_list(broker *self) {
  cancel_sweep *sweep = &self->sweep;
  sweep->retry_at_ns = self->now_ns + RETRY_NS;
  api_request *request = session_begin(self, "openOrders.status", PENDING_SWEEP_LIST, 0, 0);
  if (request == NULL) {
    return;
  }
  session_window(self, request);
  if (session_send(self, request)) {
    sweep->in_flight++;
    sweep->retry_at_ns = 0;
    pace_lists(self);
  }
}

void sweep_tick(broker *self) {
  cancel_sweep *sweep = &self->sweep;
  if (!sweep->active || !self->session.authorised || sweep->in_flight > 0 ||
      self->now_ns < sweep->retry_at_ns) {
    return;
  }
  if (!sweep->verifying) {
    cancel_everything(self);
  } else if (self->now_ns >= sweep->list_at_ns) {
    ask_list(self);
  }
}

void sweep_start(broker *self) {
  cancel_sweep *sweep = &self->sweep;
  if (!sweep->active) {
    sweep->active = true;
    sweep->verifying = false;
    sweep->in_flight = 0;
    sweep->retry_at_ns = 0;
    sweep->symbol_count = 0;
  } else if (sweep->in_flight == 0) {
    sweep->verifying = false; /* called again: cancel again, whatever the pace of the lists */
  }
  sweep_tick(self);
}

void sweep_restart(broker *self) {
  self->sweep.in_flight = 0;
  self->sweep.verifying = false;
  self->sweep.retry_at_ns = 0;
}

static void answered(cancel_sweep *sweep) {
  if (sweep->in_flight > 0) {
    sweep->in_flight--;
  }
}

void sweep_canceled(broker *self) { answered(&self->sweep); }

void sweep_list_failed(broker *self) {
  answered(&self->sweep);
  self->sweep.verifying = false;
  self->sweep.retry_at_ns = self->now_ns + RETRY_NS;
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
  answered(sweep);
  unsigned open = 0;
  bool readable = doc_is_array(doc, result);
  sweep->symbol_count = 0;
  for (int at = doc_first(doc, result); at != DOC_NONE; at = doc_after(doc, result, at)) {
    char symbol[SYMBOL_TEXT_MAX];
    open++;
    if (!doc_copy(doc, doc_member(doc, at, "symbol"), symbol, sizeof symbol)) {
      readable = false;
    } else if (instrument_find(self, symbol) < 0) {
      remember(sweep, symbol);
    }
  }
  sweep->verifying = false;
  if (!readable) {
    broker_log(self, LEVEL_ERROR, "cancel all: the list of open orders is not readable; asking again");
    return;
  }
  if (open > 0) {
    return; /* cancels again, at once */
  }
  if (ask_missing(self)) {
    sweep->verifying = true;
    return;
  }
  sweep->active = false;
  broker_log(self, LEVEL_NOTICE, "cancel all: the venue has no open order of this account");
}
