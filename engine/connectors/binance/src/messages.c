/* messages.c: see messages.h. */
#include "messages.h"

#include <string.h>

static order_status status_of(const json_doc *doc, int at) {
  static const struct {
    const char *name;
    order_status status;
  } known[] = {{"NEW", STATUS_NEW},
               {"PENDING_NEW", STATUS_NEW},
               {"PARTIALLY_FILLED", STATUS_PARTIALLY_FILLED},
               {"FILLED", STATUS_FILLED},
               {"CANCELED", STATUS_CANCELED},
               {"REJECTED", STATUS_REJECTED},
               {"EXPIRED", STATUS_EXPIRED},
               {"EXPIRED_IN_MATCH", STATUS_EXPIRED}};
  for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
    if (doc_equals(doc, at, known[i].name)) {
      return known[i].status;
    }
  }
  return STATUS_OTHER;
}

bool order_report_read(const json_doc *doc, int at, order_report *out) {
  memset(out, 0, sizeof *out);
  if (!doc_copy(doc, doc_member(doc, at, "symbol"), out->symbol, sizeof out->symbol) ||
      !doc_integer(doc, doc_member(doc, at, "orderId"), &out->venue_id) || out->venue_id < 0) {
    return false;
  }
  /* Someone else's id may hold anything; ours never has an escape, so unreadable means "not ours". */
  if (!doc_copy(doc, doc_member(doc, at, "clientOrderId"), out->client, sizeof out->client)) {
    out->client[0] = '\0';
  }
  out->status = status_of(doc, doc_member(doc, at, "status"));
  if (!doc_decimal(doc, doc_member(doc, at, "executedQty"), &out->executed_e8) || out->executed_e8 < 0) {
    out->executed_e8 = 0; /* newOrderRespType ACK has none */
    if (doc_member(doc, at, "executedQty") != DOC_NONE) {
      return false;
    }
  }
  if (!doc_decimal(doc, doc_member(doc, at, "cummulativeQuoteQty"), &out->quote_e8) || out->quote_e8 < 0) {
    out->quote_e8 = -1;
  }
  return true;
}

static bool execution_read(const json_doc *doc, int at, execution_report *out) {
  memset(out, 0, sizeof *out);
  if (!doc_copy(doc, doc_member(doc, at, "s"), out->symbol, sizeof out->symbol) ||
      !doc_copy(doc, doc_member(doc, at, "x"), out->type, sizeof out->type) ||
      !doc_integer(doc, doc_member(doc, at, "i"), &out->venue_id) || out->venue_id < 0 ||
      !doc_decimal(doc, doc_member(doc, at, "l"), &out->last_e8) || out->last_e8 < 0 ||
      !doc_decimal(doc, doc_member(doc, at, "L"), &out->last_price_e8) || out->last_price_e8 < 0 ||
      !doc_decimal(doc, doc_member(doc, at, "z"), &out->executed_e8) || out->executed_e8 < 0 ||
      !doc_decimal(doc, doc_member(doc, at, "Z"), &out->quote_e8) || out->quote_e8 < 0) {
    return false;
  }
  /* A cancel gives the order a new id in `c` and keeps the old one in `C`. */
  const int original = doc_member(doc, at, "C");
  const int current = doc_member(doc, at, "c");
  if (!doc_copy(doc, original, out->client, sizeof out->client) || out->client[0] == '\0') {
    if (!doc_copy(doc, current, out->client, sizeof out->client)) {
      out->client[0] = '\0';
    }
  }
  (void)doc_copy(doc, doc_member(doc, at, "r"), out->reject, sizeof out->reject);
  out->status = status_of(doc, doc_member(doc, at, "X"));
  /* "n":"0","N":null without a fee. */
  if (doc_copy(doc, doc_member(doc, at, "N"), out->fee_asset, sizeof out->fee_asset)) {
    if (!doc_decimal(doc, doc_member(doc, at, "n"), &out->fee_e8)) {
      return false;
    }
  }
  return true;
}

static bool event_read(const json_doc *doc, int event, api_message *out) {
  const int name = doc_member(doc, event, "e");
  if (doc_equals(doc, name, "executionReport")) {
    out->kind = API_EXECUTION;
    return execution_read(doc, event, &out->execution);
  }
  if (doc_equals(doc, name, "serverShutdown")) {
    out->kind = API_SHUTDOWN;
  } else if (doc_equals(doc, name, "eventStreamTerminated")) {
    out->kind = API_TERMINATED;
  } else {
    out->kind = API_EVENT;
  }
  return name != DOC_NONE;
}

bool api_read(const json_doc *doc, api_message *out) {
  memset(out, 0, sizeof *out);
  out->result = DOC_NONE;
  const int event = doc_member(doc, 0, "event");
  if (event != DOC_NONE) {
    return event_read(doc, event, out);
  }
  out->kind = API_RESPONSE;
  if (!doc_integer(doc, doc_member(doc, 0, "status"), &out->status) || out->status < 100 ||
      out->status > 599) {
    return false;
  }
  /* "id":null comes with a session that the venue revoked. */
  out->has_id = doc_integer(doc, doc_member(doc, 0, "id"), &out->id);
  const int error = doc_member(doc, 0, "error");
  if (error != DOC_NONE) {
    if (!doc_integer(doc, doc_member(doc, error, "code"), &out->code)) {
      return false;
    }
    doc_describe(doc, doc_member(doc, error, "msg"), out->text, sizeof out->text);
    const int data = doc_member(doc, error, "data");
    if (!doc_integer(doc, doc_member(doc, data, "retryAfter"), &out->retry_after_ms) ||
        out->retry_after_ms < 0) {
      out->retry_after_ms = 0;
    }
    return true;
  }
  out->result = doc_member(doc, 0, "result");
  return out->result != DOC_NONE || out->status != 200;
}

bool stream_read(const json_doc *doc, stream_message *out) {
  memset(out, 0, sizeof *out);
  int data = doc_member(doc, 0, "data");
  if (data == DOC_NONE) {
    data = 0; /* a raw stream has no wrapper */
  }
  if (!doc_is_object(doc, data)) {
    return false;
  }
  const int event = doc_member(doc, data, "e");
  if (event != DOC_NONE) {
    out->kind = doc_equals(doc, event, "serverShutdown") ? STREAM_SHUTDOWN : STREAM_OTHER;
    return true;
  }
  out->kind = STREAM_BOOK; /* the one payload that carries no event name */
  return doc_copy(doc, doc_member(doc, data, "s"), out->symbol, sizeof out->symbol) &&
         doc_integer(doc, doc_member(doc, data, "u"), &out->update_id) &&
         doc_decimal(doc, doc_member(doc, data, "b"), &out->bid_e8) && out->bid_e8 >= 0 &&
         doc_decimal(doc, doc_member(doc, data, "B"), &out->bid_quantity_e8) && out->bid_quantity_e8 >= 0 &&
         doc_decimal(doc, doc_member(doc, data, "a"), &out->ask_e8) && out->ask_e8 >= 0 &&
         doc_decimal(doc, doc_member(doc, data, "A"), &out->ask_quantity_e8) && out->ask_quantity_e8 >= 0;
}

bool time_read(const json_doc *doc, int64_t *server_ms) {
  /* Between 2001 and 5138: anything else is no time in milliseconds. */
  return doc_integer(doc, doc_member(doc, 0, "serverTime"), server_ms) &&
         *server_ms > INT64_C(1000000000000) && *server_ms < INT64_C(100000000000000);
}

static bool filter_read(const json_doc *doc, int filter, rules *out) {
  const int type = doc_member(doc, filter, "filterType");
  if (doc_equals(doc, type, "PRICE_FILTER")) {
    return doc_decimal(doc, doc_member(doc, filter, "tickSize"), &out->tick) && out->tick >= 0 &&
           doc_decimal(doc, doc_member(doc, filter, "minPrice"), &out->price_min) && out->price_min >= 0 &&
           doc_bound(doc, doc_member(doc, filter, "maxPrice"), &out->price_max) && out->price_max >= 0;
  }
  if (doc_equals(doc, type, "LOT_SIZE")) {
    return doc_decimal(doc, doc_member(doc, filter, "stepSize"), &out->lot) && out->lot >= 0 &&
           doc_decimal(doc, doc_member(doc, filter, "minQty"), &out->quantity_min) &&
           out->quantity_min >= 0 && doc_bound(doc, doc_member(doc, filter, "maxQty"), &out->quantity_max) &&
           out->quantity_max >= 0;
  }
  if (doc_equals(doc, type, "MIN_NOTIONAL") || doc_equals(doc, type, "NOTIONAL")) {
    const int maximum = doc_member(doc, filter, "maxNotional");
    int64_t minimum_e8 = 0;
    if (!doc_decimal(doc, doc_member(doc, filter, "minNotional"), &minimum_e8) || minimum_e8 < 0 ||
        (maximum != DOC_NONE && (!doc_bound(doc, maximum, &out->notional_max) || out->notional_max < 0))) {
      return false;
    }
    if (minimum_e8 > out->notional_min) {
      out->notional_min = minimum_e8;
    }
    return true;
  }
  if (doc_equals(doc, type, "MAX_NUM_ORDERS")) {
    return doc_integer(doc, doc_member(doc, filter, "maxNumOrders"), &out->orders_max) &&
           out->orders_max >= 0;
  }
  return type != DOC_NONE; /* filters of order types that we do not send */
}

bool exchange_info_read(const json_doc *doc, const char *symbol, rules *out) {
  memset(out, 0, sizeof *out);
  const int symbols = doc_member(doc, 0, "symbols");
  for (int at = doc_first(doc, symbols); at != DOC_NONE; at = doc_after(doc, symbols, at)) {
    if (!doc_equals(doc, doc_member(doc, at, "symbol"), symbol)) {
      continue;
    }
    bool spot = true; /* optional key */
    const int allowed = doc_member(doc, at, "isSpotTradingAllowed");
    if (!doc_copy(doc, doc_member(doc, at, "status"), out->status, sizeof out->status) ||
        !doc_copy(doc, doc_member(doc, at, "quoteAsset"), out->quote_asset, sizeof out->quote_asset) ||
        (allowed != DOC_NONE && !doc_boolean(doc, allowed, &spot))) {
      return false;
    }
    const int filters = doc_member(doc, at, "filters");
    if (!doc_is_array(doc, filters)) {
      return false;
    }
    for (int filter = doc_first(doc, filters); filter != DOC_NONE; filter = doc_after(doc, filters, filter)) {
      if (!filter_read(doc, filter, out)) {
        return false;
      }
    }
    out->known = true;
    out->trading = spot && strcmp(out->status, "TRADING") == 0;
    return true;
  }
  return false;
}

bool rest_error_read(const json_doc *doc, int64_t *code, char *text, size_t text_size) {
  if (!doc_integer(doc, doc_member(doc, 0, "code"), code)) {
    return false;
  }
  doc_describe(doc, doc_member(doc, 0, "msg"), text, text_size);
  return true;
}
