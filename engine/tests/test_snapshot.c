/* A writer and a reader at once: what is read is always one whole publication. */
#include <pthread.h>

#include "check.h"
#include "snapshot.h"

#define ROUNDS 20000

static snapshot_box box;
static _Atomic bool done;

static void fill(snapshot *value, uint64_t number) {
  value->turns = number;
  value->state = (int64_t)(number % ENGINE_STATES);
  value->venues[0].sent = number;
  value->venues[0].quotes = number;
  value->venues[0].instruments[INSTRUMENTS_MAX - 1].mid_e8 = (int64_t)number;
}

static void *write_all(void *unused) {
  (void)unused;
  static snapshot value;
  for (uint64_t i = 1; i <= ROUNDS; i++) {
    fill(&value, i);
    snapshot_publish(&box, &value, 1);
  }
  atomic_store(&done, true);
  return NULL;
}

int main(void) {
  static snapshot seen;
  pthread_t writer;
  CHECK(pthread_create(&writer, NULL, write_all, NULL) == 0);
  uint64_t last = 0;
  while (!atomic_load(&done) || last != ROUNDS) {
    if (!snapshot_read(&box, &seen)) {
      continue;
    }
    CHECK(seen.turns >= last);
    last = seen.turns;
    CHECK_EQ(seen.venues[0].sent, last);
    CHECK_EQ(seen.venues[0].quotes, last);
    CHECK_EQ(seen.venues[0].instruments[INSTRUMENTS_MAX - 1].mid_e8, last);
  }
  CHECK(pthread_join(writer, NULL) == 0);
  for (int i = 0; i < ENGINE_STATES; i++) {
    CHECK(strcmp(engine_state_name((engine_state)i), "UNKNOWN") != 0);
  }
  return 0;
}
