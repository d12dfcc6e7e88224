/* notify.c: see notify.h. */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "clock.h"

#define BEATS_PER_PERIOD 4 /* so that three may come late */

static int64_t environment_number(const char *name) {
  const char *text = getenv(name);
  if (text == NULL || *text == '\0') {
    return 0;
  }
  char *end = NULL;
  errno = 0;
  const long long number = strtoll(text, &end, 10);
  return errno == 0 && *end == '\0' && number > 0 ? (int64_t)number : 0;
}

void notify_init(notify *self) {
  *self = (notify){.socket = -1, .watchdog_interval_ns = 0};
  const char *path = getenv("NOTIFY_SOCKET");
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof address.sun_path) {
    return;
  }
  const size_t length = strlen(path);
  memcpy(address.sun_path, path, length);
  if (path[0] == '@') {
    address.sun_path[0] = '\0';
  }
  self->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (self->socket >= 0 && connect(self->socket, (const struct sockaddr *)&address,
                                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) != 0) {
    (void)close(self->socket);
    self->socket = -1;
  }
  const int64_t pid = environment_number("WATCHDOG_PID");
  if (self->socket >= 0 && (pid == 0 || pid == getpid())) {
    self->watchdog_interval_ns = environment_number("WATCHDOG_USEC") * NS_PER_US / BEATS_PER_PERIOD;
  }
}

void notify_send(const notify *self, const char *message) {
  if (self->socket >= 0) {
    (void)send(self->socket, message, strlen(message), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

void notify_free(notify *self) {
  if (self->socket >= 0) {
    (void)close(self->socket);
    self->socket = -1;
  }
}
