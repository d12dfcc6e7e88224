/* resolver.c: see resolver.h. */
#include "resolver.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HOST_TEXT_MAX 128
#define ADDRESSES_MAX 8

typedef struct slot {
  char host[HOST_TEXT_MAX];
  char addresses[ADDRESSES_MAX][ADDRESS_TEXT_MAX];
  unsigned count, next;
  bool asked, done;
  int error; /* of getaddrinfo */
} slot;

struct resolver {
  pthread_mutex_t lock;
  pthread_cond_t wake;
  slot slots[RESOLVER_SLOTS];
  bool stop;
};

/* Off the loop's CPU: where the creator is bound to part of the CPUs, use the others, if there are any. */
static void leave_cpu(void) {
  cpu_set_t mine;
  cpu_set_t others;
  const long configured = CPU_SETSIZE;
  CPU_ZERO(&others);
  if (sched_getaffinity(0, sizeof mine, &mine) != 0) {
    return;
  }
  for (long cpu = 0; cpu < configured; cpu++) {
    if (!CPU_ISSET((size_t)cpu, &mine)) {
      CPU_SET((size_t)cpu, &others);
    }
  }
  /* Refused by the kernel where no other CPU exists or is allowed: then it stays, which only costs time. */
  (void)sched_setaffinity(0, sizeof others, &others);
}

static void look_up(resolver *self, slot *item) {
  char host[HOST_TEXT_MAX];
  memcpy(host, item->host, sizeof host);
  (void)pthread_mutex_unlock(&self->lock);
  const struct addrinfo hints = {
      .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
  struct addrinfo *found = NULL;
  const int error = getaddrinfo(host, NULL, &hints, &found);
  char addresses[ADDRESSES_MAX][ADDRESS_TEXT_MAX];
  unsigned count = 0;
  for (const struct addrinfo *at = error == 0 ? found : NULL; at != NULL && count < ADDRESSES_MAX;
       at = at->ai_next) {
    if (getnameinfo(at->ai_addr, at->ai_addrlen, addresses[count], ADDRESS_TEXT_MAX, NULL, 0,
                    NI_NUMERICHOST) == 0) {
      count++;
    }
  }
  if (found != NULL) {
    freeaddrinfo(found);
  }
  (void)pthread_mutex_lock(&self->lock);
  if (count > 0) {
    memcpy(item->addresses, addresses, sizeof addresses);
    item->count = count;
  }
  item->error = error;
  item->asked = false;
  item->done = true;
}

static void *run(void *argument) {
  resolver *self = argument;
  leave_cpu();
  (void)pthread_mutex_lock(&self->lock);
  while (!self->stop) {
    bool worked = false;
    for (unsigned i = 0; i < RESOLVER_SLOTS && !self->stop; i++) {
      if (self->slots[i].asked) {
        look_up(self, &self->slots[i]);
        worked = true;
      }
    }
    if (!worked && !self->stop) {
      (void)pthread_cond_wait(&self->wake, &self->lock);
    }
  }
  (void)pthread_mutex_unlock(&self->lock);
  (void)pthread_cond_destroy(&self->wake);
  (void)pthread_mutex_destroy(&self->lock);
  free(self);
  return NULL;
}

resolver *resolver_create(void) {
  resolver *self = calloc(1, sizeof *self);
  if (self == NULL) {
    return NULL;
  }
  (void)pthread_mutex_init(&self->lock, NULL);
  (void)pthread_cond_init(&self->wake, NULL);
  pthread_attr_t attributes;
  (void)pthread_attr_init(&attributes);
  (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  /* Never the loop's real-time class. */
  (void)pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED);
  (void)pthread_attr_setschedpolicy(&attributes, SCHED_OTHER);
  /* The engine's signals stay the engine's. */
  sigset_t all;
  sigset_t before;
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, run, self);
  if (error == EPERM) {
    /* A sandbox without scheduling calls: the class is inherited, and a thread that only waits may have it.
     */
    (void)pthread_attr_setinheritsched(&attributes, PTHREAD_INHERIT_SCHED);
    error = pthread_create(&thread, &attributes, run, self);
  }
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  (void)pthread_attr_destroy(&attributes);
  if (error != 0) {
    free(self);
    return NULL;
  }
  return self;
}

void resolver_destroy(resolver *self) {
  if (self == NULL) {
    return;
  }
  (void)pthread_mutex_lock(&self->lock);
  self->stop = true;
  (void)pthread_cond_signal(&self->wake);
  (void)pthread_mutex_unlock(&self->lock);
}

void resolver_name(resolver *self, unsigned at, const char *host) {
  (void)pthread_mutex_lock(&self->lock);
  (void)snprintf(self->slots[at].host, sizeof self->slots[at].host, "%s", host);
  (void)pthread_mutex_unlock(&self->lock);
}

void resolver_ask(resolver *self, unsigned at) {
  (void)pthread_mutex_lock(&self->lock);
  if (!self->slots[at].asked) {
    self->slots[at].asked = true;
    self->slots[at].done = false;
    (void)pthread_cond_signal(&self->wake);
  }
  (void)pthread_mutex_unlock(&self->lock);
}

resolver_state resolver_answer(resolver *self, unsigned at, char address[RESOLVER_TEXT_MAX]) {
  if (pthread_mutex_trylock(&self->lock) != 0) {
    return RESOLVER_WAITING;
  }
  slot *item = &self->slots[at];
  resolver_state state = RESOLVER_WAITING;
  if (item->done && item->count > 0) {
    (void)snprintf(address, RESOLVER_TEXT_MAX, "%s", item->addresses[item->next++ % item->count]);
    state = RESOLVER_READY;
  } else if (item->done) {
    (void)snprintf(address, RESOLVER_TEXT_MAX, "%s", gai_strerror(item->error));
    state = RESOLVER_FAILED;
  }
  (void)pthread_mutex_unlock(&self->lock);
  return state;
}
