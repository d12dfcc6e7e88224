/* messages.h: what Binance sends, as plain structs. Each reader takes bytes off the network, allocates
 * nothing and answers false for anything that it does not fully understand.
 */
#ifndef BINANCE_MESSAGES_H
#define BINANCE_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"
#include "rules.h"

#define SYMBOL_TEXT_MAX 64
#define VENUE_CLIENT_MAX 40 /* Binance allows 36 characters in a clientOrderId */

typedef enum order_status {
  STATUS_OTHER = 0, /* a status that we do not know: never read as an end */
  STATUS_NEW,
  STATUS_PARTIALLY_FILLED,
  STATUS_FILLED,
  STATUS_CANCELED,
  STATUS_REJECTED,
  STATUS_EXPIRED /* also EXPIRED_IN_MATCH */
} order_status;

/* One order as order.status, openOrders.status and order.place describe it. */
typedef struct order_report {
  char symbol[SYMBOL_TEXT_MAX];
  char client[VENUE_CLIENT_MAX];
  int64_t venue_id;
  int64_t executed_e8;
  int64_t quote_e8; /* -1: the venue does not have it */
  order_status status;
} order_report;

/* executionReport of the user data stream. */
typedef struct execution_report {
  char symbol[SYMBOL_TEXT_MAX];
  char client[VENUE_CLIENT_MAX]; /* the order's own id, also when a cancel renamed it */
  char type[24];                 /* x: NEW, CANCELED, REJECTED, TRADE, EXPIRED, … */
  char reject[48];               /* r */
  char fee_asset[ASSET_MAX];     /* "" without a fee */
  int64_t venue_id;
  int64_t last_e8, last_price_e8;
  int64_t executed_e8, quote_e8; /* cumulative */
  int64_t fee_e8;
  order_status status;
} execution_report;

typedef enum api_kind {
  API_RESPONSE = 1,
  API_EXECUTION,
  API_SHUTDOWN,   /* serverShutdown: connect anew */
  API_TERMINATED, /* eventStreamTerminated: the subscription is gone */
  API_EVENT       /* another event of the user data stream */
} api_kind;

/* One text frame of the WebSocket API. */
typedef struct api_message {
  api_kind kind;
  /* API_RESPONSE */
  bool has_id;
  int64_t id;
  int64_t status;
  int64_t code; /* error.code, 0 on success */
  char text[SLIPWAY_TEXT_MAX];
  int64_t retry_after_ms; /* epoch; 0: not given */
  int result;             /* token of `result`, or DOC_NONE */
  /* API_EXECUTION */
  execution_report execution;
} api_message;

bool api_read(const json_doc *doc, api_message *out);

/* The order at token `at` (an element of a result, or a result). */
bool order_report_read(const json_doc *doc, int at, order_report *out);

typedef enum stream_kind { STREAM_BOOK = 1, STREAM_SHUTDOWN, STREAM_OTHER } stream_kind;

/* One text frame of a combined market stream. */
typedef struct stream_message {
  stream_kind kind;
  char symbol[SYMBOL_TEXT_MAX];
  int64_t update_id;
  int64_t bid_e8, bid_quantity_e8, ask_e8, ask_quantity_e8;
} stream_message;

bool stream_read(const json_doc *doc, stream_message *out);

/* {"serverTime":…} in milliseconds. */
bool time_read(const json_doc *doc, int64_t *server_ms);

/* The rules of one symbol in an exchangeInfo document. False: not there, or not readable. */
bool exchange_info_read(const json_doc *doc, const char *symbol, rules *out);

/* A REST error body {"code":…,"msg":…}. */
bool rest_error_read(const json_doc *doc, int64_t *code, char *text, size_t text_size);

#endif
