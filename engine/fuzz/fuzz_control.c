#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  control_command command;
  char error[256] = "";
  if (control_parse((const char *)data, size, &command, error, sizeof error)) {
    if ((command.verb == CONTROL_KILL) != (command.reason[0] != '\0')) {
      abort();
    }
  } else if (error[0] == '\0') {
    abort();
  }
  (void)http_parse((const char *)data, size);
  return 0;
}
