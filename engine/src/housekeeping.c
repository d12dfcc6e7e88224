/* housekeeping.c: see housekeeping.h. */
#include "housekeeping.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "clock.h"
#include "control_protocol.h"
#include "log.h"
#include "report.h"

#define CLIENTS_MAX 16 /* of each kind; the longest idle one makes room for the next */
#define REQUEST_MAX 8192
#define TURN_MS 20
#define WAITING_TURN_MS 1
#define ANSWER_WITHIN_NS NS_PER_S
#define STACK_BYTES ((size_t)512 * 1024)

typedef enum client_kind { CLIENT_CONTROL = 0, CLIENT_HTTP = 1, CLIENT_KINDS = 2 } client_kind;

typedef struct client {
  int socket; /* -1: free */
  int64_t heard_mono_ns;
  char request[REQUEST_MAX];
  size_t request_length;
  char *answer; /* owned; NULL: none to send */
  size_t answer_length, answer_sent;
  bool close_after;
  bool ended;              /* it will send nothing more; it may still wait for an answer */
  _Atomic bool *waits_for; /* the command the loop has yet to do */
  int64_t deadline_mono_ns;
} client;

struct housekeeping {
  engine_shared *shared;
  int listeners[CLIENT_KINDS];
  client clients[CLIENT_KINDS][CLIENTS_MAX];
  _Atomic bool stop;
  pthread_t thread;
  bool running;
};

/* ---- sockets -------------------------------------------------------------------------------- */

static int listen_control(const char *path, char *error, size_t error_size) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  struct stat about;
  if (lstat(path, &about) == 0 && S_ISSOCK(about.st_mode)) {
    (void)unlink(path); /* left by an earlier life */
  }
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
      chmod(path, 0660) != 0 || listen(listener, SOMAXCONN) != 0) {
    (void)snprintf(error, error_size, "control socket %s: %s", path, strerror(errno));
    if (listener >= 0) {
      (void)close(listener);
    }
    return -1;
  }
  return listener;
}

static int listen_http(const char *host, uint16_t port, char *error, size_t error_size) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  const int yes = 1;
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener < 0 || inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
      setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      bind(listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
      listen(listener, SOMAXCONN) != 0) {
    (void)snprintf(error, error_size, "metrics address %s:%u: %s", host, (unsigned)port, strerror(errno));
    if (listener >= 0) {
      (void)close(listener);
    }
    return -1;
  }
  return listener;
}

static void client_close(client *self) {
  if (self->socket >= 0) {
    (void)close(self->socket);
  }
  free(self->answer);
  self->answer = NULL;
  self->socket = -1;
}

static bool accept_client(housekeeping *self, client_kind kind) {
  const int peer = accept4(self->listeners[kind], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (peer < 0) {
    return false;
  }
  client *chosen = &self->clients[kind][0];
  for (size_t i = 0; i < CLIENTS_MAX; i++) {
    client *one = &self->clients[kind][i];
    if (one->socket < 0) {
      chosen = one;
      break;
    }
    if (one->heard_mono_ns < chosen->heard_mono_ns) {
      chosen = one;
    }
  }
  client_close(chosen);
  *chosen = (client){.socket = peer, .heard_mono_ns = clock_mono_ns()};
  return true;
}

/* ---- answers -------------------------------------------------------------------------------- */

static void answer(client *self, char *text, size_t length) {
  free(self->answer);
  self->answer = text;
  self->answer_length = text == NULL ? 0 : length;
  self->answer_sent = 0;
  if (text == NULL) {
    self->close_after = true;
  }
}

static void answer_line(client *self, char *line) { answer(self, line, line == NULL ? 0 : strlen(line)); }

static void run_command(housekeeping *self, client *from, const control_command *command) {
  engine_shared *shared = self->shared;
  snapshot now;
  if (command->verb == CONTROL_KILL || command->verb == CONTROL_RESUME) {
    _Atomic bool *flag = command->verb == CONTROL_KILL ? &shared->kill_wanted : &shared->resume_wanted;
    if (!atomic_load_explicit(flag, memory_order_acquire)) {
      if (command->verb == CONTROL_KILL) {
        memcpy(shared->kill_reason, command->reason, sizeof shared->kill_reason);
      }
      atomic_store_explicit(flag, true, memory_order_release);
    }
    from->waits_for = flag;
    from->deadline_mono_ns = clock_mono_ns() + ANSWER_WITHIN_NS;
    return;
  }
  if (!snapshot_read(&shared->box, &now)) {
    answer_line(from, report_error("the order loop's state could not be read"));
  } else if (command->verb == CONTROL_STATUS) {
    answer_line(from, report_status(shared, &now));
  } else {
    answer_line(from, report_limits(shared, &now));
  }
}

static void finish_command(housekeeping *self, client *from) {
  snapshot now;
  if (!atomic_load_explicit(from->waits_for, memory_order_acquire)) {
    from->waits_for = NULL;
    answer_line(from, snapshot_read(&self->shared->box, &now) ? report_done(&now, self->shared)
                                                              : report_error("done, but state unknown"));
  } else if (clock_mono_ns() > from->deadline_mono_ns) {
    from->waits_for = NULL; /* the command stays wanted: a loop that wakes will still do it */
    answer_line(from, report_error("the order loop does not answer; the command stays asked for"));
  }
}

static void take_line(housekeeping *self, client *from) {
  const char *end = memchr(from->request, '\n', from->request_length);
  if (end == NULL) {
    if (from->request_length == REQUEST_MAX) {
      answer_line(from, report_error("request longer than 8192 bytes"));
      from->close_after = true;
    }
    return;
  }
  const size_t length = (size_t)(end - from->request);
  control_command command;
  char error[512];
  if (control_parse(from->request, length, &command, error, sizeof error)) {
    run_command(self, from, &command);
  } else {
    answer_line(from, report_error(error));
  }
  from->request_length -= length + 1;
  memmove(from->request, end + 1, from->request_length);
}

static char *http_answer(engine_shared *shared, http_request request, size_t *length) {
  char *body = NULL;
  size_t body_length = 0;
  const char *status = "200 OK";
  snapshot now;
  FILE *out = open_memstream(&body, &body_length);
  if (out == NULL) {
    return NULL;
  }
  if (request == HTTP_METRICS && snapshot_read(&shared->box, &now)) {
    report_metrics(shared, &now, out);
  } else {
    status = request == HTTP_NOT_FOUND     ? "404 Not Found"
             : request == HTTP_NOT_ALLOWED ? "405 Method Not Allowed"
             : request == HTTP_BAD         ? "400 Bad Request"
                                           : "503 Service Unavailable";
    (void)fprintf(out, "%s\n", status);
  }
  char *whole = NULL;
  if (fclose(out) == 0) {
    const int written = asprintf(&whole,
                                 "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                                 "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                                 status, body_length, body);
    *length = written < 0 ? 0 : (size_t)written;
    whole = written < 0 ? NULL : whole;
  }
  free(body);
  return whole;
}

static void take_http(housekeeping *self, client *from) {
  http_request request = http_parse(from->request, from->request_length);
  if (request == HTTP_INCOMPLETE) {
    if (from->request_length < REQUEST_MAX) {
      return;
    }
    request = HTTP_BAD;
  }
  size_t length = 0;
  char *text = http_answer(self->shared, request, &length);
  answer(from, text, length);
  from->close_after = true;
  from->request_length = 0;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void receive(client *from) {
  const ssize_t got = recv(from->socket, from->request + from->request_length,
                           REQUEST_MAX - from->request_length, MSG_DONTWAIT);
  if (got > 0) {
    from->request_length += (size_t)got;
    from->heard_mono_ns = clock_mono_ns();
  } else if (got == 0) {
    from->ended = true;
  } else if (errno != EAGAIN && errno != EINTR) {
    client_close(from);
  }
}

static void send_answer(client *to) {
  const ssize_t sent = send(to->socket, to->answer + to->answer_sent, to->answer_length - to->answer_sent,
                            MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN && errno != EINTR) {
      client_close(to);
    }
    return;
  }
  to->answer_sent += (size_t)sent;
  if (to->answer_sent == to->answer_length) {
    free(to->answer);
    to->answer = NULL;
    if (to->close_after) {
      client_close(to);
    }
  }
}

/* Move a client forward by one thing; false when it has to wait for something. */
static bool step(housekeeping *self, client *one, client_kind kind) {
  if (one->socket < 0) {
    return false;
  }
  if (one->waits_for != NULL) {
    finish_command(self, one);
    return one->waits_for == NULL;
  }
  if (one->answer != NULL) {
    send_answer(one);
    return one->answer == NULL;
  }
  if (one->close_after) {
    client_close(one);
    return false;
  }
  const size_t before = one->request_length;
  if (before > 0 && kind == CLIENT_HTTP) {
    take_http(self, one);
  } else if (before > 0) {
    take_line(self, one);
  }
  return one->request_length != before || one->answer != NULL;
}

/* One request at a time: the next line is taken when the answer to the last is out. */
static void serve(housekeeping *self, client *one, client_kind kind, short events) {
  if ((events & (POLLHUP | POLLERR)) != 0 && one->ended) {
    client_close(one); /* nobody is left to read an answer */
  } else if ((events & (POLLIN | POLLHUP | POLLERR)) != 0 && one->request_length < REQUEST_MAX) {
    receive(one);
  }
  while (step(self, one, kind)) {
  }
  if (one->socket >= 0 && one->ended && one->answer == NULL && one->waits_for == NULL) {
    client_close(one);
  }
}

static short wanted_events(const client *of) {
  if (of->answer != NULL) {
    return POLLOUT;
  }
  return of->ended ? 0 : POLLIN;
}

static void turn(housekeeping *self) {
  struct pollfd all[CLIENT_KINDS * (CLIENTS_MAX + 1)];
  client *owners[CLIENT_KINDS * (CLIENTS_MAX + 1)];
  nfds_t count = 0;
  int patience = TURN_MS;
  for (int kind = 0; kind < CLIENT_KINDS; kind++) {
    owners[count] = NULL;
    all[count++] = (struct pollfd){.fd = self->listeners[kind], .events = POLLIN, .revents = 0};
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
      client *one = &self->clients[kind][i];
      if (one->socket < 0) {
        continue;
      }
      patience = one->waits_for != NULL ? WAITING_TURN_MS : patience;
      owners[count] = one;
      all[count++] = (struct pollfd){.fd = one->socket, .events = wanted_events(one), .revents = 0};
    }
  }
  (void)poll(all, count, patience);
  int kind = -1;
  for (nfds_t i = 0; i < count; i++) {
    if (owners[i] == NULL) {
      kind++;
      if (all[i].revents != 0) {
        for (int taken = 0; taken < CLIENTS_MAX && accept_client(self, (client_kind)kind); taken++) {
        }
      }
    } else if (all[i].fd == owners[i]->socket && (all[i].revents != 0 || owners[i]->waits_for != NULL)) {
      serve(self, owners[i], (client_kind)kind, all[i].revents);
    }
  }
  latch_housekeeping(self->shared);
  log_drain();
}

static void *run(void *argument) {
  housekeeping *self = argument;
  while (!atomic_load_explicit(&self->stop, memory_order_acquire)) {
    turn(self);
  }
  return NULL;
}

housekeeping *housekeeping_start(engine_shared *shared, char *error, size_t error_size) {
  housekeeping *self = calloc(1, sizeof *self);
  if (self == NULL) {
    (void)snprintf(error, error_size, "out of memory");
    return NULL;
  }
  self->shared = shared;
  for (int kind = 0; kind < CLIENT_KINDS; kind++) {
    self->listeners[kind] = -1;
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
      self->clients[kind][i].socket = -1;
    }
  }
  const config *about = shared->config;
  self->listeners[CLIENT_CONTROL] = listen_control(about->control_socket, error, error_size);
  if (self->listeners[CLIENT_CONTROL] >= 0) {
    self->listeners[CLIENT_HTTP] =
        listen_http(about->metrics_address, about->metrics_port, error, error_size);
  }
  pthread_attr_t attributes;
  sigset_t all;
  sigset_t before;
  if (self->listeners[CLIENT_HTTP] < 0) {
    housekeeping_stop(self);
    return NULL;
  }
  /* Signals are the loop's; a small stack, as a locked one counts against the memory that may be locked. */
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  (void)pthread_attr_init(&attributes);
  (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
  const int failed = pthread_create(&self->thread, &attributes, run, self);
  (void)pthread_attr_destroy(&attributes);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (failed != 0) {
    (void)snprintf(error, error_size, "cannot start the housekeeping thread: %s", strerror(failed));
    housekeeping_stop(self);
    return NULL;
  }
  self->running = true;
  (void)pthread_setname_np(self->thread, "housekeeping");
  return self;
}

void housekeeping_stop(housekeeping *self) {
  if (self->running) {
    atomic_store_explicit(&self->stop, true, memory_order_release);
    (void)pthread_join(self->thread, NULL);
  }
  for (int kind = 0; kind < CLIENT_KINDS; kind++) {
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
      client_close(&self->clients[kind][i]);
    }
  }
  if (self->listeners[CLIENT_CONTROL] >= 0) {
    (void)unlink(self->shared->config->control_socket);
    (void)close(self->listeners[CLIENT_CONTROL]);
  }
  if (self->listeners[CLIENT_HTTP] >= 0) {
    (void)close(self->listeners[CLIENT_HTTP]);
  }
  free(self);
}
