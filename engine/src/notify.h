/* notify.h: systemd's notification protocol. Not libsystemd's sd_notify, which may block: these are
 * sent from the order loop, and a service manager that does not read must not stop it. */
#ifndef SLIPWAY_NOTIFY_H
#define SLIPWAY_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct notify {
  int socket;                   /* -1: not started by a service manager */
  int64_t watchdog_interval_ns; /* how often to send WATCHDOG=1; 0 never */
} notify;

/* From $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID. */
void notify_init(notify *self);
/* Send "READY=1" and the like; dropped when it cannot be sent at once. */
void notify_send(const notify *self, const char *message);
void notify_free(notify *self);

#endif
