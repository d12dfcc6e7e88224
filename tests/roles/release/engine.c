/* A stand-in for the engine: it reports to systemd and answers the control socket; it trades nothing.
 * It refuses a configuration that is not there, and limits that are not there, as an engine does. */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTROL "/run/slipway-engine/control.sock"

static void notify(const char *message) {
  const char *path = getenv("NOTIFY_SOCKET");
  if (path == NULL) {
    return;
  }
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  strncpy(to.sun_path, path, sizeof to.sun_path - 1);
  const socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
  if (to.sun_path[0] == '@') {
    to.sun_path[0] = '\0';
  }
  const int channel = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  (void)sendto(channel, message, strlen(message), 0, (const struct sockaddr *)&to, length);
  (void)close(channel);
}

/* The configuration must name limits that can be read, and must not hold the word "unacceptable". */
static int check(const char *file) {
  static char text[65536];
  FILE *config = fopen(file, "r");
  if (config == NULL) {
    (void)fprintf(stderr, "%s: %s\n", file, strerror(errno));
    return 1;
  }
  text[fread(text, 1, sizeof text - 1, config)] = '\0';
  (void)fclose(config);
  char *limits = strstr(text, "\"limits\": \"");
  if (limits == NULL || strstr(text, "unacceptable") != NULL) {
    (void)fprintf(stderr, "%s: refused by the stand-in\n", file);
    return 1;
  }
  limits += strlen("\"limits\": \"");
  *strchr(limits, '"') = '\0';
  if (access(limits, R_OK) != 0) {
    (void)fprintf(stderr, "%s: limits %s: %s\n", file, limits, strerror(errno));
    return 1;
  }
  return 0;
}

int main(int count, char **words) {
  if (count > 1 && strcmp(words[1], "--version") == 0) {
    return puts(VERSION) < 0;
  }
  if (count < 3) {
    return 2;
  }
  if (strcmp(words[1], "--check-config") == 0) {
    return check(words[2]);
  }
  if (check(words[2]) != 0 || FAILS) {
    (void)fprintf(stderr, "the stand-in does not start\n");
    return 1;
  }
  struct sockaddr_un here = {.sun_family = AF_UNIX, .sun_path = CONTROL};
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  (void)unlink(CONTROL);
  if (bind(listener, (const struct sockaddr *)&here, sizeof here) != 0 || listen(listener, 8) != 0) {
    perror(CONTROL);
    return 1;
  }
  notify("READY=1");
  for (;;) {
    struct pollfd waiting = {.fd = listener, .events = POLLIN};
    notify("WATCHDOG=1");
    if (poll(&waiting, 1, 200) > 0) {
      static const char answer[] = "{\"state\":\"DISARMED\",\"venues\":{}}\n";
      char request[256];
      const int client = accept(listener, NULL, NULL);
      (void)!read(client, request, sizeof request);
      (void)!write(client, answer, sizeof answer - 1);
      (void)close(client);
    }
  }
}
