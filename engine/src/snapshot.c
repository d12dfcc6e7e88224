/* snapshot.c: see snapshot.h. */
#include "snapshot.h"

#include <stddef.h>
#include <string.h>
#include <time.h>

#define TRIES 5000 /* half a second and more: the loop may lose its CPU in the middle of a publication */
#define BETWEEN_NS 100000

const char *engine_state_name(engine_state state) {
  static const char *const names[ENGINE_STATES] = {"DISARMED", "ACTIVE", "REDUCING", "HALTED"};
  return state < ENGINE_STATES ? names[state] : "UNKNOWN";
}

void snapshot_publish(snapshot_box *box, const snapshot *value, size_t venues) {
  const size_t bytes = offsetof(snapshot, venues) + venues * sizeof(venue_view);
  const size_t words = bytes / sizeof(uint64_t);
  const uint64_t sequence = atomic_load_explicit(&box->sequence, memory_order_relaxed);
  atomic_store_explicit(&box->sequence, sequence + 1, memory_order_relaxed);
  atomic_thread_fence(memory_order_release);
  const unsigned char *from = (const unsigned char *)value;
  for (size_t i = 0; i < words; i++) {
    uint64_t word = 0;
    memcpy(&word, from + i * sizeof word, sizeof word);
    atomic_store_explicit(&box->words[i], word, memory_order_relaxed);
  }
  atomic_store_explicit(&box->sequence, sequence + 2, memory_order_release);
}

bool snapshot_read(snapshot_box *box, snapshot *value) {
  unsigned char *to = (unsigned char *)value;
  for (unsigned attempt = 0; attempt < TRIES; attempt++) {
    if (attempt > 0) {
      (void)nanosleep(&(struct timespec){.tv_sec = 0, .tv_nsec = BETWEEN_NS}, NULL);
    }
    const uint64_t before = atomic_load_explicit(&box->sequence, memory_order_acquire);
    if (before % 2 != 0) {
      continue;
    }
    for (size_t i = 0; i < SNAPSHOT_WORDS; i++) {
      const uint64_t word = atomic_load_explicit(&box->words[i], memory_order_relaxed);
      memcpy(to + i * sizeof word, &word, sizeof word);
    }
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&box->sequence, memory_order_relaxed) == before) {
      return true;
    }
  }
  return false;
}
