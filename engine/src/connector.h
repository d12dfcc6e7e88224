/* connector.h: get hold of a venue's connector, library or process, behind broker_ops. */
#ifndef SLIPWAY_CONNECTOR_H
#define SLIPWAY_CONNECTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "broker_interface.h"
#include "config.h"

typedef struct connector {
  const broker_ops *ops;
  broker *broker; /* NULL until created */
} connector;

/* Load a library from below the release root and check its ABI, venue and functions; for a process
 * there is nothing to load. Libraries stay loaded for the life of the process. */
bool connector_load(connector *self, const config_venue *venue, const char *release_root, char *error,
                    size_t error_size);
bool connector_create(connector *self, const config_venue *venue, const broker_config *about,
                      const broker_callbacks *callbacks, void *user, char *error, size_t error_size);
void connector_destroy(connector *self);

/* The directory above the executable's own ("/opt/…/bin/slipway-engine" gives "/opt/…"). */
bool release_root(char *path, size_t size);

#endif
