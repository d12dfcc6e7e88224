/* process_connector.h: broker_ops over the local socket of a connector that is its own process. */
#ifndef SLIPWAY_PROCESS_CONNECTOR_H
#define SLIPWAY_PROCESS_CONNECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "broker_interface.h"

/* `create` of these is not for use: the socket's path is not part of broker_config. */
const broker_ops *process_connector_ops(void);
broker *process_connector_create(const char *socket_path, const broker_config *config,
                                 const broker_callbacks *callbacks, void *user);

/* Take one packet from a connector and call what it asks for. False when it is not a well-formed
 * message of broker_wire.h; nothing was called then. */
bool wire_deliver(const void *packet, size_t length, const broker_callbacks *callbacks, void *user);

#endif
