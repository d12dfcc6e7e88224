/* survey.c: what REST tells before an order may go out, and again from time to time: how far the venue's
 * clock is from ours, the rules of the instruments, and whether the account may trade.
 */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CLOCK_SAMPLES 3U
#define CLOCK_EVERY_NS (60 * NS_PER_S)
#define CLOCK_EVERY_BAD_NS (2 * NS_PER_S) /* while over the bound */
#define RULES_EVERY_NS (3600 * NS_PER_S)

static void problem(broker *self, const char *what, const char *why) {
  rest_survey *survey = &self->survey;
  const int64_t wait = backoff_next(&survey->backoff);
  survey->step = SURVEY_IDLE;
  survey->not_before_ns = self->now_ns + wait;
  (void)snprintf(survey->problem, sizeof survey->problem, "REST %s: %s: %s", self->settings.rest.host, what,
                 why);
  broker_log(self, LEVEL_WARNING, "%s; next attempt in %" PRId64 " ms", survey->problem, wait / NS_PER_MS);
}

static const char *step_name(survey_step step) {
  switch (step) {
  case SURVEY_CLOCK:
    return "time";
  case SURVEY_RULES:
    return "exchangeInfo";
  case SURVEY_ACCOUNT:
    return "account";
  case SURVEY_IDLE:
    break;
  }
  return "request";
}

/* True if the answer holds a document to read; otherwise the failure has been dealt with. */
static bool usable(broker *self, const rest_answer *answer, json_doc *doc) {
  const char *what = step_name(self->survey.step);
  char text[SLIPWAY_TEXT_MAX] = "";
  int64_t code = 0;
  if (answer->http_status == 0) {
    problem(self, what, answer->error);
    return false;
  }
  const bool json = doc_parse(doc, answer->body, answer->length, self->tokens, TOKENS_MAX);
  if (answer->http_status == 200 && json) {
    return true;
  }
  if (json) {
    (void)rest_error_read(doc, &code, text, sizeof text);
  }
  char why[SLIPWAY_TEXT_MAX + 48];
  (void)snprintf(why, sizeof why, "HTTP %ld, %" PRId64 " %s", answer->http_status, code, text);
  if (answer->http_status == 451) {
    broker_refuse(self, "REST %s: 451 %s (this address is in a restricted location)",
                  self->settings.rest.host, text);
  } else if (code_refuses(code)) {
    broker_refuse(self, "REST %s: %s: %" PRId64 " %s (key, this host's address, or permissions)",
                  self->settings.rest.host, what, code, text);
  } else if (answer->http_status == 429 || answer->http_status == 418) {
    broker_hold(self, answer->retry_after_s > 0 ? realtime_ms_now() + answer->retry_after_s * 1000 : 0,
                answer->http_status == 418 ? 120 : 10);
  } else if (code == -1021) {
    self->survey.clock_at_ns = 0;
  }
  problem(self, what, answer->http_status == 200 ? "the answer is not JSON" : why);
  return false;
}

static void read_clock(broker *self, const rest_answer *answer, const json_doc *doc) {
  rest_survey *survey = &self->survey;
  int64_t server_ms = 0;
  if (!time_read(doc, &server_ms)) {
    problem(self, "time", "no serverTime in the answer");
    return;
  }
  /* The answer with the shortest round trip says most: the venue's time was true within that trip. */
  if (survey->samples == 0 || answer->round_trip_ms < survey->best_round_trip_ms) {
    survey->best_round_trip_ms = answer->round_trip_ms;
    survey->best_offset_ms = server_ms - (answer->received_ms - answer->round_trip_ms / 2);
  }
  survey->samples++;
  survey->step = SURVEY_IDLE;
  if (survey->samples < CLOCK_SAMPLES) {
    return;
  }
  survey->samples = 0;
  survey->offset_ms = survey->best_offset_ms;
  survey->clock_known = true;
  survey->problem[0] = '\0';
  backoff_reset(&survey->backoff);
  const bool good = broker_clock_good(self);
  survey->clock_at_ns = self->now_ns + (good ? CLOCK_EVERY_NS : CLOCK_EVERY_BAD_NS);
  broker_log(self, good ? LEVEL_INFO : LEVEL_ERROR,
             "clock: the venue's is %+" PRId64 " ms from ours (round trip %" PRId64 " ms, allowed %" PRId64
             " ms)",
             survey->offset_ms, survey->best_round_trip_ms, self->settings.clock_bound_ms);
}

static void read_rules(broker *self, const json_doc *doc) {
  rest_survey *survey = &self->survey;
  rules found[INSTRUMENT_MAX];
  for (uint16_t i = 0; i < self->instrument_count; i++) {
    const char *symbol = self->instruments[i].symbol;
    char why[SLIPWAY_TEXT_MAX];
    if (!exchange_info_read(doc, symbol, &found[i])) {
      (void)snprintf(why, sizeof why, "no readable rules for %s", symbol);
      problem(self, "exchangeInfo", why);
      return;
    }
    if (!rules_match(&found[i], &self->instruments[i], why, sizeof why)) {
      broker_refuse(self, "instrument %s", why);
      problem(self, "exchangeInfo", why);
      return;
    }
    if (!found[i].trading) {
      broker_log(self, LEVEL_WARNING, "%s has status %s: its orders will be refused", symbol,
                 found[i].status);
    }
  }
  memcpy(self->rules, found, sizeof found[0] * self->instrument_count);
  survey->rules_known = true;
  survey->rules_at_ns = self->now_ns + RULES_EVERY_NS;
  survey->step = SURVEY_IDLE;
  backoff_reset(&survey->backoff);
}

static void read_account(broker *self, const json_doc *doc) {
  rest_survey *survey = &self->survey;
  bool can_trade = false;
  survey->step = SURVEY_IDLE;
  if (!doc_boolean(doc, doc_member(doc, 0, "canTrade"), &can_trade)) {
    problem(self, "account", "no canTrade in the answer");
    return;
  }
  if (!can_trade) {
    broker_refuse(self, "REST %s: the account may not trade (canTrade is false)", self->settings.rest.host);
    return;
  }
  survey->account_known = true;
  survey->account_at_ns = NEVER;
  backoff_reset(&survey->backoff);
}

static void on_answer(void *owner, const rest_answer *answer) {
  broker *self = owner;
  json_doc doc;
  self->now_ns = monotonic_now();
  if (!usable(self, answer, &doc)) {
    return;
  }
  switch (self->survey.step) {
  case SURVEY_CLOCK:
    read_clock(self, answer, &doc);
    break;
  case SURVEY_RULES:
    read_rules(self, &doc);
    break;
  case SURVEY_ACCOUNT:
    read_account(self, &doc);
    break;
  case SURVEY_IDLE:
    break;
  }
}

static void ask(broker *self, survey_step step, const char *target, const char *api_key) {
  if (rest_start(self->rest, "GET", target, api_key, on_answer, self)) {
    self->survey.step = step;
  }
}

static void ask_rules(broker *self) {
  char list[REST_TARGET_MAX / 2] = "[";
  char encoded[REST_TARGET_MAX - 64];
  char target[REST_TARGET_MAX];
  for (uint16_t i = 0; i < self->instrument_count; i++) {
    const size_t used = strlen(list);
    (void)snprintf(list + used, sizeof list - used, "%s\"%s\"", i == 0 ? "" : ",",
                   self->instruments[i].symbol);
  }
  const size_t used = strlen(list);
  (void)snprintf(list + used, sizeof list - used, "]");
  if (percent_encode(list, encoded, sizeof encoded) == 0) {
    problem(self, "exchangeInfo", "too many instruments for one request");
    return;
  }
  (void)snprintf(target, sizeof target, "/api/v3/exchangeInfo?symbols=%s", encoded);
  ask(self, SURVEY_RULES, target, NULL);
}

/* A signed GET. REST signs the query as it is sent, so percent-encoded: our values need none. */
static void ask_account(broker *self) {
  char target[REST_TARGET_MAX];
  char signature[SIGNATURE_TEXT_MAX];
  char encoded[3 * SIGNATURE_TEXT_MAX];
  static const char path[] = "/api/v3/account?";
  int used =
      snprintf(target, sizeof target, "%somitZeroBalances=true&recvWindow=%" PRId64 "&timestamp=%" PRId64,
               path, self->settings.recv_window_ms, broker_timestamp_ms(self));
  const char *query = target + sizeof path - 1;
  if (signer_sign(self->credentials.signer, query, strlen(query), signature, sizeof signature) == 0 ||
      percent_encode(signature, encoded, sizeof encoded) == 0) {
    problem(self, "account", "the request could not be signed");
    return;
  }
  (void)snprintf(target + used, sizeof target - (size_t)used, "&signature=%s", encoded);
  ask(self, SURVEY_ACCOUNT, target, self->credentials.api_key);
}

void survey_tick(broker *self) {
  rest_survey *survey = &self->survey;
  if (self->refused || rest_busy(self->rest) || self->now_ns < survey->not_before_ns ||
      self->now_ns < self->hold_ns) {
    return;
  }
  if (survey->samples > 0 || self->now_ns >= survey->clock_at_ns) {
    ask(self, SURVEY_CLOCK, "/api/v3/time", NULL);
  } else if (self->now_ns >= survey->rules_at_ns) {
    ask_rules(self);
  } else if (self->now_ns >= survey->account_at_ns && broker_clock_good(self)) {
    ask_account(self);
  }
}

int survey_init(broker *self) {
  self->rest = rest_create(&self->settings.rest, self->resolver, RESOLVE_REST);
  return self->rest == NULL ? -1 : 0;
}
