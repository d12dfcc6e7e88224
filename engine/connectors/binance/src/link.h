/* link.h: one WebSocket connection over libwebsockets, in terms of whole text messages.
 *
 * Nothing here waits. A link that was dropped, by us or by the other side, forgets its socket at once; what
 * libwebsockets still says about that socket is ignored.
 */
#ifndef BINANCE_LINK_H
#define BINANCE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libwebsockets.h>

#include "resolver.h"
#include "settings.h"

typedef enum link_state { LINK_DOWN = 0, LINK_RESOLVING, LINK_CONNECTING, LINK_OPEN } link_state;

typedef struct ws_link ws_link;

typedef struct link_handlers {
  void (*open)(void *owner, ws_link *link);
  /* `received_ns` is CLOCK_MONOTONIC when the last bytes were read. */
  void (*message)(void *owner, ws_link *link, const char *text, size_t length, int64_t received_ns);
  /* The connection is gone without our asking. `http_status` and `retry_after_s` are of a refused
   * upgrade, else 0. */
  void (*down)(void *owner, ws_link *link, int http_status, int64_t retry_after_s, const char *why);
} link_handlers;

struct ws_link {
  const char *name;
  struct lws_context *context;
  resolver *resolver;
  unsigned slot;
  const endpoint *to;
  const char *path; /* with query */
  const link_handlers *handlers;
  void *owner;
  struct lws *socket;
  char *buffer; /* a message in parts */
  size_t used, size;
  const char *certificate_problem; /* OpenSSL's words, or NULL */
  int64_t deadline_ns;             /* of the connection attempt */
  int64_t opened_ns;
  link_state state;
};

extern const struct lws_protocols link_protocols[];

/* Starts an attempt. The link must be down. */
void link_connect(ws_link *self, int64_t now_ns);

/* Moves an attempt forward and ends one that takes too long. */
void link_tick(ws_link *self, int64_t now_ns);

/* Writes one text message; LWS_PRE bytes before `text` must be writable, and `text` is changed (masked).
 * False: nothing was sent, since the link is not open or the socket is full. */
bool link_send(ws_link *self, char *text, size_t length);

/* Closes without calling back. */
void link_drop(ws_link *self);

#endif
