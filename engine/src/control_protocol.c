/* control_protocol.c: see control_protocol.h. */
#include "control_protocol.h"

#include <stdio.h>
#include <string.h>

#include "closed_json.h"

bool control_parse(const char *line, size_t length, control_command *command, char *error,
                   size_t error_size) {
  static const char *const verbs[] = {"status", "kill", "resume", "limits"};
  static const char *const plain[] = {"cmd"};
  static const char *const kill[] = {"cmd", "reason"};
  document about = {.file = "command", .error = error, .error_size = error_size};
  json_t *root = NULL;
  size_t verb = 0;
  command->reason[0] = '\0';
  if (!document_parse(&about, line, length, &root)) {
    return false;
  }
  const place at = place_root(&about, root);
  bool ok = read_open_object(&at);
  if (ok) {
    const place cmd = place_key(&at, "cmd");
    ok = cmd.value == NULL ? place_fail(&at, "missing key \"cmd\"; required: cmd")
                           : read_choice(&cmd, verbs, sizeof verbs / sizeof verbs[0], &verb);
  }
  if (ok) {
    command->verb = (control_verb)verb;
    ok = verb == CONTROL_KILL ? read_object(&at, kill, 2) : read_object(&at, plain, 1);
  }
  if (ok && verb == CONTROL_KILL) {
    const place reason = place_key(&at, "reason");
    ok = read_text(&reason, command->reason, sizeof command->reason);
  }
  json_decref(root);
  return ok;
}

http_request http_parse(const char *bytes, size_t length) {
  static const char get[] = "GET ";
  static const char metrics[] = "/metrics";
  const char *end = memmem(bytes, length, "\r\n\r\n", 4);
  if (end == NULL) {
    end = memmem(bytes, length, "\n\n", 2);
  }
  if (end == NULL) {
    return HTTP_INCOMPLETE;
  }
  const char *line_end = memchr(bytes, '\n', length);
  size_t line = (size_t)(line_end - bytes);
  line -= line > 0 && bytes[line - 1] == '\r' ? 1 : 0;
  const char *version = memmem(bytes, line, " HTTP/1.", 8);
  if (version == NULL) {
    return HTTP_BAD;
  }
  if (line < sizeof get - 1 || memcmp(bytes, get, sizeof get - 1) != 0) {
    return HTTP_NOT_ALLOWED;
  }
  const char *path = bytes + sizeof get - 1;
  if (version <= path) {
    return HTTP_BAD;
  }
  size_t path_length = (size_t)(version - path);
  const char *query = memchr(path, '?', path_length);
  path_length = query == NULL ? path_length : (size_t)(query - path);
  return path_length == sizeof metrics - 1 && memcmp(path, metrics, path_length) == 0 ? HTTP_METRICS
                                                                                      : HTTP_NOT_FOUND;
}
