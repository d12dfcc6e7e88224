/* main.c: slipway-engine. See engine/README.md for what it promises to its host. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <syslog.h>
#include <time.h>

#include "broker_interface.h"
#include "clock.h"
#include "config.h"
#include "connector.h"
#include "digest.h"
#include "engine.h"
#include "housekeeping.h"
#include "limits.h"
#include "log.h"
#include "notify.h"
#include "version.h"

#define EXIT_REFUSED 1
#define EXIT_USAGE 2
#define ERROR_MAX 1024

static volatile sig_atomic_t stop_asked;

static void on_stop_signal(int number) {
  (void)number;
  stop_asked = 1;
}

static int usage(void) {
  (void)fprintf(stderr, "usage: slipway-engine --config FILE | --check-config FILE | --version\n");
  return EXIT_USAGE;
}

static int version(void) {
  (void)printf("slipway-engine %s revision %s contract %d config %d broker-abi %d\n", SLIPWAY_VERSION,
               SLIPWAY_REVISION, SLIPWAY_CONTRACT_VERSION, CONFIG_VERSION, SLIPWAY_BROKER_ABI);
  return EXIT_SUCCESS;
}

/* Configuration, limits and connectors, all of them loaded and agreeing. On failure `about` is free. */
static bool load(const char *file, config *about, limits *bounds, connector *connectors, char *error,
                 size_t error_size) {
  char root[PATH_MAX_CONFIG * 2];
  if (!config_load(about, file, error, error_size)) {
    return false;
  }
  bool ok = limits_load(bounds, about->limits, error, error_size) &&
            limits_cover(bounds, about, file, error, error_size);
  if (ok && !release_root(root, sizeof root)) {
    (void)snprintf(error, error_size, "cannot tell where the release is: /proc/self/exe: %s",
                   strerror(errno));
    ok = false;
  }
  for (size_t i = 0; ok && i < about->venue_count; i++) {
    ok = connector_load(&connectors[i], &about->venues[i], root, error, error_size);
  }
  if (!ok) {
    config_free(about);
  }
  return ok;
}

/* Ask every connector whether it could start. Names the configuration file, as only it can be put right. */
static bool check_connectors(const char *file, const config *about, const connector *connectors,
                             const char *credentials, char *error, size_t error_size) {
  for (size_t i = 0; i < about->venue_count; i++) {
    char why[SLIPWAY_TEXT_MAX * 2] = "";
    const broker_config one = config_broker(about, i, credentials);
    if (connectors[i].ops->check(&one, why, sizeof why) != 0) {
      (void)snprintf(error, error_size, "%s: venue %s: %s", file, about->venues[i].name, why);
      return false;
    }
  }
  return true;
}

static int check_config(const char *file) {
  config about;
  limits bounds;
  connector connectors[VENUES_MAX];
  char error[ERROR_MAX] = "";
  if (!load(file, &about, &bounds, connectors, error, sizeof error)) {
    (void)fprintf(stderr, "%s\n", error);
    return EXIT_REFUSED;
  }
  const bool ok =
      check_connectors(file, &about, connectors, getenv("CREDENTIALS_DIRECTORY"), error, sizeof error);
  if (ok) {
    (void)printf("%s: ok (mode %s, %zu venue%s, config sha256 %s, limits sha256 %s)\n", file, about.mode,
                 about.venue_count, about.venue_count == 1 ? "" : "s", about.sha256, bounds.sha256);
  } else {
    (void)fprintf(stderr, "%s\n", error);
  }
  config_free(&about);
  return ok ? EXIT_SUCCESS : EXIT_REFUSED;
}

/* Pin the calling thread. Where the sandbox forbids it, systemd's CPUAffinity may have done it already. */
static bool pin(int cpu) {
  cpu_set_t wanted;
  cpu_set_t have;
  CPU_ZERO(&wanted);
  CPU_SET((size_t)cpu, &wanted);
  if (sched_setaffinity(0, sizeof wanted, &wanted) == 0) {
    return true;
  }
  const int why = errno;
  if (sched_getaffinity(0, sizeof have, &have) == 0 && CPU_EQUAL(&have, &wanted)) {
    return true;
  }
  log_line(LOG_WARNING, "cannot pin the order loop to CPU %d: %s", cpu, strerror(why));
  return false;
}

static void lock_memory(const config *about) {
  /* Only what is there now: with MCL_FUTURE a connector's allocation beyond the limit would fail. */
  if (about->policy == LOOP_BUSY && mlockall(MCL_CURRENT) != 0) {
    log_line(LOG_WARNING, "memory is not locked: %s", strerror(errno));
  }
}

static void turn_until_stopped(engine *self, const config *about) {
  const struct timespec pause = {.tv_sec = about->pace_us / 1000000,
                                 .tv_nsec = (about->pace_us % 1000000) * NS_PER_US};
  while (engine_turn(self)) {
    if (stop_asked != 0) {
      engine_stop(self);
    }
    if (about->policy == LOOP_PACED) {
      (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL); /* a signal only makes it shorter */
    }
  }
}

static bool catch_signals(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_stop_signal;
  (void)sigemptyset(&action.sa_mask);
  return sigaction(SIGTERM, &action, NULL) == 0 && sigaction(SIGINT, &action, NULL) == 0 &&
         signal(SIGPIPE, SIG_IGN) != SIG_ERR;
}

static int trade(const char *file, const config *about, const limits *bounds, connector *connectors) {
  char error[ERROR_MAX] = "";
  char release[DIGEST_HEX];
  if (!digest_file("/proc/self/exe", release) || !catch_signals()) {
    log_line(LOG_ERR, "cannot start: %s", strerror(errno));
    return EXIT_REFUSED;
  }
  const engine_options options = {.config = about,
                                  .limits = bounds,
                                  .release_sha256 = release,
                                  .credentials_directory = getenv("CREDENTIALS_DIRECTORY"),
                                  .connectors = connectors};
  if (!check_connectors(file, about, connectors, options.credentials_directory, error, sizeof error)) {
    log_line(LOG_ERR, "%s", error);
    return EXIT_REFUSED;
  }
  engine *self = engine_create(&options, error, sizeof error);
  if (self == NULL) {
    log_line(LOG_ERR, "%s", error);
    return EXIT_REFUSED;
  }
  housekeeping *second = housekeeping_start(self->shared, error, sizeof error);
  if (second == NULL) {
    log_line(LOG_ERR, "%s", error);
    engine_destroy(self);
    return EXIT_REFUSED;
  }
  self->pinned = about->cpu >= 0 && pin(about->cpu);
  lock_memory(about);
  log_line(LOG_NOTICE, "slipway-engine %s, release %s, limits %s, mode %s: ready, disarmed", SLIPWAY_VERSION,
           release, bounds->sha256, about->mode);
  notify_send(&self->notify, "READY=1");
  log_defer();
  turn_until_stopped(self, about);
  uint16_t open = 0;
  for (size_t i = 0; i < self->venue_count; i++) {
    open = (uint16_t)(open + self->venues[i].orders.open_count);
  }
  housekeeping_stop(second);
  log_direct();
  log_line(open == 0 ? LOG_NOTICE : LOG_ERR, "stopped, %u orders open", (unsigned)open);
  engine_destroy(self);
  return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    return version();
  }
  if (argc != 3) {
    return usage();
  }
  if (strcmp(argv[1], "--check-config") == 0) {
    return check_config(argv[2]);
  }
  if (strcmp(argv[1], "--config") != 0) {
    return usage();
  }
  config about;
  limits bounds;
  connector connectors[VENUES_MAX];
  char error[ERROR_MAX] = "";
  if (!load(argv[2], &about, &bounds, connectors, error, sizeof error)) {
    log_line(LOG_ERR, "%s", error);
    return EXIT_REFUSED;
  }
  const int code = trade(argv[2], &about, &bounds, connectors);
  config_free(&about);
  return code;
}
