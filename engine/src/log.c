/* log.c: see log.h. */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINES 256
#define LINE_MAX_TEXT 384

static char ring[LINES][LINE_MAX_TEXT];
static _Atomic uint64_t written; /* by the loop */
static _Atomic uint64_t drained; /* by housekeeping */
static _Atomic uint64_t dropped;
static _Thread_local bool deferred;

void log_defer(void) { deferred = true; }

static void put(const char *line) {
  const size_t length = strnlen(line, LINE_MAX_TEXT);
  size_t sent = 0;
  while (sent < length) {
    const ssize_t now = write(STDERR_FILENO, line + sent, length - sent);
    if (now <= 0) {
      return;
    }
    sent += (size_t)now;
  }
}

void log_drain(void) {
  uint64_t at = atomic_load_explicit(&drained, memory_order_relaxed);
  const uint64_t end = atomic_load_explicit(&written, memory_order_acquire);
  for (; at != end; at++) {
    put(ring[at % LINES]);
    atomic_store_explicit(&drained, at + 1, memory_order_release);
  }
}

void log_direct(void) {
  log_drain();
  deferred = false;
}

uint64_t log_dropped(void) { return atomic_load_explicit(&dropped, memory_order_relaxed); }

static void format_line(char *line, int priority, const char *format, va_list arguments) {
  size_t used = (size_t)snprintf(line, LINE_MAX_TEXT, "<%d>", priority & 7);
  (void)vsnprintf(line + used, LINE_MAX_TEXT - used - 1, format, arguments);
  /* One entry, one line: text from a venue must not be able to forge another. */
  for (used = 0; line[used] != '\0'; used++) {
    if ((unsigned char)line[used] < 0x20) {
      line[used] = ' ';
    }
  }
  line[used] = '\n';
  line[used + 1] = '\0';
}

void log_line(int priority, const char *format, ...) {
  char direct[LINE_MAX_TEXT];
  char *line = direct;
  uint64_t at = 0;
  if (deferred) {
    at = atomic_load_explicit(&written, memory_order_relaxed);
    if (at - atomic_load_explicit(&drained, memory_order_acquire) >= LINES) {
      atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
      return;
    }
    line = ring[at % LINES];
  }
  va_list arguments;
  va_start(arguments, format);
  format_line(line, priority, format, arguments);
  va_end(arguments);
  if (deferred) {
    atomic_store_explicit(&written, at + 1, memory_order_release);
  } else {
    put(line);
  }
}
