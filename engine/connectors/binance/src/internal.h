/* internal.h: the connector's state, and what its parts offer each other.
 *
 *   connector.c  the broker_ops, and when the whole is READY
 *   survey.c     REST: the venue's clock against ours, the rules, the account's permission
 *   feed.c       market streams, one connection, for a moment two at a rollover
 *   session.c    WebSocket API: log on, user data, requests and their answers, reconcile
 *   book.c       what answers and events mean for our orders; tells the engine, each thing once
 *   sweep.c      cancel_all: cancels until the venue says that nothing is open
 */
#ifndef BINANCE_INTERNAL_H
#define BINANCE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backoff.h"
#include "broker_interface.h"
#include "json.h"
#include "link.h"
#include "messages.h"
#include "orders.h"
#include "request.h"
#include "resolver.h"
#include "rest.h"
#include "rules.h"
#include "settings.h"

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define NEVER INT64_MAX

#define MESSAGE_MAX (1U << 20U) /* 200 open orders on one symbol are about 100 KiB */
#define TOKENS_MAX (1U << 16U)
#define PENDING_MAX 512U /* a power of two */
#define SWEEP_SYMBOLS_MAX 64

#define RESOLVE_REST 0U
#define RESOLVE_API 1U
#define RESOLVE_STREAMS 2U

#define LEVEL_ERROR 3 /* as in syslog(3) */
#define LEVEL_WARNING 4
#define LEVEL_NOTICE 5
#define LEVEL_INFO 6

/* ---- survey.c */

typedef enum survey_step { SURVEY_IDLE, SURVEY_CLOCK, SURVEY_RULES, SURVEY_ACCOUNT } survey_step;

typedef struct rest_survey {
  survey_step step;
  unsigned samples;           /* of the clock round in progress */
  int64_t best_round_trip_ms; /* in this round */
  int64_t best_offset_ms;     /* in this round */
  int64_t offset_ms;          /* venue's clock minus ours, of the last whole round */
  bool clock_known, rules_known, account_known;
  int64_t clock_at_ns, rules_at_ns, account_at_ns; /* when each is due */
  int64_t not_before_ns;                           /* after a failure */
  backoff backoff;
  char problem[SLIPWAY_TEXT_MAX]; /* why something is not known; "" without a failure */
} rest_survey;

/* ---- feed.c */

typedef struct market_feed {
  ws_link links[2];
  unsigned active;
  int64_t connect_at_ns;
  int64_t replace_at_ns; /* begin the rollover then */
  int64_t update_ids[INSTRUMENT_MAX];
  backoff backoff;
  char path[REST_TARGET_MAX];
  char problem[SLIPWAY_TEXT_MAX];
} market_feed;

/* ---- session.c */

typedef enum session_stage {
  SESSION_DOWN = 0,
  SESSION_CONNECTING,
  SESSION_OPEN, /* the socket is open; waits for the clock before it signs */
  SESSION_LOGON,
  SESSION_SUBSCRIBE,
  SESSION_RECONCILE,
  SESSION_READY
} session_stage;

typedef enum pending_kind {
  PENDING_NONE = 0,
  PENDING_LOGON,
  PENDING_SUBSCRIBE,
  PENDING_OPEN_ORDERS, /* reconcile: one instrument */
  PENDING_PLACE,
  PENDING_CANCEL,
  PENDING_STATUS,
  PENDING_SWEEP_CANCEL,
  PENDING_SWEEP_LIST
} pending_kind;

typedef struct pending {
  int64_t id;
  uint64_t client_id;
  int64_t deadline_ns;
  uint16_t instrument;
  uint8_t kind;
} pending;

typedef struct ws_session {
  ws_link link;
  session_stage stage;
  bool authorised; /* requests that need a key will be taken */
  bool allowed;    /* connect even though the venue refused us: a kill is to be tried */
  int64_t connect_at_ns;
  int64_t replace_at_ns;  /* rollover */
  int64_t drain_until_ns; /* 0, or: no new orders, and reconnect when nothing is in flight or then */
  int64_t opened_ns;
  int64_t sequence;
  unsigned in_flight;
  uint16_t lists_asked, lists_read; /* reconcile */
  pending draft;                    /* of the request being written */
  pending pending[PENDING_MAX];
  api_request request;
  backoff backoff;
  char problem[SLIPWAY_TEXT_MAX];
} ws_session;

/* ---- sweep.c */

typedef struct cancel_sweep {
  bool active;
  bool verifying; /* the list is asked for, or due */
  unsigned in_flight;
  unsigned lists;       /* asked for lately */
  int64_t listed_at_ns; /* the last one */
  int64_t list_at_ns;   /* not before */
  int64_t retry_at_ns;
  unsigned symbol_count; /* symbols beside our instruments that have open orders */
  char symbols[SWEEP_SYMBOLS_MAX][SYMBOL_TEXT_MAX];
} cancel_sweep;

struct broker {
  broker_callbacks callbacks;
  void *user;
  binance_settings settings;
  binance_credentials credentials;
  broker_instrument instruments[INSTRUMENT_MAX];
  rules rules[INSTRUMENT_MAX];
  uint16_t instrument_count;
  resolver *resolver;
  struct lws_context *context;
  rest *rest;
  jsmntok_t *tokens;
  rest_survey survey;
  market_feed feed;
  ws_session session;
  cancel_sweep sweep;
  orders orders;
  bool started;
  bool refused;
  char refusal[SLIPWAY_TEXT_MAX];
  int64_t now_ns; /* CLOCK_MONOTONIC at the last look at the clock */
  int64_t slow_at_ns;
  int64_t hold_ns;        /* no request until then (429, 418) */
  int64_t hold_orders_ns; /* no new order until then (-1015) */
  broker_state state;
  char reason[SLIPWAY_TEXT_MAX];
};

/* ---- connector.c */

int64_t monotonic_now(void);
int64_t realtime_ms_now(void);

__attribute__((format(printf, 3, 4))) void broker_log(const broker *self, int level, const char *format, ...);

/* The venue will not have us: REFUSED until the process is started anew. */
__attribute__((format(printf, 2, 3))) void broker_refuse(broker *self, const char *format, ...);

/* 429/418: hold every request until the venue's time (epoch ms), or for `fallback_s` where it gave none. */
void broker_hold(broker *self, int64_t retry_after_ms, int64_t fallback_s);

/* True for an answer that means "this key, from this address, will never do". */
bool code_refuses(int64_t code);

/* Milliseconds for a request's timestamp. Our clock while it is within the bound; beyond that, when no
 * order may be sent, the venue's, so that a kill works on a host whose clock is wrong. */
int64_t broker_timestamp_ms(const broker *self);

bool broker_clock_good(const broker *self);

int instrument_find(const broker *self, const char *symbol);

/* ---- survey.c */
int survey_init(broker *self);
void survey_tick(broker *self);

/* ---- feed.c */
void feed_init(broker *self);
void feed_tick(broker *self);
bool feed_ready(const broker *self);

/* ---- session.c */
void session_init(broker *self);
void session_tick(broker *self);
/* Ends the connection and plans the next one. */
void session_fail(broker *self, const char *why, bool at_once);
/* Begin a signed request; NULL when none can be sent now (no room, no connection, or held). */
api_request *session_begin(broker *self, const char *method, pending_kind kind, uint64_t client_id,
                           uint16_t instrument);
/* The parameter recvWindow, in its place among the sorted names. */
void session_window(const broker *self, api_request *request);
/* Adds the timestamp, if the request has none yet, and sends. */
bool session_send(broker *self, api_request *request);
bool session_place(broker *self, const live_order *item);
bool session_query(broker *self, live_order *item);
bool session_cancel(broker *self, live_order *item);

/* ---- book.c */
void book_execution(broker *self, const execution_report *event);
void book_report(broker *self, const order_report *report, bool listed);
void book_ack(broker *self, live_order *item, int64_t venue_id);
void book_reject(broker *self, live_order *item, int64_t code, const char *text);
void book_not_found(broker *self, live_order *item);

/* ---- sweep.c */
void sweep_start(broker *self);
void sweep_tick(broker *self);
void sweep_canceled(broker *self);
void sweep_listed(broker *self, const json_doc *doc, int result);
void sweep_list_failed(broker *self);
/* The connection is gone: everything asked is asked anew. */
void sweep_restart(broker *self);

#endif
