/* drive.c: loads a connector library and runs a conversation that a test types.
 *
 *   drive LIBRARY CONFIG.json
 *
 * CONFIG.json: {"mode","credentials","settings":{…},"instruments":[{"symbol","tick","lot"}]}.
 * Commands on stdin, one a line:  submit ID INSTRUMENT buy|sell PRICE QUANTITY gtc|ioc · cancel ID ·
 * cancel_all · count (allocations made by submit and cancel so far) · quit.
 * Everything that the connector says goes to stdout, one JSON object a line.
 */
#include <dlfcn.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "broker_interface.h"
#include "decimal.h"

#define INSTRUMENTS_MAX 32
#define LINE_MAX_BYTES 512
#define TURN_MS 1

/* Counting allocations: the program's own malloc comes before libc's for every library it loads. */
static bool counting;
static unsigned long allocations;

#ifdef DRIVE_SANITIZED
#define COUNTED 0 /* the sanitizer has its own malloc */
#else
#define COUNTED 1
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

__attribute__((visibility("default"))) void *malloc(size_t size) {
  allocations += counting ? 1 : 0;
  return __libc_malloc(size);
}
__attribute__((visibility("default"))) void *calloc(size_t count, size_t size) {
  allocations += counting ? 1 : 0;
  return __libc_calloc(count, size);
}
__attribute__((visibility("default"))) void *realloc(void *old, size_t size) {
  allocations += counting ? 1 : 0;
  return __libc_realloc(old, size);
}
#endif

static void say(json_t *line) {
  counting = false; /* what the driver allocates is not the connector's */
  char *text = json_dumps(line, JSON_COMPACT);
  (void)puts(text == NULL ? "{}" : text);
  (void)fflush(stdout);
  free(text);
  json_decref(line);
}

static json_t *decimal(int64_t value_e8) {
  char text[DECIMAL_TEXT_MAX];
  (void)decimal_format(value_e8, text, sizeof text);
  return json_string(text);
}

static void on_state(void *user, broker_state state, const char *reason) {
  static const char *const names[] = {"DISCONNECTED", "CONNECTING", "READY", "REFUSED"};
  (void)user;
  say(json_pack("{s:s,s:s,s:s}", "event", "state", "state", names[state], "reason", reason));
}

static void on_quote(void *user, const broker_quote *quote) {
  struct timespec now;
  (void)user;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t age = (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec - quote->received_mono_ns;
  say(json_pack("{s:s,s:i,s:o,s:o,s:o,s:o,s:I}", "event", "quote", "instrument", (int)quote->instrument,
                "bid", decimal(quote->bid_e8), "bid_quantity", decimal(quote->bid_quantity_e8), "ask",
                decimal(quote->ask_e8), "ask_quantity", decimal(quote->ask_quantity_e8), "age_ns",
                (json_int_t)age));
}

static void on_ack(void *user, uint64_t client_id, const char *venue_id) {
  (void)user;
  say(json_pack("{s:s,s:I,s:s}", "event", "ack", "id", (json_int_t)client_id, "venue_id", venue_id));
}

static void on_fill(void *user, const broker_fill *fill) {
  (void)user;
  say(json_pack("{s:s,s:I,s:o,s:o,s:o,s:s,s:b}", "event", "fill", "id", (json_int_t)fill->client_id, "price",
                decimal(fill->price_e8), "quantity", decimal(fill->quantity_e8), "fee", decimal(fill->fee_e8),
                "side", fill->side == BROKER_BUY ? "buy" : "sell", "final", fill->final));
}

static void on_cancel(void *user, uint64_t client_id, int64_t left_e8) {
  (void)user;
  say(json_pack("{s:s,s:I,s:o}", "event", "cancel", "id", (json_int_t)client_id, "left", decimal(left_e8)));
}

static void on_reject(void *user, uint64_t client_id, int32_t code, const char *text) {
  (void)user;
  say(json_pack("{s:s,s:I,s:i,s:s}", "event", "reject", "id", (json_int_t)client_id, "code", code, "text",
                text));
}

static void on_orphan(void *user, const char *venue_id, uint16_t instrument) {
  (void)user;
  say(json_pack("{s:s,s:s,s:i}", "event", "orphan", "venue_id", venue_id, "instrument", (int)instrument));
}

static void on_log(void *user, int level, const char *text) {
  const bool was = counting;
  (void)user;
  say(json_pack("{s:s,s:i,s:s}", "event", "log", "level", level, "text", text));
  counting = was;
}

static int64_t monotonic_ns(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void submit(const broker_ops *ops, broker *self, const char *line) {
  unsigned long id = 0;
  unsigned instrument = 0;
  char side[8];
  char price[32];
  char quantity[32];
  char tif[8];
  broker_order order = {0};
  if (sscanf(line, "submit %lu %u %7s %31s %31s %7s", &id, &instrument, side, price, quantity, tif) != 6 ||
      decimal_parse(price, &order.price_e8) != DECIMAL_OK ||
      decimal_parse(quantity, &order.quantity_e8) != DECIMAL_OK) {
    say(json_pack("{s:s,s:s}", "event", "error", "text", line));
    return;
  }
  order.client_id = id;
  order.instrument = (uint16_t)instrument;
  order.side = strcmp(side, "buy") == 0 ? BROKER_BUY : BROKER_SELL;
  order.tif = strcmp(tif, "ioc") == 0 ? BROKER_IOC : BROKER_GTC;
  counting = true;
  const int result = ops->submit(self, &order);
  counting = false;
  say(json_pack("{s:s,s:I,s:i}", "event", "submitted", "id", (json_int_t)id, "result", result));
}

/* False to leave. */
static bool obey(const broker_ops *ops, broker *self, const char *line) {
  unsigned long id = 0;
  if (strncmp(line, "submit ", 7) == 0) {
    submit(ops, self, line);
  } else if (sscanf(line, "cancel %lu", &id) == 1) {
    counting = true;
    const int result = ops->cancel(self, id);
    counting = false;
    say(json_pack("{s:s,s:I,s:i}", "event", "canceling", "id", (json_int_t)id, "result", result));
  } else if (strcmp(line, "cancel_all") == 0) {
    say(json_pack("{s:s,s:i}", "event", "sweeping", "result", ops->cancel_all(self)));
  } else if (strcmp(line, "count") == 0) {
    say(json_pack("{s:s,s:b,s:I}", "event", "allocations", "counted", COUNTED, "count",
                  (json_int_t)allocations));
  } else {
    return false;
  }
  return true;
}

/* Reads what is there; false at the end of the input or on "quit". */
static bool read_commands(const broker_ops *ops, broker *self) {
  static char buffer[LINE_MAX_BYTES];
  static size_t used;
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  if (poll(&input, 1, TURN_MS) <= 0) {
    return true;
  }
  const ssize_t got = read(STDIN_FILENO, buffer + used, sizeof buffer - 1 - used);
  if (got <= 0) {
    return false;
  }
  used += (size_t)got;
  buffer[used] = '\0';
  char *end = NULL;
  while ((end = strchr(buffer, '\n')) != NULL) {
    *end = '\0';
    if (!obey(ops, self, buffer)) {
      return false;
    }
    used -= (size_t)(end + 1 - buffer);
    memmove(buffer, end + 1, used + 1);
  }
  return true;
}

static uint16_t read_instruments(const json_t *list, broker_instrument *out) {
  uint16_t count = 0;
  size_t index = 0;
  json_t *item = NULL;
  json_array_foreach((json_t *)(uintptr_t)list, index, item) {
    const char *symbol = json_string_value(json_object_get(item, "symbol"));
    if (count == INSTRUMENTS_MAX || symbol == NULL ||
        decimal_parse(json_string_value(json_object_get(item, "tick")), &out[count].tick_e8) != DECIMAL_OK ||
        decimal_parse(json_string_value(json_object_get(item, "lot")), &out[count].lot_e8) != DECIMAL_OK) {
      break;
    }
    (void)snprintf(out[count].symbol, sizeof out[count].symbol, "%s", symbol);
    count++;
  }
  return count;
}

static int run(const broker_ops *ops, const json_t *root) {
  broker_instrument instruments[INSTRUMENTS_MAX] = {0};
  char error[512] = "";
  char *settings = json_dumps(json_object_get(root, "settings"), 0);
  const broker_config config = {
      .venue = "binance",
      .mode = json_string_value(json_object_get(root, "mode")),
      .settings_json = settings,
      .credentials_directory = json_string_value(json_object_get(root, "credentials")),
      .instruments = instruments,
      .instrument_count = read_instruments(json_object_get(root, "instruments"), instruments)};
  const broker_callbacks callbacks = {.on_state = on_state,
                                      .on_quote = on_quote,
                                      .on_ack = on_ack,
                                      .on_fill = on_fill,
                                      .on_cancel = on_cancel,
                                      .on_reject = on_reject,
                                      .on_orphan = on_orphan,
                                      .on_log = on_log};
  broker *self = NULL;
  if (ops->check(&config, error, sizeof error) == 0) {
    self = ops->create(&config, &callbacks, NULL, error, sizeof error);
  }
  free(settings);
  if (self == NULL) {
    say(json_pack("{s:s,s:s}", "event", "error", "text", error));
    return 1;
  }
  do {
    ops->poll(self, monotonic_ns());
  } while (read_commands(ops, self));
  ops->destroy(self);
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    (void)fprintf(stderr, "usage: drive LIBRARY CONFIG.json\n");
    return 2;
  }
  void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  void *symbol = library == NULL ? NULL : dlsym(library, "slipway_broker");
  json_error_t problem;
  json_t *root = json_load_file(argv[2], 0, &problem);
  if (symbol == NULL || root == NULL) {
    (void)fprintf(stderr, "drive: %s\n", symbol == NULL ? dlerror() : problem.text);
    json_decref(root);
    return 2;
  }
  slipway_broker_fn function = NULL;
  memcpy(&function, &symbol, sizeof function); /* the one way from void * to a function that C allows */
  const broker_ops *ops = function();
  const int result = ops->abi == SLIPWAY_BROKER_ABI ? run(ops, root) : 2;
  json_decref(root);
  return result;
}
