/* session.c: the WebSocket API: log on, user data, requests and their answers, reconcile. */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define REQUEST_TIME_NS (3 * NS_PER_S)
#define STABLE_NS (10 * NS_PER_S) /* a connection that lived this long clears the back-off */
#define DRAIN_NS NS_PER_S
#define CONFIRM_NS NS_PER_S          /* wait for the event that follows the answer to a cancel */
#define RETRY_NS (50 * NS_PER_MS)    /* the socket was full */
#define CLOCK_WAIT_NS (3 * NS_PER_S) /* REST is away: sign by our own clock rather than never */

#define CODE_UNEXPECTED (-1006)
#define CODE_TIMEOUT (-1007)
#define CODE_TOO_MANY_REQUESTS (-1003)
#define CODE_FILTER (-1013)
#define CODE_TOO_MANY_ORDERS (-1015)
#define CODE_TIMESTAMP (-1021)
#define CODE_NO_SUCH_ORDER (-2013)
#define CODE_ALREADY_SUBSCRIBED (-2035)

static void clear_in_flight(broker *self) {
  ws_session *session = &self->session;
  memset(session->pending, 0, sizeof session->pending);
  session->in_flight = 0;
  unsigned slot = 0;
  for (live_order *item = orders_next(&self->orders, &slot); item != NULL;
       item = orders_next(&self->orders, &slot)) {
    item->query_in_flight = false;
    item->cancel_in_flight = false;
    item->query_at_ns = 0; /* the reconcile asks */
  }
  sweep_restart(self);
}

void session_fail(broker *self, const char *why, bool at_once) {
  ws_session *session = &self->session;
  const bool stable = session->stage >= SESSION_RECONCILE && self->now_ns - session->opened_ns > STABLE_NS;
  link_drop(&session->link);
  if (stable) {
    backoff_reset(&session->backoff);
  }
  session->stage = SESSION_DOWN;
  session->authorised = false;
  session->drain_until_ns = 0;
  session->connect_at_ns = self->now_ns + (at_once && stable ? 0 : backoff_next(&session->backoff));
  if (session->connect_at_ns < self->hold_ns) {
    session->connect_at_ns = self->hold_ns;
  }
  (void)snprintf(session->problem, sizeof session->problem, "WebSocket API %s: %s", session->link.to->host,
                 why);
  clear_in_flight(self);
  broker_log(self, LEVEL_WARNING, "%s; next attempt in %" PRId64 " ms", session->problem,
             (session->connect_at_ns - self->now_ns) / NS_PER_MS);
}

/* ---- sending */

api_request *session_begin(broker *self, const char *method, pending_kind kind, uint64_t client_id,
                           uint16_t instrument) {
  ws_session *session = &self->session;
  const int64_t id = session->sequence + 1;
  if (session->link.state != LINK_OPEN || self->now_ns < self->hold_ns ||
      session->pending[(uint64_t)id % PENDING_MAX].kind != PENDING_NONE) {
    return NULL;
  }
  session->sequence = id;
  session->draft = (pending){.id = id,
                             .client_id = client_id,
                             .deadline_ns = self->now_ns + REQUEST_TIME_NS,
                             .instrument = instrument,
                             .kind = (uint8_t)kind};
  /* An HMAC key cannot log a session on: each of its requests carries key and signature. */
  const bool keyed = kind == PENDING_LOGON ||
                     (signer_type(self->credentials.signer) == SIGNER_HMAC && strcmp(method, "ping") != 0);
  request_begin(&session->request, id, method, keyed ? self->credentials.api_key : NULL);
  return &session->request;
}

void session_window(const broker *self, api_request *request) {
  request_integer(request, "recvWindow", self->settings.recv_window_ms);
}

bool session_send(broker *self, api_request *request) {
  ws_session *session = &self->session;
  const bool bare = request->last == NULL; /* userDataStream.subscribe takes no parameters at all */
  if (!bare && strcmp(request->last, "timestamp") < 0) {
    request_integer(request, "timestamp", broker_timestamp_ms(self));
  }
  const bool sign =
      session->draft.kind == PENDING_LOGON || signer_type(self->credentials.signer) == SIGNER_HMAC;
  const size_t length = request_end(request, sign ? self->credentials.signer : NULL);
  if (length == 0) {
    broker_log(self, LEVEL_ERROR, "a request could not be written or signed");
    return false;
  }
  if (!link_send(&session->link, request_json(request), length)) {
    return false;
  }
  session->pending[(uint64_t)session->draft.id % PENDING_MAX] = session->draft;
  session->in_flight++;
  return true;
}

bool session_place(broker *self, const live_order *item) {
  char client[CLIENT_TEXT_MAX];
  api_request *request = session_begin(self, "order.place", PENDING_PLACE, item->client_id, item->instrument);
  if (request == NULL) {
    return false;
  }
  (void)client_text(item->client_id, client);
  request_text(request, "newClientOrderId", client);
  request_text(request, "newOrderRespType", "ACK"); /* fills come as events, and only there */
  request_decimal(request, "price", item->price_e8);
  request_decimal(request, "quantity", item->quantity_e8);
  session_window(self, request);
  request_text(request, "side", item->side == BROKER_BUY ? "BUY" : "SELL");
  request_text(request, "symbol", self->instruments[item->instrument].symbol);
  request_text(request, "timeInForce", item->tif == BROKER_IOC ? "IOC" : "GTC");
  request_integer(request, "timestamp", broker_timestamp_ms(self));
  request_text(request, "type", "LIMIT");
  return session_send(self, request);
}

/* order.cancel and order.status name an order alike; by the venue's number it is found faster. */
static bool send_named(broker *self, const char *method, pending_kind kind, const live_order *item) {
  api_request *request = session_begin(self, method, kind, item->client_id, item->instrument);
  if (request == NULL) {
    return false;
  }
  if (item->venue_id != 0) {
    request_integer(request, "orderId", item->venue_id);
  } else {
    char client[CLIENT_TEXT_MAX];
    (void)client_text(item->client_id, client);
    request_text(request, "origClientOrderId", client);
  }
  session_window(self, request);
  request_text(request, "symbol", self->instruments[item->instrument].symbol);
  return session_send(self, request);
}

bool session_query(broker *self, live_order *item) {
  item->query_in_flight = send_named(self, "order.status", PENDING_STATUS, item);
  if (item->query_in_flight) {
    item->query_at_ns = 0;
  }
  return item->query_in_flight;
}

bool session_cancel(broker *self, live_order *item) {
  if (!self->session.authorised) {
    return false;
  }
  item->cancel_in_flight = send_named(self, "order.cancel", PENDING_CANCEL, item);
  return item->cancel_in_flight;
}

/* ---- from an open socket to READY */

static void log_on(broker *self) {
  ws_session *session = &self->session;
  api_request *request = session_begin(self, "session.logon", PENDING_LOGON, 0, 0);
  if (request == NULL) {
    return;
  }
  session_window(self, request);
  if (session_send(self, request)) {
    session->stage = SESSION_LOGON;
  }
}

static void subscribe(broker *self) {
  ws_session *session = &self->session;
  const bool logged_on = signer_type(self->credentials.signer) == SIGNER_ED25519;
  api_request *request =
      session_begin(self, logged_on ? "userDataStream.subscribe" : "userDataStream.subscribe.signature",
                    PENDING_SUBSCRIBE, 0, 0);
  if (request == NULL) {
    return;
  }
  if (!logged_on) {
    session_window(self, request);
  }
  if (session_send(self, request)) {
    session->stage = SESSION_SUBSCRIBE;
  }
}

static void ask_open_orders(broker *self) {
  ws_session *session = &self->session;
  while (session->lists_asked < self->instrument_count) {
    api_request *request =
        session_begin(self, "openOrders.status", PENDING_OPEN_ORDERS, 0, session->lists_asked);
    if (request == NULL) {
      return;
    }
    session_window(self, request);
    request_text(request, "symbol", self->instruments[session->lists_asked].symbol);
    if (!session_send(self, request)) {
      return;
    }
    session->lists_asked++;
  }
}

static void begin_reconcile(broker *self) {
  ws_session *session = &self->session;
  unsigned slot = 0;
  for (live_order *item = orders_next(&self->orders, &slot); item != NULL;
       item = orders_next(&self->orders, &slot)) {
    item->seen = false;
  }
  session->lists_asked = 0;
  session->lists_read = 0;
  session->stage = SESSION_RECONCILE;
  ask_open_orders(self);
}

/* Once the lists are read, orders of ours that they lack are asked for one by one. */
static void advance_reconcile(broker *self) {
  ws_session *session = &self->session;
  ask_open_orders(self);
  if (session->lists_read < self->instrument_count) {
    return;
  }
  bool waiting = false;
  unsigned slot = 0;
  for (live_order *item = orders_next(&self->orders, &slot); item != NULL;
       item = orders_next(&self->orders, &slot)) {
    if (item->seen) {
      continue;
    }
    waiting = true;
    if (!item->query_in_flight && item->query_at_ns == 0) {
      item->query_at_ns = self->now_ns;
    }
  }
  if (!waiting) {
    session->stage = SESSION_READY;
    session->problem[0] = '\0';
  }
}

/* ---- answers */

static bool answer_unknown(const api_message *message) {
  return message->status >= 500 || message->code == CODE_TIMEOUT || message->code == CODE_UNEXPECTED;
}

/* What an error means for the whole connector, whichever request it answers. */
static void common_error(broker *self, const api_message *message) {
  if (code_refuses(message->code)) {
    broker_refuse(self, "WebSocket API %s: %" PRId64 " %s (key, this host's address, or permissions)",
                  self->session.link.to->host, message->code, message->text);
  } else if (message->status == 451) {
    broker_refuse(self, "WebSocket API %s: 451 %s (this address is in a restricted location)",
                  self->session.link.to->host, message->text);
  } else if (message->code == CODE_TOO_MANY_ORDERS) {
    const int64_t wait_ms = message->retry_after_ms - realtime_ms_now();
    self->hold_orders_ns =
        self->now_ns + (message->retry_after_ms > 0 && wait_ms > 0 ? wait_ms * NS_PER_MS : 10 * NS_PER_S);
    broker_log(self, LEVEL_WARNING, "order limit reached (-1015): no new orders for %" PRId64 " ms",
               (self->hold_orders_ns - self->now_ns) / NS_PER_MS);
  } else if (message->status == 429 || message->status == 418 || message->code == CODE_TOO_MANY_REQUESTS) {
    broker_hold(self, message->retry_after_ms, message->status == 418 ? 120 : 10);
  } else if (message->code == CODE_TIMESTAMP) {
    self->survey.clock_at_ns = 0;
    broker_log(self, LEVEL_WARNING, "the venue refuses our time (-1021): measuring the clock anew");
  } else if (message->code == CODE_FILTER) {
    self->survey.rules_at_ns = 0;
  }
}

static void answer_place(broker *self, const json_doc *doc, const api_message *message, live_order *item) {
  if (item == NULL) {
    return; /* an event told its end before the answer came */
  }
  if (message->status == 200 && message->code == 0) {
    order_report report;
    if (order_report_read(doc, message->result, &report)) {
      book_ack(self, item, report.venue_id);
    } else {
      item->query_at_ns = self->now_ns;
    }
  } else if (answer_unknown(message) || item->venue_id != 0) {
    broker_log(self, LEVEL_WARNING, "the fate of an order is unknown (%" PRId64 " %s): asking", message->code,
               message->text);
    item->query_at_ns = self->now_ns;
  } else {
    book_reject(self, item, message->code, message->text);
  }
}

static void answer_cancel(broker *self, const api_message *message, live_order *item) {
  if (item == NULL) {
    return;
  }
  item->cancel_in_flight = false;
  if (message->status == 200 && message->code == 0) {
    item->query_at_ns = self->now_ns + CONFIRM_NS; /* the event says it; ask if it does not come */
  } else {
    /* -2011: it is over, or not there yet. 5xx: unknown. 429: to be sent again. The query decides. */
    item->query_at_ns = self->now_ns < self->hold_ns ? self->hold_ns : self->now_ns;
  }
}

static void answer_status(broker *self, const json_doc *doc, const api_message *message, live_order *item) {
  if (item == NULL) {
    return;
  }
  item->query_in_flight = false;
  if (message->status == 200 && message->code == 0) {
    order_report report;
    uint64_t client_id = 0;
    if (!order_report_read(doc, message->result, &report)) {
      item->query_at_ns = self->now_ns + NS_PER_S;
      broker_log(self, LEVEL_ERROR, "the state of an order is not readable; asking again");
      return;
    }
    /* A cancel renames the order at the venue: ours is the one that we asked for. */
    if (!client_parse(report.client, &client_id) || client_id != item->client_id) {
      (void)client_text(item->client_id, report.client);
    }
    book_report(self, &report, false);
  } else if (message->code == CODE_NO_SUCH_ORDER) {
    book_not_found(self, item);
  } else {
    item->query_at_ns = self->now_ns + NS_PER_S;
  }
}

static void answer_open_orders(broker *self, const json_doc *doc, const api_message *message) {
  if (message->status != 200 || message->code != 0 || !doc_is_array(doc, message->result)) {
    session_fail(self, "the open orders cannot be read", false);
    return;
  }
  const int list = message->result;
  for (int at = doc_first(doc, list); at != DOC_NONE; at = doc_after(doc, list, at)) {
    order_report report;
    if (!order_report_read(doc, at, &report)) {
      session_fail(self, "an open order cannot be read", false);
      return;
    }
    book_report(self, &report, true);
    if (self->session.stage == SESSION_DOWN) {
      return; /* a callback's request found the connection dead */
    }
  }
  self->session.lists_read++;
}

static void answer_logon(broker *self, const api_message *message) {
  ws_session *session = &self->session;
  if (message->status == 200 && message->code == 0) {
    session->authorised = true;
    sweep_tick(self); /* a kill goes before everything else */
    subscribe(self);
    return;
  }
  char why[SLIPWAY_TEXT_MAX + 48];
  (void)snprintf(why, sizeof why, "log-on failed: %" PRId64 " %s", message->code, message->text);
  session_fail(self, why, false);
}

static void answer_subscribe(broker *self, const api_message *message) {
  if ((message->status == 200 && message->code == 0) || message->code == CODE_ALREADY_SUBSCRIBED) {
    begin_reconcile(self);
    return;
  }
  char why[SLIPWAY_TEXT_MAX + 48];
  (void)snprintf(why, sizeof why, "user data refused: %" PRId64 " %s", message->code, message->text);
  session_fail(self, why, false);
}

static void answer(broker *self, const json_doc *doc, const api_message *message) {
  ws_session *session = &self->session;
  const bool good = message->status == 200 && message->code == 0;
  if (!good) {
    common_error(self, message);
  }
  pending *slot = message->has_id ? &session->pending[(uint64_t)message->id % PENDING_MAX] : NULL;
  if (slot == NULL || slot->kind == PENDING_NONE || slot->id != message->id) {
    if (!good && !message->has_id) {
      /* The venue revoked the session. What was in flight is unknown; the reconcile finds out. */
      session_fail(self, message->text[0] != '\0' ? message->text : "an error without a request", false);
    }
    return;
  }
  const pending asked = *slot;
  slot->kind = PENDING_NONE;
  session->in_flight--;
  live_order *item = orders_find(&self->orders, asked.client_id);
  switch ((pending_kind)asked.kind) {
  case PENDING_LOGON:
    answer_logon(self, message);
    break;
  case PENDING_SUBSCRIBE:
    answer_subscribe(self, message);
    break;
  case PENDING_OPEN_ORDERS:
    answer_open_orders(self, doc, message);
    break;
  case PENDING_PLACE:
    answer_place(self, doc, message, item);
    break;
  case PENDING_CANCEL:
    answer_cancel(self, message, item);
    break;
  case PENDING_STATUS:
    answer_status(self, doc, message, item);
    break;
  case PENDING_SWEEP_CANCEL:
    sweep_canceled(self); /* whatever the answer: the list tells what is left */
    break;
  case PENDING_SWEEP_LIST:
    if (good) {
      sweep_listed(self, doc, message->result);
    } else {
      sweep_list_failed(self);
    }
    break;
  case PENDING_NONE:
    break;
  }
}

/* ---- the link's calls */

static void on_open(void *owner, ws_link *link) {
  broker *self = owner;
  ws_session *session = &self->session;
  (void)link;
  self->now_ns = monotonic_now();
  session->stage = SESSION_OPEN;
  session->opened_ns = self->now_ns;
  session->replace_at_ns = self->now_ns + self->settings.rollover_ns;
  session_tick(self);
}

static void begin_drain(broker *self) {
  if (self->session.drain_until_ns == 0) {
    self->session.drain_until_ns = self->now_ns + DRAIN_NS;
  }
}

static void on_message(void *owner, ws_link *link, const char *text, size_t length, int64_t received_ns) {
  broker *self = owner;
  json_doc doc;
  api_message message;
  (void)link;
  self->now_ns = received_ns;
  if (!doc_parse(&doc, text, length, self->tokens, TOKENS_MAX) || !api_read(&doc, &message)) {
    /* It may have been a fill: only a reconcile can tell. */
    session_fail(self, "a message is not readable", false);
    return;
  }
  switch (message.kind) {
  case API_RESPONSE:
    answer(self, &doc, &message);
    break;
  case API_EXECUTION:
    book_execution(self, &message.execution);
    break;
  case API_SHUTDOWN:
    broker_log(self, LEVEL_NOTICE, "the WebSocket API announces its shutdown: reconnecting");
    begin_drain(self);
    break;
  case API_TERMINATED:
    session_fail(self, "the venue ended the user data subscription", false);
    break;
  case API_EVENT:
    break;
  }
}

static void on_down(void *owner, ws_link *link, int http_status, int64_t retry_after_s, const char *why) {
  broker *self = owner;
  (void)link;
  self->now_ns = monotonic_now();
  if (http_status == 451) {
    broker_refuse(self, "WebSocket API %s: 451 (this address is in a restricted location)",
                  self->session.link.to->host);
  } else if (http_status == 429 || http_status == 418) {
    broker_hold(self, retry_after_s > 0 ? realtime_ms_now() + retry_after_s * 1000 : 0,
                http_status == 418 ? 120 : 10);
  }
  const bool draining = self->session.drain_until_ns != 0;
  session_fail(self, why, draining);
}

/* ---- time */

static void expire(broker *self) {
  ws_session *session = &self->session;
  for (unsigned i = 0; i < PENDING_MAX && session->in_flight > 0; i++) {
    pending *slot = &session->pending[i];
    if (slot->kind == PENDING_NONE || self->now_ns < slot->deadline_ns) {
      continue;
    }
    live_order *item = orders_find(&self->orders, slot->client_id);
    if ((slot->kind == PENDING_PLACE || slot->kind == PENDING_CANCEL) && item != NULL) {
      broker_log(self, LEVEL_WARNING, "no answer to order.%s within 3 s: asking for the order",
                 slot->kind == PENDING_PLACE ? "place" : "cancel");
      item->query_at_ns = self->now_ns;
      item->cancel_in_flight = slot->kind == PENDING_CANCEL ? false : item->cancel_in_flight;
    } else if (slot->kind != PENDING_PLACE && slot->kind != PENDING_CANCEL) {
      session_fail(self, "no answer within 3 s", false);
      return;
    }
    slot->kind = PENDING_NONE;
    session->in_flight--;
  }
}

static void send_due_queries(broker *self) {
  unsigned slot = 0;
  for (live_order *item = orders_next(&self->orders, &slot); item != NULL;
       item = orders_next(&self->orders, &slot)) {
    if (item->query_at_ns == 0 || item->query_in_flight || self->now_ns < item->query_at_ns) {
      continue;
    }
    if (!session_query(self, item)) {
      if (self->session.stage == SESSION_DOWN) {
        return;
      }
      item->query_at_ns = self->now_ns + RETRY_NS;
    }
  }
}

static bool wanted(const broker *self) {
  return !self->refused || (self->session.allowed && self->sweep.active);
}

static void advance(broker *self) {
  ws_session *session = &self->session;
  switch (session->stage) {
  case SESSION_DOWN:
  case SESSION_CONNECTING:
    break;
  case SESSION_OPEN:
    if (!self->survey.clock_known && self->now_ns - session->opened_ns < CLOCK_WAIT_NS) {
      break;
    }
    if (signer_type(self->credentials.signer) == SIGNER_ED25519) {
      log_on(self);
    } else {
      session->authorised = true;
      sweep_tick(self);
      subscribe(self);
    }
    break;
  case SESSION_LOGON:
    if (session->authorised) {
      subscribe(self); /* the socket was full */
    }
    break;
  case SESSION_SUBSCRIBE:
    break;
  case SESSION_RECONCILE:
    advance_reconcile(self);
    break;
  case SESSION_READY:
    break;
  }
}

void session_tick(broker *self) {
  ws_session *session = &self->session;
  link_tick(&session->link, self->now_ns);
  if (session->stage == SESSION_DOWN) {
    if (wanted(self) && self->now_ns >= session->connect_at_ns) {
      session->stage = SESSION_CONNECTING;
      session->allowed = false; /* one attempt for one call of cancel_all */
      link_connect(&session->link, self->now_ns);
    }
    return;
  }
  expire(self);
  advance(self);
  if (session->authorised) {
    send_due_queries(self);
    sweep_tick(self);
  }
  if (session->stage == SESSION_READY && self->now_ns >= session->replace_at_ns) {
    broker_log(self, LEVEL_NOTICE, "the WebSocket API connection is due for replacement");
    begin_drain(self);
  }
  if (session->drain_until_ns != 0 && session->stage != SESSION_DOWN &&
      (session->in_flight == 0 || self->now_ns >= session->drain_until_ns)) {
    session_fail(self, "replaced by a new connection", true);
  }
}

void session_init(broker *self) {
  static const link_handlers handlers = {.open = on_open, .message = on_message, .down = on_down};
  ws_session *session = &self->session;
  session->link = (ws_link){.name = "WebSocket API",
                            .context = self->context,
                            .resolver = self->resolver,
                            .slot = RESOLVE_API,
                            .to = &self->settings.ws_api,
                            .path = self->settings.ws_api.path[0] == '\0' ? "/" : self->settings.ws_api.path,
                            .handlers = &handlers,
                            .owner = self,
                            .buffer = session->link.buffer,
                            .size = MESSAGE_MAX};
}
