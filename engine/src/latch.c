/* latch.c: the file that keeps an automatic halt through restarts (see engine.h). */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "clock.h"
#include "engine.h"
#include "log.h"

/* The file's existence is the latch; what it says is for people. */
static bool write_latch(const engine_shared *shared) {
  const int file = open(shared->config->latch, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (file < 0) {
    return errno == EEXIST;
  }
  char text[REASON_MAX + 256];
  const int length = snprintf(text, sizeof text, "halted_at_ns=%" PRId64 "\nrelease=%s\nreason=%s\n",
                              clock_wall_ns(), shared->release, shared->latch_reason);
  if (write(file, text, (size_t)length) != length) {
    log_line(LOG_WARNING, "latch %s: made, but its text could not be written", shared->config->latch);
  }
  (void)fsync(file);
  (void)close(file);
  return true;
}

void latch_housekeeping(engine_shared *shared) {
  const int step = atomic_load_explicit(&shared->latch, memory_order_acquire);
  if (step == LATCH_WANTED) {
    if (write_latch(shared)) {
      log_line(LOG_ALERT, "latch %s written: %s", shared->config->latch, shared->latch_reason);
      atomic_store_explicit(&shared->latch, LATCH_WRITTEN, memory_order_release);
    }
  } else if (step == LATCH_WRITTEN) {
    const int64_t now = clock_wall_ns();
    if (access(shared->config->latch, F_OK) != 0 && errno == ENOENT) {
      atomic_store_explicit(&shared->latch, LATCH_LIFTED, memory_order_release);
    } else {
      atomic_store_explicit(&shared->latch_seen_wall_ns, now, memory_order_relaxed);
    }
  }
}
