/* control_protocol.h: the requests of the control socket and of the metrics port, as pure functions. */
#ifndef SLIPWAY_CONTROL_PROTOCOL_H
#define SLIPWAY_CONTROL_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>

#include "snapshot.h"

typedef enum control_verb { CONTROL_STATUS, CONTROL_KILL, CONTROL_RESUME, CONTROL_LIMITS } control_verb;

typedef struct control_command {
  control_verb verb;
  char reason[REASON_MAX]; /* of a kill */
} control_command;

/* Parse one line without its newline. False with `error` filled. */
bool control_parse(const char *line, size_t length, control_command *command, char *error, size_t error_size);

typedef enum http_request {
  HTTP_INCOMPLETE,  /* no blank line yet */
  HTTP_METRICS,     /* GET /metrics */
  HTTP_NOT_FOUND,   /* GET of anything else */
  HTTP_NOT_ALLOWED, /* another method */
  HTTP_BAD          /* not a request line of HTTP/1 */
} http_request;

http_request http_parse(const char *bytes, size_t length);

#endif
