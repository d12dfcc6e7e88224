/* connector.c: the Binance spot connector as the engine sees it. */
#include "internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "decimal.h"

#ifndef SLIPWAY_VERSION
#define SLIPWAY_VERSION "0.0.0"
#endif

#define SLOW_EVERY_NS (2 * NS_PER_MS) /* timers and reconnects; sockets are served at every turn */

int64_t monotonic_now(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int64_t realtime_ms_now(void) {
  struct timespec now;
  (void)clock_gettime(CLOCK_REALTIME, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NS_PER_MS;
}

void broker_log(const broker *self, int level, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  self->callbacks.on_log(self->user, level, text);
}

void broker_refuse(broker *self, const char *format, ...) {
  if (self->refused) {
    return;
  }
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(self->refusal, sizeof self->refusal, format, arguments);
  va_end(arguments);
  self->refused = true;
  broker_log(self, LEVEL_ERROR, "%s", self->refusal);
}

void broker_hold(broker *self, int64_t retry_after_ms, int64_t fallback_s) {
  int64_t wait_ms = retry_after_ms > 0 ? retry_after_ms - (realtime_ms_now() + self->survey.offset_ms) : 0;
  if (wait_ms <= 0) {
    wait_ms = retry_after_ms > 0 ? 100 : fallback_s * 1000;
  }
  const int64_t until = self->now_ns + wait_ms * NS_PER_MS;
  if (until > self->hold_ns) {
    self->hold_ns = until;
    broker_log(self, LEVEL_ERROR, "the venue limits our requests: nothing is sent for %" PRId64 " ms",
               wait_ms);
  }
}

bool code_refuses(int64_t code) {
  return code == -2015 || code == -2014 || code == -1022 || code == -1002 || code == -4056;
}

bool broker_clock_good(const broker *self) {
  return self->survey.clock_known && llabs(self->survey.offset_ms) <= self->settings.clock_bound_ms;
}

int64_t broker_timestamp_ms(const broker *self) {
  const bool correct = self->survey.clock_known && !broker_clock_good(self);
  return realtime_ms_now() + (correct ? self->survey.offset_ms : 0);
}

int instrument_find(const broker *self, const char *symbol) {
  for (uint16_t i = 0; i < self->instrument_count; i++) {
    if (strcmp(self->instruments[i].symbol, symbol) == 0) {
      return (int)i;
    }
  }
  return -1;
}

/* ---- state */

static void publish(broker *self, broker_state state, const char *reason) {
  if (self->state == state && strcmp(self->reason, reason) == 0) {
    return;
  }
  self->state = state;
  (void)snprintf(self->reason, sizeof self->reason, "%s", reason);
  self->callbacks.on_state(self->user, state, self->reason);
}

static void publish_waiting(broker *self) {
  const rest_survey *survey = &self->survey;
  const ws_session *session = &self->session;
  char clock[SLIPWAY_TEXT_MAX];
  const char *why = NULL;
  if (survey->clock_known && !broker_clock_good(self)) {
    (void)snprintf(clock, sizeof clock,
                   "clock: the venue's is %+" PRId64 " ms from ours, allowed %" PRId64 " ms",
                   survey->offset_ms, self->settings.clock_bound_ms);
    why = clock;
  } else if (!survey->clock_known || !survey->rules_known || !survey->account_known) {
    why = survey->problem[0] != '\0' ? survey->problem : "asking for the clock, the rules and the account";
  } else if (session->stage < SESSION_OPEN) {
    why = session->problem[0] != '\0' ? session->problem : "connecting to the WebSocket API";
  } else if (session->stage != SESSION_READY) {
    why = session->stage == SESSION_RECONCILE ? "reconciling open orders" : "logging on";
  } else if (session->drain_until_ns != 0) {
    why = "replacing the WebSocket API connection";
  } else if (self->now_ns < self->hold_ns) {
    why = "the venue limits our requests";
  } else {
    why = self->feed.problem[0] != '\0' ? self->feed.problem : "connecting to the market streams";
  }
  const bool down = session->stage == SESSION_DOWN && session->problem[0] != '\0';
  publish(self, down ? BROKER_DISCONNECTED : BROKER_CONNECTING, why);
}

static void update_state(broker *self) {
  const rest_survey *survey = &self->survey;
  const ws_session *session = &self->session;
  if (self->refused) {
    publish(self, BROKER_REFUSED, self->refusal);
    return;
  }
  const bool ready = survey->rules_known && survey->account_known && broker_clock_good(self) &&
                     session->stage == SESSION_READY && session->drain_until_ns == 0 && feed_ready(self) &&
                     self->now_ns >= self->hold_ns;
  if (ready) {
    publish(self, BROKER_READY, "");
  } else {
    publish_waiting(self);
  }
}

/* ---- the operations */

static int check(const broker_config *config, char *error, size_t error_size) {
  binance_settings settings;
  binance_credentials credentials;
  if (settings_read(&settings, config, error, error_size) != 0 ||
      settings_check_instruments(config, error, error_size) != 0) {
    return -1;
  }
  /* Outside its unit (a configuration checked before it is installed) no credential is within reach. */
  if (config->credentials_directory == NULL) {
    return 0;
  }
  if (credentials_read(&credentials, &settings, config->credentials_directory, error, error_size) != 0) {
    return -1;
  }
  credentials_clear(&credentials);
  return 0;
}

static void destroy(broker *self) {
  if (self == NULL) {
    return;
  }
  if (self->context != NULL) {
    link_drop(&self->session.link);
    link_drop(&self->feed.links[0]);
    link_drop(&self->feed.links[1]);
    lws_context_destroy(self->context);
  }
  rest_destroy(self->rest);
  resolver_destroy(self->resolver);
  credentials_clear(&self->credentials);
  free(self->session.link.buffer);
  free(self->feed.links[0].buffer);
  free(self->feed.links[1].buffer);
  free(self->tokens);
  free(self);
}

static struct lws_context *create_context(void) {
  struct lws_context_creation_info info;
  memset(&info, 0, sizeof info);
  info.port = CONTEXT_PORT_NO_LISTEN;
  info.protocols = link_protocols;
  info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
  info.gid = -1; /* stay who we are */
  info.uid = -1;
  info.fd_limit_per_thread = 32; /* else sized by the process's limit */
  info.pt_serv_buf_size = 65536;
  lws_set_log_level(0, NULL); /* what matters comes to us in callbacks, and goes to on_log */
  return lws_create_context(&info);
}

static bool allocate(broker *self) {
  self->tokens = calloc(TOKENS_MAX, sizeof *self->tokens);
  self->session.link.buffer = malloc(MESSAGE_MAX);
  self->feed.links[0].buffer = malloc(MESSAGE_MAX);
  self->feed.links[1].buffer = malloc(MESSAGE_MAX);
  self->resolver = resolver_create();
  self->context = create_context();
  return self->tokens != NULL && self->session.link.buffer != NULL && self->feed.links[0].buffer != NULL &&
         self->feed.links[1].buffer != NULL && self->resolver != NULL && self->context != NULL;
}

static void seed(broker *self) {
  const uint64_t now = (uint64_t)monotonic_now();
  const uint64_t here = (uint64_t)(uintptr_t)self;
  backoff_seed(&self->survey.backoff, now ^ here);
  backoff_seed(&self->session.backoff, (now << 1U) ^ here);
  backoff_seed(&self->feed.backoff, (now << 2U) ^ here);
}

static broker *create(const broker_config *config, const broker_callbacks *callbacks, void *user, char *error,
                      size_t error_size) {
  broker *self = calloc(1, sizeof *self);
  if (self == NULL) {
    (void)snprintf(error, error_size, "venue binance: out of memory");
    return NULL;
  }
  if (settings_read(&self->settings, config, error, error_size) != 0 ||
      settings_check_instruments(config, error, error_size) != 0 ||
      credentials_read(&self->credentials, &self->settings, config->credentials_directory, error,
                       error_size) != 0) {
    destroy(self);
    return NULL;
  }
  self->callbacks = *callbacks;
  self->user = user;
  self->instrument_count = config->instrument_count;
  memcpy(self->instruments, config->instruments, sizeof config->instruments[0] * config->instrument_count);
  self->state = BROKER_DISCONNECTED;
  if (!allocate(self) || survey_init(self) != 0) {
    (void)snprintf(error, error_size,
                   "venue binance: out of memory, or no room for a thread or an event loop");
    destroy(self);
    return NULL;
  }
  resolver_name(self->resolver, RESOLVE_REST, self->settings.rest.host);
  resolver_name(self->resolver, RESOLVE_API, self->settings.ws_api.host);
  resolver_name(self->resolver, RESOLVE_STREAMS, self->settings.streams.host);
  session_init(self);
  feed_init(self);
  seed(self);
  return self;
}

static void poll_once(broker *self, int64_t now_mono_ns) {
  self->now_ns = now_mono_ns;
  (void)lws_service(self->context, -1); /* negative: never waits */
  rest_step(self->rest);
  if (self->now_ns < self->slow_at_ns) {
    return;
  }
  self->slow_at_ns = self->now_ns + SLOW_EVERY_NS;
  survey_tick(self);
  session_tick(self);
  feed_tick(self);
  update_state(self);
}

static void warn_refused(broker *self, const broker_order *order, const char *why) {
  broker_log(self, LEVEL_WARNING, "order %016" PRIx64 " not sent: %s", order->client_id, why);
}

static int submit(broker *self, const broker_order *order) {
  if (self->state != BROKER_READY || self->refused || self->sweep.active ||
      self->session.stage != SESSION_READY || self->session.drain_until_ns != 0) {
    return -1;
  }
  self->now_ns = monotonic_now();
  if (self->now_ns < self->hold_ns || self->now_ns < self->hold_orders_ns) {
    return -1;
  }
  char why[SLIPWAY_TEXT_MAX];
  if (order->instrument >= self->instrument_count ||
      (order->side != BROKER_BUY && order->side != BROKER_SELL) ||
      (order->tif != BROKER_GTC && order->tif != BROKER_IOC)) {
    warn_refused(self, order, "its instrument, side or time in force is unknown");
    return -1;
  }
  if (!rules_allow(&self->rules[order->instrument], order, self->orders.open[order->instrument], why,
                   sizeof why)) {
    warn_refused(self, order, why);
    return -1;
  }
  live_order *item = orders_add(&self->orders, order);
  if (item == NULL) {
    warn_refused(self, order, "its id is 0 or in use, or too many orders are open");
    return -1;
  }
  item->sent_ns = self->now_ns;
  item->seen = true;
  if (!session_place(self, item)) {
    /* A connection that broke while writing may have taken the order along: then it is not "not sent". */
    if (self->session.stage == SESSION_DOWN) {
      return 0;
    }
    orders_remove(&self->orders, item);
    return -1;
  }
  return 0;
}

static int cancel(broker *self, uint64_t client_id) {
  self->now_ns = monotonic_now();
  live_order *item = orders_find(&self->orders, client_id);
  if (item == NULL) {
    return -1;
  }
  if (item->cancel_in_flight) {
    return 0;
  }
  if (!session_cancel(self, item)) {
    return -1;
  }
  item->cancel_wanted = true;
  return 0;
}

static int cancel_all(broker *self) {
  self->now_ns = monotonic_now();
  self->session.allowed = true;
  sweep_start(self);
  return 0;
}

__attribute__((visibility("default"))) const broker_ops *slipway_broker(void) {
  static const broker_ops operations = {.abi = SLIPWAY_BROKER_ABI,
                                        .venue = "binance",
                                        .version = SLIPWAY_VERSION,
                                        .check = check,
                                        .create = create,
                                        .poll = poll_once,
                                        .submit = submit,
                                        .cancel = cancel,
                                        .cancel_all = cancel_all,
                                        .destroy = destroy};
  return &operations;
}
