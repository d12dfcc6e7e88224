/* connector.c: see connector.h. */
#include "connector.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "process_connector.h"

bool release_root(char *path, size_t size) {
  memset(path, 0, size);
  if (readlink("/proc/self/exe", path, size - 1) <= 0) {
    return false;
  }
  for (int up = 0; up < 2; up++) {
    char *slash = strrchr(path, '/');
    if (slash == NULL) {
      return false;
    }
    *slash = '\0';
  }
  return true;
}

static const char *objection(const broker_ops *ops, const char *venue) {
  if (ops == NULL) {
    return "slipway_broker() returned nothing";
  }
  if (ops->abi != SLIPWAY_BROKER_ABI) {
    return "its ABI is not this engine's";
  }
  if (ops->venue == NULL || strcmp(ops->venue, venue) != 0) {
    return "it is a connector for another venue";
  }
  if (ops->check == NULL || ops->create == NULL || ops->poll == NULL || ops->submit == NULL ||
      ops->cancel == NULL || ops->cancel_all == NULL || ops->destroy == NULL) {
    return "it lacks a function of broker_ops";
  }
  return NULL;
}

bool connector_load(connector *self, const config_venue *venue, const char *release_root_path, char *error,
                    size_t error_size) {
  *self = (connector){.ops = NULL, .broker = NULL};
  if (venue->kind == CONNECTOR_PROCESS) {
    self->ops = process_connector_ops();
    return true;
  }
  char path[2 * PATH_MAX_CONFIG + 256];
  (void)snprintf(path, sizeof path, "%s/%s", release_root_path, venue->connector);
  /* RTLD_NOW: a missing symbol is an error now, not at the first order. */
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    (void)snprintf(error, error_size, "venue %s: cannot load connector: %s", venue->name, dlerror());
    return false;
  }
  slipway_broker_fn entry = NULL;
  void *symbol = dlsym(library, "slipway_broker");
  if (symbol == NULL) {
    (void)snprintf(error, error_size, "venue %s: %s: does not export slipway_broker", venue->name, path);
    return false;
  }
  memcpy((void *)&entry, (const void *)&symbol,
         sizeof entry); /* ISO C has no cast from object to function pointer */
  self->ops = entry();
  const char *why = objection(self->ops, venue->name);
  if (why != NULL) {
    (void)snprintf(error, error_size, "venue %s: %s: %s", venue->name, path, why);
    self->ops = NULL;
    return false;
  }
  return true;
}

bool connector_create(connector *self, const config_venue *venue, const broker_config *about,
                      const broker_callbacks *callbacks, void *user, char *error, size_t error_size) {
  char why[SLIPWAY_TEXT_MAX * 2] = "";
  self->broker = venue->kind == CONNECTOR_PROCESS
                     ? process_connector_create(venue->connector, about, callbacks, user)
                     : self->ops->create(about, callbacks, user, why, sizeof why);
  if (self->broker == NULL) {
    (void)snprintf(error, error_size, "venue %s: connector refused to start: %s", venue->name,
                   why[0] == '\0' ? "no reason given" : why);
    return false;
  }
  return true;
}

void connector_destroy(connector *self) {
  if (self->broker != NULL) {
    self->ops->destroy(self->broker);
    self->broker = NULL;
  }
}
