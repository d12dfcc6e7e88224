/* mock_connector.c: a venue inside the process, for tests and the benchmark. Never installed.
 *
 * settings: {"journal": FILE or "", "script": FILE or "", "mid": "50000", "half_spread": "0.5",
 *            "quote_us": 1000, "orphans": 0, "fee_bps": 0}
 * Every order event is a line of the journal, on disk before the call returns. The script is read
 * every 5 ms; it holds words, each a fault while it is there:
 *   hang (answers nothing), reject (every order), down (no connection), block (poll never returns
 *   while it is there), stubborn (ignores single cancels), mid=NUMBER (moves the market).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker_interface.h"
#include "clock.h"
#include "decimal.h"

#ifndef MOCK_VENUE
#define MOCK_VENUE "mock"
#endif
#define ORDERS_MAX 512
#define SCRIPT_EVERY_NS (5 * NS_PER_MS)
#define BPS 10000

typedef enum pending_kind {
  PENDING_NONE,
  PENDING_ACK,
  PENDING_CANCEL,
  PENDING_REJECT,
  PENDING_RESTING
} pending_kind;

typedef struct mock_order {
  broker_order order;
  pending_kind pending;
} mock_order;

struct broker {
  const broker_callbacks *to;
  void *user;
  int journal;
  char script[256];
  uint16_t instruments;
  int64_t mid_e8, half_spread_e8, quote_ns, fee_bps;
  int64_t orphans;
  int64_t next_quote_ns, next_script_ns;
  bool ready, told_orphans;
  bool hang, reject, down, block, stubborn;
  mock_order orders[ORDERS_MAX];
};

static void journal_line(const broker *self, const char *format, uint64_t id, const broker_order *order) {
  if (self->journal < 0) {
    return;
  }
  char line[256];
  const int length =
      snprintf(line, sizeof line, format, clock_mono_ns(), id, order == NULL ? 0 : (int)order->side,
               order == NULL ? 0 : (int)order->tif, order == NULL ? INT64_C(0) : order->price_e8,
               order == NULL ? INT64_C(0) : order->quantity_e8);
  if (write(self->journal, line, (size_t)length) != length) {
    abort();
  }
}

#define LINE(event)                                                                                          \
  "{\"event\":\"" event "\",\"mono_ns\":%" PRId64 ",\"id\":%" PRIu64                                         \
  ",\"side\":%d,\"tif\":%d,\"price_e8\":%" PRId64 ",\"quantity_e8\":%" PRId64 "}\n"

static bool decimal_setting(const json_t *settings, const char *key, int64_t *value) {
  return decimal_parse(json_string_value(json_object_get(settings, key)), value) == DECIMAL_OK;
}

static bool read_settings(broker *self, const char *text) {
  json_t *settings = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
  const char *journal = json_string_value(json_object_get(settings, "journal"));
  const char *script = json_string_value(json_object_get(settings, "script"));
  const json_t *quote = json_object_get(settings, "quote_us");
  const bool ok = journal != NULL && script != NULL && json_is_integer(quote) &&
                  decimal_setting(settings, "mid", &self->mid_e8) &&
                  decimal_setting(settings, "half_spread", &self->half_spread_e8);
  if (ok) {
    self->quote_ns = json_integer_value(quote) * NS_PER_US;
    self->orphans = json_integer_value(json_object_get(settings, "orphans"));
    self->fee_bps = json_integer_value(json_object_get(settings, "fee_bps"));
    (void)snprintf(self->script, sizeof self->script, "%s", script);
    self->journal = journal[0] == '\0' ? -1 : open(journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  }
  json_decref(settings);
  return ok;
}

static int mock_check(const broker_config *config, char *error, size_t error_size) {
  broker probe = {.journal = -1};
  if (!read_settings(&probe, config->settings_json)) {
    (void)snprintf(error, error_size, "$.settings: mock needs journal, script, mid, half_spread, quote_us");
    return -1;
  }
  if (probe.journal >= 0) {
    (void)close(probe.journal);
  }
  return 0;
}

static broker *mock_create(const broker_config *config, const broker_callbacks *callbacks, void *user,
                           char *error, size_t error_size) {
  broker *self = calloc(1, sizeof *self);
  if (self == NULL) {
    return NULL;
  }
  self->journal = -1;
  if (!read_settings(self, config->settings_json)) {
    (void)snprintf(error, error_size, "bad settings");
    free(self);
    return NULL;
  }
  self->to = callbacks;
  self->user = user;
  self->instruments = config->instrument_count;
  return self;
}

static void read_script(broker *self, int64_t now) {
  char text[256] = "";
  if (self->script[0] == '\0' || now < self->next_script_ns) {
    return;
  }
  self->next_script_ns = now + SCRIPT_EVERY_NS;
  const int file = open(self->script, O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    const ssize_t length = read(file, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    (void)close(file);
  }
  self->hang = strstr(text, "hang") != NULL;
  self->reject = strstr(text, "reject") != NULL;
  self->down = strstr(text, "down") != NULL;
  self->block = strstr(text, "block") != NULL;
  self->stubborn = strstr(text, "stubborn") != NULL;
  const char *mid = strstr(text, "mid=");
  if (mid != NULL) {
    (void)decimal_parse_n(mid + 4, strcspn(mid + 4, " \n"), &self->mid_e8);
  }
}

static bool crosses(const broker *self, const broker_order *order) {
  return order->side == BROKER_BUY ? order->price_e8 >= self->mid_e8 + self->half_spread_e8
                                   : order->price_e8 <= self->mid_e8 - self->half_spread_e8;
}

static void fill(broker *self, mock_order *at) {
  const broker_order order = at->order;
  int64_t value = 0;
  const int64_t touch =
      order.side == BROKER_BUY ? self->mid_e8 + self->half_spread_e8 : self->mid_e8 - self->half_spread_e8;
  const int64_t price = order.tif == BROKER_IOC ? touch : order.price_e8;
  (void)decimal_multiply_up(price, order.quantity_e8, &value);
  at->pending = PENDING_NONE;
  journal_line(self, LINE("fill"), order.client_id, &order);
  const broker_fill report = {.client_id = order.client_id,
                              .price_e8 = price,
                              .quantity_e8 = order.quantity_e8,
                              .fee_e8 = value * self->fee_bps / BPS,
                              .side = order.side,
                              .final = 1};
  self->to->on_fill(self->user, &report);
}

static void answer(broker *self, mock_order *at) {
  const uint64_t id = at->order.client_id;
  const int64_t left = at->order.quantity_e8;
  switch (at->pending) {
  case PENDING_ACK:
    at->pending = PENDING_RESTING;
    self->to->on_ack(self->user, id, "mock");
    if (at->order.tif == BROKER_IOC && !crosses(self, &at->order)) {
      at->pending = PENDING_NONE;
      self->to->on_cancel(self->user, id, left);
      return;
    }
    break;
  case PENDING_CANCEL:
    at->pending = PENDING_NONE;
    journal_line(self, LINE("canceled"), id, &at->order);
    self->to->on_cancel(self->user, id, left);
    return;
  case PENDING_REJECT:
    at->pending = PENDING_NONE;
    self->to->on_reject(self->user, id, -1013, "mock rejects");
    return;
  case PENDING_NONE:
  case PENDING_RESTING:
    break;
  }
  if (at->pending == PENDING_RESTING && crosses(self, &at->order)) {
    fill(self, at);
  }
}

static void connect_or_not(broker *self) {
  if (self->down && self->ready) {
    self->ready = false;
    self->to->on_state(self->user, BROKER_DISCONNECTED, "scripted");
  } else if (!self->down && !self->ready) {
    self->ready = true;
    for (int64_t i = 0; i < self->orphans && !self->told_orphans; i++) {
      self->to->on_orphan(self->user, "left-behind", 0);
    }
    self->told_orphans = true;
    self->to->on_state(self->user, BROKER_READY, "");
  }
}

static void mock_poll(broker *self, int64_t now) {
  read_script(self, now);
  while (self->block) {
    (void)usleep(1000);
    read_script(self, clock_mono_ns());
  }
  connect_or_not(self);
  if (!self->ready) {
    return;
  }
  for (size_t i = 0; i < ORDERS_MAX && !self->hang; i++) {
    if (self->orders[i].pending != PENDING_NONE) {
      answer(self, &self->orders[i]);
    }
  }
  if (now >= self->next_quote_ns) {
    self->next_quote_ns = now + self->quote_ns;
    for (uint16_t i = 0; i < self->instruments; i++) {
      const broker_quote quote = {.bid_e8 = self->mid_e8 - self->half_spread_e8,
                                  .bid_quantity_e8 = SLIPWAY_SCALE,
                                  .ask_e8 = self->mid_e8 + self->half_spread_e8,
                                  .ask_quantity_e8 = SLIPWAY_SCALE,
                                  .received_mono_ns = clock_mono_ns(),
                                  .instrument = i};
      self->to->on_quote(self->user, &quote);
    }
  }
}

static int mock_submit(broker *self, const broker_order *order) {
  for (size_t i = 0; i < ORDERS_MAX && self->ready; i++) {
    mock_order *at = &self->orders[i];
    if (at->pending == PENDING_NONE) {
      *at = (mock_order){.order = *order, .pending = self->reject ? PENDING_REJECT : PENDING_ACK};
      journal_line(self, LINE("submit"), order->client_id, order);
      return 0;
    }
  }
  return -1;
}

static int mock_cancel(broker *self, uint64_t client_id) {
  journal_line(self, LINE("cancel"), client_id, NULL);
  for (size_t i = 0; i < ORDERS_MAX && !self->stubborn; i++) {
    if (self->orders[i].pending != PENDING_NONE && self->orders[i].order.client_id == client_id) {
      self->orders[i].pending = PENDING_CANCEL;
    }
  }
  return 0;
}

static int mock_cancel_all(broker *self) {
  journal_line(self, LINE("cancel_all"), 0, NULL);
  for (size_t i = 0; i < ORDERS_MAX; i++) {
    if (self->orders[i].pending != PENDING_NONE) {
      self->orders[i].pending = PENDING_CANCEL;
    }
  }
  return 0;
}

static void mock_destroy(broker *self) {
  if (self->journal >= 0) {
    (void)close(self->journal);
  }
  free(self);
}

__attribute__((visibility("default"))) const broker_ops *slipway_broker(void) {
  static const broker_ops ops = {.abi = SLIPWAY_BROKER_ABI,
                                 .venue = MOCK_VENUE,
                                 .version = "mock",
                                 .check = mock_check,
                                 .create = mock_create,
                                 .poll = mock_poll,
                                 .submit = mock_submit,
                                 .cancel = mock_cancel,
                                 .cancel_all = mock_cancel_all,
                                 .destroy = mock_destroy};
  return &ops;
}
