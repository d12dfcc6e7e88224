#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "permit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const permit nobody;
  permit_terms terms;
  char error[256] = "";
  char text[PERMIT_TEXT_MAX];
  if (permit_parse((const char *)data, size, &terms, error, sizeof error)) {
    /* An engine with no hash of its own takes no permit at all. */
    if (!digest_valid(terms.release) || !digest_valid(terms.limits) ||
        permit_objection(&nobody, &terms, 1, text, sizeof text) == NULL) {
      abort();
    }
  } else if (error[0] == '\0') {
    abort();
  }
  return 0;
}
