/* housekeeping.h: the second thread: control socket, metrics, log, latch. The order loop never waits
 * for it, and it only reads what the loop publishes. */
#ifndef SLIPWAY_HOUSEKEEPING_H
#define SLIPWAY_HOUSEKEEPING_H

#include <stdbool.h>
#include <stddef.h>

#include "engine.h"

typedef struct housekeeping housekeeping;

/* Bind both sockets and start the thread. NULL with `error` filled. */
housekeeping *housekeeping_start(engine_shared *shared, char *error, size_t error_size);
/* Stop the thread, answer nobody any more, remove the control socket. */
void housekeeping_stop(housekeeping *self);

#endif
