/* bench.c: tick-to-order and round-trip times of the engine against the mock venue, as JSON.
 *
 * usage: slipway-bench [SECONDS [busy|paced]]
 * The whole order path is run: quote, strategy, permit (fstat and byte), risk, order table, connector.
 * The mock hands orders over in memory, so the figures are the engine's own share, without a kernel
 * socket or a network. Resident memory is that of the whole process, mock included.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "connector.h"
#include "engine.h"

#define PACE_US 50

static int fail(const char *what) {
  (void)fprintf(stderr, "slipway-bench: %s\n", what);
  return EXIT_FAILURE;
}

static bool write_permit(const char *path, const char *release, const char *hash) {
  char draft[128];
  (void)snprintf(draft, sizeof draft, "%s.draft", path);
  FILE *out = fopen(draft, "w");
  if (out == NULL) {
    return false;
  }
  const int64_t now = clock_wall_ns();
  (void)fprintf(out,
                "A{\"release\":\"%s\",\"limits\":\"%s\",\"armed_by\":\"bench\",\"armed_at_ns\":%" PRId64
                ",\"expires_at_ns\":%" PRId64 "}",
                release, hash, now, now + 3600 * NS_PER_S);
  return fclose(out) == 0 && chmod(draft, 0600) == 0 && rename(draft, path) == 0;
}

static bool load(const char *directory, config *about, limits *bounds, char *error, size_t size) {
  char text[2048];
  int length = snprintf(
      text, sizeof text,
      "{\"config_version\":1,\"mode\":\"simulated\",\"host\":\"bench\",\"loop\":{\"policy\":\"busy\",\"pace_"
      "us\":50,"
      "\"cpu\":null},\"paths\":{\"permit\":\"%s/permit\",\"limits\":\"%s/limits\",\"latch\":\"%s/latch\","
      "\"control_socket\":\"%s/"
      "control\"},\"metrics\":{\"address\":\"127.0.0.1\",\"port\":1},\"venues\":[{\"name\":"
      "\"mock\",\"connector\":{\"kind\":\"library\",\"path\":\"connectors/"
      "libslipway_mock.so\"},\"settings\":{"
      "\"journal\":\"\",\"script\":\"\",\"mid\":\"50000\",\"half_spread\":\"0.5\",\"quote_us\":200,"
      "\"orphans\":0,"
      "\"fee_bps\":0},\"instruments\":[{\"symbol\":\"X\",\"tick\":\"0.01\",\"lot\":\"0.00001\"}],"
      "\"strategy\":{"
      "\"name\":\"paper_quote\",\"parameters\":{\"spread_bps\":20,\"quantity\":\"0.001\",\"requote_ms\":1,"
      "\"take_every\":4}}}]}",
      directory, directory, directory, directory);
  if (!config_parse(about, "config", text, (size_t)length, error, size)) {
    return false;
  }
  length =
      snprintf(text, sizeof text,
               "{\"limits_version\":1,\"mode\":\"simulated\",\"total\":{\"venues\":1,\"max_messages_per_s\":"
               "100000,\"max_daily_loss\":\"1000000\"},\"venues\":{\"mock\":{\"instruments\":[\"X\"],"
               "\"price_collar_bps\":500,\"max_order_value\":\"200\",\"max_order_quantity\":\"0.01\","
               "\"max_open_orders\":16,\"max_messages_per_s\":100000,\"max_position\":\"1\","
               "\"max_daily_loss\":\"1000000\"}}}");
  return limits_parse(bounds, "limits", text, (size_t)length, error, size);
}

static void print_latency(const char *name, const histogram *of) {
  histogram_summary summary;
  histogram_summarise(of, &summary);
  (void)printf("\"%s\":{\"count\":%" PRIu64 ",\"p50\":%" PRId64 ",\"p99\":%" PRId64 ",\"p999\":%" PRId64
               ",\"max\":%" PRId64 "}",
               name, summary.count, summary.p50, summary.p99, summary.p999, summary.max);
}

static long resident_kib(void) {
  FILE *status = fopen("/proc/self/status", "r");
  char line[256];
  long kib = -1;
  while (status != NULL && fgets(line, sizeof line, status) != NULL) {
    if (strncmp(line, "VmRSS:", 6) == 0) {
      kib = strtol(line + 6, NULL, 10);
    }
  }
  if (status != NULL) {
    (void)fclose(status);
  }
  return kib;
}

static void run(engine *self, double seconds, bool busy) {
  const struct timespec pause = {.tv_sec = 0, .tv_nsec = PACE_US * NS_PER_US};
  const int64_t end = clock_mono_ns() + (int64_t)(seconds * (double)NS_PER_S);
  while (clock_mono_ns() < end) {
    (void)engine_turn(self);
    if (!busy) {
      (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
    }
  }
}

int main(int argc, char **argv) {
  char directory[] = "/tmp/slipway-bench-XXXXXX";
  char error[512] = "";
  char path[64];
  char root[512];
  static config about;
  static limits bounds;
  static connector one;
  char release[DIGEST_HEX];
  char *end = NULL;
  const double seconds = argc > 1 ? strtod(argv[1], &end) : 5.0;
  const char *policy = argc > 2 ? argv[2] : "busy";
  const bool busy = strcmp(policy, "busy") == 0;
  if (argc > 3 || (end != NULL && *end != '\0') || !(seconds > 0.0 && seconds <= 3600.0) ||
      (!busy && strcmp(policy, "paced") != 0)) {
    return fail("usage: slipway-bench [SECONDS [busy|paced]]");
  }
  if (mkdtemp(directory) == NULL || !release_root(root, sizeof root) ||
      !digest_file("/proc/self/exe", release)) {
    return fail(strerror(errno));
  }
  if (!load(directory, &about, &bounds, error, sizeof error) ||
      !connector_load(&one, &about.venues[0], root, error, sizeof error)) {
    return fail(error);
  }
  const engine_options options = {.config = &about,
                                  .limits = &bounds,
                                  .release_sha256 = release,
                                  .credentials_directory = NULL,
                                  .connectors = &one};
  engine *self = engine_create(&options, error, sizeof error);
  if (self == NULL) {
    return fail(error);
  }
  (void)snprintf(path, sizeof path, "%s/permit", directory);
  if (!write_permit(path, release, bounds.sha256)) {
    return fail("cannot write a permit");
  }
  run(self, seconds, busy);
  const venue_view *view = &self->venues[0].view;
  (void)printf("{\"policy\":\"%s\",\"seconds\":%.1f,\"turns\":%" PRIu64 ",\"orders\":%" PRIu64
               ",\"fills\":%" PRIu64 ",",
               policy, seconds, self->out.turns, view->sent, view->fills);
  print_latency("tick_to_order_ns", &self->shared->tick_to_order[0]);
  (void)putchar(',');
  print_latency("order_rtt_ns", &self->shared->order_rtt[0]);
  (void)printf(",\"rss_kib\":%ld}\n", resident_kib());
  const bool traded = view->sent > 0 && view->fills > 0;
  engine_destroy(self);
  config_free(&about);
  (void)unlink(path);
  (void)rmdir(directory);
  return traded ? EXIT_SUCCESS : fail("no order was sent: the figures mean nothing");
}
