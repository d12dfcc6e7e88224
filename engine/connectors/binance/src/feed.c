/* feed.c: best bid and ask of every instrument over one combined stream. At a rollover the new connection
 * is open before the old one closes, and update ids keep the two from telling a quote twice.
 */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STABLE_NS (10 * NS_PER_S)
#define OVERLAP_NS NS_PER_S /* the new connection has surely begun to talk */

static ws_link *active(broker *self) { return &self->feed.links[self->feed.active]; }

static ws_link *standby(broker *self) { return &self->feed.links[1U - self->feed.active]; }

bool feed_ready(const broker *self) { return self->feed.links[self->feed.active].state == LINK_OPEN; }

static void on_open(void *owner, ws_link *link) {
  broker *self = owner;
  market_feed *feed = &self->feed;
  self->now_ns = monotonic_now();
  feed->replace_at_ns = self->now_ns + self->settings.rollover_ns;
  feed->problem[0] = '\0';
  if (link == active(self)) {
    /* No other connection is telling: ids may start anew (the testnet is reset at times). */
    memset(feed->update_ids, 0, sizeof feed->update_ids);
  }
}

static void quote(broker *self, const stream_message *message, int64_t received_ns) {
  const int instrument = instrument_find(self, message->symbol);
  if (instrument < 0 || message->update_id <= self->feed.update_ids[instrument]) {
    return;
  }
  self->feed.update_ids[instrument] = message->update_id;
  const broker_quote quote = {.bid_e8 = message->bid_e8,
                              .bid_quantity_e8 = message->bid_quantity_e8,
                              .ask_e8 = message->ask_e8,
                              .ask_quantity_e8 = message->ask_quantity_e8,
                              .received_mono_ns = received_ns,
                              .instrument = (uint16_t)instrument};
  self->callbacks.on_quote(self->user, &quote);
}

static void on_message(void *owner, ws_link *link, const char *text, size_t length, int64_t received_ns) {
  broker *self = owner;
  json_doc doc;
  stream_message message;
  self->now_ns = received_ns;
  if (!doc_parse(&doc, text, length, self->tokens, TOKENS_MAX) || !stream_read(&doc, &message)) {
    broker_log(self, LEVEL_WARNING, "market stream: a message of %zu bytes is not readable; left out",
               length);
    return;
  }
  if (message.kind == STREAM_BOOK) {
    quote(self, &message, received_ns);
  } else if (message.kind == STREAM_SHUTDOWN && link == active(self)) {
    broker_log(self, LEVEL_NOTICE, "the market streams announce their shutdown: reconnecting");
    self->feed.replace_at_ns = self->now_ns;
  }
}

static void on_down(void *owner, ws_link *link, int http_status, int64_t retry_after_s, const char *why) {
  broker *self = owner;
  market_feed *feed = &self->feed;
  self->now_ns = monotonic_now();
  if (http_status == 451) {
    broker_refuse(self, "market streams %s: 451 (this address is in a restricted location)", link->to->host);
  } else if (http_status == 429 || http_status == 418) {
    broker_hold(self, retry_after_s > 0 ? realtime_ms_now() + retry_after_s * 1000 : 0,
                http_status == 418 ? 120 : 10);
  }
  if (link == active(self)) {
    if (standby(self)->state == LINK_OPEN) {
      feed->active = 1U - feed->active;
      return;
    }
    if (self->now_ns - link->opened_ns > STABLE_NS && link->opened_ns != 0) {
      backoff_reset(&feed->backoff);
    }
    link->opened_ns = 0;
  }
  const int64_t wait = backoff_next(&feed->backoff);
  feed->connect_at_ns = self->now_ns + wait;
  (void)snprintf(feed->problem, sizeof feed->problem, "market streams %s: %s", link->to->host, why);
  broker_log(self, LEVEL_WARNING, "%s; next attempt in %" PRId64 " ms", feed->problem, wait / NS_PER_MS);
}

void feed_tick(broker *self) {
  market_feed *feed = &self->feed;
  link_tick(&feed->links[0], self->now_ns);
  link_tick(&feed->links[1], self->now_ns);
  if (self->refused || self->now_ns < feed->connect_at_ns || self->now_ns < self->hold_ns) {
    return;
  }
  if (active(self)->state == LINK_DOWN) {
    if (standby(self)->state == LINK_DOWN) {
      link_connect(active(self), self->now_ns);
    } else if (standby(self)->state == LINK_OPEN) {
      feed->active = 1U - feed->active;
    }
    return;
  }
  if (active(self)->state != LINK_OPEN) {
    return;
  }
  if (standby(self)->state == LINK_OPEN && self->now_ns - standby(self)->opened_ns > OVERLAP_NS) {
    link_drop(active(self));
    feed->active = 1U - feed->active;
  } else if (standby(self)->state == LINK_DOWN && self->now_ns >= feed->replace_at_ns) {
    link_connect(standby(self), self->now_ns);
  }
}

/* "/stream?streams=btcusdt@bookTicker/ethusdt@bookTicker"; names beyond ASCII are percent-encoded. */
static void write_path(broker *self) {
  market_feed *feed = &self->feed;
  size_t used =
      (size_t)snprintf(feed->path, sizeof feed->path, "%s/stream?streams=", self->settings.streams.path);
  for (uint16_t i = 0; i < self->instrument_count; i++) {
    char lower[SLIPWAY_SYMBOL_MAX];
    char encoded[3 * SLIPWAY_SYMBOL_MAX];
    const char *symbol = self->instruments[i].symbol;
    size_t at = 0;
    for (; symbol[at] != '\0'; at++) {
      lower[at] = symbol[at] >= 'A' && symbol[at] <= 'Z' ? (char)(symbol[at] - 'A' + 'a') : symbol[at];
    }
    lower[at] = '\0';
    (void)percent_encode(lower, encoded, sizeof encoded);
    if (used < sizeof feed->path) {
      used += (size_t)snprintf(feed->path + used, sizeof feed->path - used, "%s%s@bookTicker",
                               i == 0 ? "" : "/", encoded);
    }
  }
}

void feed_init(broker *self) {
  static const link_handlers handlers = {.open = on_open, .message = on_message, .down = on_down};
  market_feed *feed = &self->feed;
  write_path(self);
  for (unsigned i = 0; i < 2; i++) {
    feed->links[i] = (ws_link){.name = "market streams",
                               .context = self->context,
                               .resolver = self->resolver,
                               .slot = RESOLVE_STREAMS,
                               .to = &self->settings.streams,
                               .path = feed->path,
                               .handlers = &handlers,
                               .owner = self,
                               .buffer = feed->links[i].buffer,
                               .size = MESSAGE_MAX};
  }
}
