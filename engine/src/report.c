/* report.c: see report.h. */
#include "report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "version.h"

static const char *const connection_names[] = {"DISCONNECTED", "CONNECTING", "READY", "REFUSED"};

/* ---- control socket ------------------------------------------------------------------------- */

static char *line_of(json_t *root) {
  char *text = root == NULL ? NULL : json_dumps(root, JSON_COMPACT);
  json_decref(root);
  if (text == NULL) {
    return NULL;
  }
  const size_t length = strlen(text);
  char *line = realloc(text, length + 2);
  if (line == NULL) {
    free(text);
    return NULL;
  }
  memcpy(line + length, "\n", 2);
  return line;
}

static json_t *latency(const histogram *of) {
  histogram_summary summary;
  histogram_summarise(of, &summary);
  return json_pack("{s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)summary.count, "p50",
                   (json_int_t)summary.p50, "p99", (json_int_t)summary.p99, "p999", (json_int_t)summary.p999,
                   "max", (json_int_t)summary.max);
}

static instrument_view totals(const venue_view *at, size_t count) {
  instrument_view sum = {0};
  for (size_t i = 0; i < count; i++) {
    const instrument_view *one = &at->instruments[i];
    sum.position_e8 = add_held(sum.position_e8, one->position_e8);
    sum.realised_e8 = add_held(sum.realised_e8, one->realised_e8);
    sum.unrealised_e8 = add_held(sum.unrealised_e8, one->unrealised_e8);
    sum.fees_paid_e8 = add_held(sum.fees_paid_e8, one->fees_paid_e8);
    sum.rebates_e8 = add_held(sum.rebates_e8, one->rebates_e8);
  }
  return sum;
}

/* Text from a venue need not be UTF-8; JSON must be. */
static json_t *text_value(const char *text) {
  json_t *value = json_string(text);
  if (value != NULL) {
    return value;
  }
  char plain[REASON_MAX];
  size_t used = 0;
  for (; text[used] != '\0' && used + 1 < sizeof plain; used++) {
    plain[used] = (unsigned char)text[used] < 0x80 ? text[used] : '?';
  }
  plain[used] = '\0';
  return json_string(plain);
}

static json_t *venue_status(const engine_shared *shared, const venue_view *at, size_t index) {
  const instrument_view sum = totals(at, shared->config->venues[index].instrument_count);
  return json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "connection",
                   connection_names[at->connection & 3], "reason", text_value(at->reason), "open_orders",
                   (json_int_t)at->open_orders, "sent", (json_int_t)at->sent, "acked", (json_int_t)at->acked,
                   "filled", (json_int_t)at->fills, "canceled", (json_int_t)at->canceled, "rejected",
                   (json_int_t)at->rejected, "position_e8", (json_int_t)sum.position_e8, "realised_e8",
                   (json_int_t)sum.realised_e8, "unrealised_e8", (json_int_t)sum.unrealised_e8, "fees_e8",
                   (json_int_t)add_held(sum.fees_paid_e8, -sum.rebates_e8), "order_rtt_ns",
                   latency(&shared->order_rtt[index]), "tick_to_order_ns",
                   latency(&shared->tick_to_order[index]));
}

char *report_status(engine_shared *shared, const snapshot *now) {
  json_t *venues = json_object();
  for (size_t i = 0; i < shared->config->venue_count; i++) {
    (void)json_object_set_new(venues, shared->config->venues[i].name,
                              venue_status(shared, &now->venues[i], i));
  }
  const double uptime = (double)(clock_mono_ns() - shared->started_mono_ns) / (double)NS_PER_S;
  return line_of(json_pack("{s:s, s:o, s:s, s:s, s:f, s:o}", "state",
                           engine_state_name((engine_state)now->state), "reason", text_value(now->reason),
                           "release", shared->release, "limits", shared->limits->sha256, "uptime_s", uptime,
                           "venues", venues));
}

char *report_limits(const engine_shared *shared, const snapshot *now) {
  const limits *all = shared->limits;
  json_t *venues = json_object();
  for (size_t i = 0; i < shared->config->venue_count; i++) {
    const limits_venue *bound = limits_find(all, shared->config->venues[i].name);
    const venue_view *at = &now->venues[i];
    if (bound == NULL) {
      continue;
    }
    json_t *refused = json_object();
    for (size_t verdict = 1; verdict < RISK_VERDICTS; verdict++) {
      (void)json_object_set_new(refused, risk_name((risk_verdict)verdict),
                                json_integer((json_int_t)at->refused[verdict]));
    }
    (void)json_object_set_new(
        venues, bound->name,
        json_pack(
            "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I}, s:o}", "price_collar_bps",
            (json_int_t)bound->price_collar_bps, "max_order_value_e8", (json_int_t)bound->max_order_value_e8,
            "max_order_quantity_e8", (json_int_t)bound->max_order_quantity_e8, "max_open_orders",
            (json_int_t)bound->max_open_orders, "max_messages_per_s", (json_int_t)bound->max_messages_per_s,
            "max_position_e8", (json_int_t)bound->max_position_e8, "max_daily_loss_e8",
            (json_int_t)bound->max_daily_loss_e8, "use", "open_orders", (json_int_t)at->open_orders,
            "messages_last_s", (json_int_t)at->messages_last_s, "daily_loss_e8",
            (json_int_t)at->daily_loss_e8, "refused", refused));
  }
  return line_of(json_pack("{s:s, s:s, s:{s:I, s:I, s:I, s:I}, s:o}", "sha256", all->sha256, "mode",
                           all->mode, "total", "venues", (json_int_t)all->total_venues, "max_messages_per_s",
                           (json_int_t)all->total_messages_per_s, "max_daily_loss_e8",
                           (json_int_t)all->total_daily_loss_e8, "daily_loss_e8",
                           (json_int_t)now->daily_loss_e8, "venues", venues));
}

char *report_done(const snapshot *now, const engine_shared *shared) {
  json_int_t open = 0;
  for (size_t i = 0; i < shared->config->venue_count; i++) {
    open += (json_int_t)now->venues[i].open_orders;
  }
  return line_of(json_pack("{s:b, s:s, s:I}", "ok", 1, "state", engine_state_name((engine_state)now->state),
                           "open_orders", open));
}

char *report_error(const char *text) {
  return line_of(json_pack("{s:b, s:o}", "ok", 0, "error", text_value(text)));
}

/* ---- Prometheus ----------------------------------------------------------------------------- */

static void head(FILE *out, const char *name, const char *type, const char *help) {
  (void)fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A label's value; backslash, quote and newline are the three that must be escaped. */
static void label(FILE *out, const char *text) {
  for (; *text != '\0'; text++) {
    if (*text == '\\' || *text == '"') {
      (void)fputc('\\', out);
    }
    (void)fputc(*text == '\n' ? ' ' : *text, out);
  }
}

static double units(int64_t value_e8) { return (double)value_e8 / (double)SLIPWAY_SCALE; }
static double seconds(int64_t ns) { return (double)ns / (double)NS_PER_S; }

static void infos(const engine_shared *shared, const snapshot *now, FILE *out) {
  head(out, "slipway_build_info", "gauge", "The running executable.");
  (void)fprintf(
      out,
      "slipway_build_info{release_sha256=\"%s\",version=\"%s\",revision=\"%s\",config_version=\"%d\"} 1\n",
      shared->release, SLIPWAY_VERSION, SLIPWAY_REVISION, CONFIG_VERSION);
  head(out, "slipway_limits_info", "gauge", "The limits file that was loaded.");
  (void)fprintf(out, "slipway_limits_info{sha256=\"%s\"} 1\n", shared->limits->sha256);
  head(out, "slipway_config_info", "gauge", "The configuration file that was loaded.");
  (void)fprintf(out, "slipway_config_info{sha256=\"%s\",mode=\"%s\",host=\"", shared->config->sha256,
                shared->config->mode);
  label(out, shared->config->host);
  (void)fputs("\"} 1\n", out);
  head(out, "slipway_state", "gauge", "1 for the state that the engine is in.");
  for (int state = 0; state < ENGINE_STATES; state++) {
    (void)fprintf(out, "slipway_state{state=\"%s\"} %d\n", engine_state_name((engine_state)state),
                  now->state == state ? 1 : 0);
  }
  head(out, "slipway_latched", "gauge", "1 while an automatic halt is latched.");
  (void)fprintf(out, "slipway_latched %d\n", now->latched != 0 ? 1 : 0);
  head(out, "slipway_latch_written", "gauge", "1 while the latch file is in place.");
  (void)fprintf(out, "slipway_latch_written %d\n", now->latch_written != 0 ? 1 : 0);
  head(out, "slipway_permit_held", "gauge", "1 while a valid permit is held.");
  (void)fprintf(out, "slipway_permit_held %d\n", now->permit_held != 0 ? 1 : 0);
  if (now->permit_held != 0) {
    const int64_t wall = clock_wall_ns();
    head(out, "slipway_permit_age_seconds", "gauge", "Since the permit was written.");
    (void)fprintf(out, "slipway_permit_age_seconds %.3f\n", seconds(wall - now->armed_at_wall_ns));
    head(out, "slipway_permit_left_seconds", "gauge", "Until the permit expires.");
    (void)fprintf(out, "slipway_permit_left_seconds %.3f\n", seconds(now->expires_at_wall_ns - wall));
  }
  head(out, "slipway_uptime_seconds", "gauge", "Since the engine started.");
  (void)fprintf(out, "slipway_uptime_seconds %.3f\n", seconds(clock_mono_ns() - shared->started_mono_ns));
  head(out, "slipway_loop_age_seconds", "gauge", "Since the order loop last published; grows when it hangs.");
  (void)fprintf(out, "slipway_loop_age_seconds %.6f\n", seconds(clock_mono_ns() - now->published_mono_ns));
  head(out, "slipway_loop_turns_total", "counter", "Turns of the order loop.");
  (void)fprintf(out, "slipway_loop_turns_total %" PRIu64 "\n", now->turns);
  head(out, "slipway_loop_pinned", "gauge", "1 when the order loop is pinned to one CPU.");
  (void)fprintf(out, "slipway_loop_pinned %d\n", now->pinned != 0 ? 1 : 0);
  head(out, "slipway_log_dropped_total", "counter", "Log lines dropped because the log could not keep up.");
  (void)fprintf(out, "slipway_log_dropped_total %" PRIu64 "\n", log_dropped());
}

typedef struct venue_series {
  const char *name, *type, *help;
  size_t offset; /* of a 64-bit field of venue_view */
} venue_series;

static void venue_numbers(const engine_shared *shared, const snapshot *now, FILE *out) {
  static const venue_series all[] = {
      {"slipway_orders_sent_total", "counter", "Orders handed to the venue's connection.",
       offsetof(venue_view, sent)},
      {"slipway_orders_acked_total", "counter", "Orders that the venue confirmed.",
       offsetof(venue_view, acked)},
      {"slipway_fills_total", "counter", "Fills, partial ones included.", offsetof(venue_view, fills)},
      {"slipway_orders_canceled_total", "counter", "Orders closed by a cancel or expiry.",
       offsetof(venue_view, canceled)},
      {"slipway_orders_rejected_total", "counter", "Rejections by the venue.",
       offsetof(venue_view, rejected)},
      {"slipway_orders_lost_total", "counter", "Orders lost with their connection, swept by cancel-all.",
       offsetof(venue_view, lost)},
      {"slipway_cancels_sent_total", "counter", "Single cancels sent.", offsetof(venue_view, cancels_sent)},
      {"slipway_cancel_alls_sent_total", "counter", "Cancel-alls asked for.",
       offsetof(venue_view, cancel_alls_sent)},
      {"slipway_submit_failed_total", "counter", "Orders that the connector could not send.",
       offsetof(venue_view, submit_failed)},
      {"slipway_quotes_total", "counter", "Quotes received.", offsetof(venue_view, quotes)},
      {"slipway_orphans_total", "counter", "Open orders found that are not of this life.",
       offsetof(venue_view, orphans)},
      {"slipway_unknown_events_total", "counter", "Reports about orders that are not open here.",
       offsetof(venue_view, unknown_events)},
      {"slipway_open_orders", "gauge", "Orders believed open.", offsetof(venue_view, open_orders)},
      {"slipway_orders_unanswered", "gauge", "Orders or cancels without an answer for too long.",
       offsetof(venue_view, unconfirmed)},
      {"slipway_messages_last_second", "gauge", "Messages in the last second.",
       offsetof(venue_view, messages_last_s)},
      {"slipway_venue_stale", "gauge", "1 while the venue owes an answer for too long.",
       offsetof(venue_view, stale)},
  };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    head(out, all[i].name, all[i].type, all[i].help);
    for (size_t j = 0; j < shared->config->venue_count; j++) {
      uint64_t value = 0;
      memcpy(&value, (const char *)&now->venues[j] + all[i].offset, sizeof value);
      (void)fprintf(out, "%s{venue=\"%s\"} %" PRIu64 "\n", all[i].name, shared->config->venues[j].name,
                    value);
    }
  }
}

static void venue_states(const engine_shared *shared, const snapshot *now, FILE *out) {
  const int64_t mono = clock_mono_ns();
  head(out, "slipway_connection", "gauge", "1 for the state that the venue's connection is in.");
  for (size_t i = 0; i < shared->config->venue_count; i++) {
    for (int state = 0; state < 4; state++) {
      (void)fprintf(out, "slipway_connection{venue=\"%s\",state=\"%s\"} %d\n", shared->config->venues[i].name,
                    connection_names[state], now->venues[i].connection == state ? 1 : 0);
    }
  }
  head(out, "slipway_orders_refused_total", "counter", "Orders refused before sending, by limit.");
  for (size_t i = 0; i < shared->config->venue_count; i++) {
    for (size_t verdict = 1; verdict < RISK_VERDICTS; verdict++) {
      (void)fprintf(out, "slipway_orders_refused_total{venue=\"%s\",limit=\"%s\"} %" PRIu64 "\n",
                    shared->config->venues[i].name, risk_name((risk_verdict)verdict),
                    now->venues[i].refused[verdict]);
    }
  }
  head(out, "slipway_quote_age_seconds", "gauge", "Since the newest quote was received.");
  for (size_t i = 0; i < shared->config->venue_count; i++) {
    if (now->venues[i].quote_mono_ns != 0) {
      (void)fprintf(out, "slipway_quote_age_seconds{venue=\"%s\"} %.6f\n", shared->config->venues[i].name,
                    seconds(mono - now->venues[i].quote_mono_ns));
    }
  }
  head(out, "slipway_daily_loss", "gauge", "Loss of this UTC day in quote currency (below 0: profit).");
  for (size_t i = 0; i < shared->config->venue_count; i++) {
    (void)fprintf(out, "slipway_daily_loss{venue=\"%s\"} %.8f\n", shared->config->venues[i].name,
                  units(now->venues[i].daily_loss_e8));
  }
  head(out, "slipway_daily_loss_all_venues", "gauge", "The same over all venues.");
  (void)fprintf(out, "slipway_daily_loss_all_venues %.8f\n", units(now->daily_loss_e8));
  head(out, "slipway_limit", "gauge", "The limits in force, in the units that they are written in.");
  for (size_t i = 0; i < shared->config->venue_count; i++) {
    const char *name = shared->config->venues[i].name;
    const limits_venue *bound = limits_find(shared->limits, name);
    if (bound == NULL) {
      continue;
    }
    const struct {
      const char *limit;
      double value;
    } all[] = {{"price_collar_bps", (double)bound->price_collar_bps},
               {"max_order_value", units(bound->max_order_value_e8)},
               {"max_order_quantity", units(bound->max_order_quantity_e8)},
               {"max_open_orders", (double)bound->max_open_orders},
               {"max_messages_per_s", (double)bound->max_messages_per_s},
               {"max_position", units(bound->max_position_e8)},
               {"max_daily_loss", units(bound->max_daily_loss_e8)}};
    for (size_t j = 0; j < sizeof all / sizeof all[0]; j++) {
      (void)fprintf(out, "slipway_limit{venue=\"%s\",limit=\"%s\"} %.8f\n", name, all[j].limit, all[j].value);
    }
  }
}

static void results(const engine_shared *shared, const snapshot *now, FILE *out) {
  static const venue_series all[] = {
      {"slipway_position", "gauge", "Position in base currency or contracts; below 0: short.",
       offsetof(instrument_view, position_e8)},
      {"slipway_realised", "gauge", "Realised result by average cost, without fees, quote currency.",
       offsetof(instrument_view, realised_e8)},
      {"slipway_unrealised", "gauge", "Result of the open position at mid, quote currency.",
       offsetof(instrument_view, unrealised_e8)},
      {"slipway_fees_paid_total", "counter", "Fees paid, quote currency.",
       offsetof(instrument_view, fees_paid_e8)},
      {"slipway_rebates_total", "counter", "Rebates received, quote currency.",
       offsetof(instrument_view, rebates_e8)},
      {"slipway_mid", "gauge", "Mid of the last two-sided quote.", offsetof(instrument_view, mid_e8)},
  };
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
    head(out, all[i].name, all[i].type, all[i].help);
    for (size_t j = 0; j < shared->config->venue_count; j++) {
      const config_venue *about = &shared->config->venues[j];
      for (size_t k = 0; k < about->instrument_count; k++) {
        int64_t value = 0;
        memcpy(&value, (const char *)&now->venues[j].instruments[k] + all[i].offset, sizeof value);
        (void)fprintf(out, "%s{venue=\"%s\",instrument=\"", all[i].name, about->name);
        label(out, about->instruments[k].symbol);
        (void)fprintf(out, "\"} %.8f\n", units(value));
      }
    }
  }
}

static void latencies(const engine_shared *shared, FILE *out, const char *name, const char *help,
                      const histogram *of) {
  head(out, name, "summary", help);
  for (size_t i = 0; i < shared->config->venue_count; i++) {
    histogram_summary summary;
    histogram_summarise(&of[i], &summary);
    const char *of_venue = shared->config->venues[i].name;
    if (summary.count > 0) {
      (void)fprintf(out, "%s{venue=\"%s\",quantile=\"0.5\"} %.9f\n", name, of_venue, seconds(summary.p50));
      (void)fprintf(out, "%s{venue=\"%s\",quantile=\"0.99\"} %.9f\n", name, of_venue, seconds(summary.p99));
      (void)fprintf(out, "%s{venue=\"%s\",quantile=\"0.999\"} %.9f\n", name, of_venue, seconds(summary.p999));
      (void)fprintf(out, "%s{venue=\"%s\",quantile=\"1\"} %.9f\n", name, of_venue, seconds(summary.max));
    }
    (void)fprintf(out, "%s_sum{venue=\"%s\"} %.9f\n", name, of_venue, seconds(summary.sum));
    (void)fprintf(out, "%s_count{venue=\"%s\"} %" PRIu64 "\n", name, of_venue, summary.count);
  }
}

void report_metrics(engine_shared *shared, const snapshot *now, FILE *out) {
  infos(shared, now, out);
  venue_states(shared, now, out);
  venue_numbers(shared, now, out);
  results(shared, now, out);
  latencies(shared, out, "slipway_order_rtt_seconds", "From handing an order over to the venue's first word.",
            shared->order_rtt);
  latencies(shared, out, "slipway_tick_to_order_seconds",
            "From reading a quote to having handed an order over.", shared->tick_to_order);
}
