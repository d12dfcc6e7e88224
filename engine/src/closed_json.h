/* closed_json.h: read JSON against a closed schema, with errors a person can act on.
 *
 * Every object is read with the exact list of its keys: an unknown, missing, doubled or wrongly typed
 * key is an error that names the file, the JSON path, what was found and what is allowed. There are no
 * optional keys, so a retired or misspelt flag can never be silently ignored.
 */
#ifndef SLIPWAY_CLOSED_JSON_H
#define SLIPWAY_CLOSED_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct document {
  const char *file; /* for messages only */
  char *error;
  size_t error_size;
} document;

/* One value and the way to it. Lives on the reader's stack; `up` is the enclosing value. */
typedef struct place {
  document *document;
  const struct place *up;
  const char *key; /* NULL: an array element, or the root */
  size_t index;
  json_t *value; /* borrowed */
} place;

/* Parse bytes into *root (owned by the caller: json_decref). Doubled keys and trailing text are errors. */
bool document_parse(document *self, const char *bytes, size_t length, json_t **root);

place place_root(document *self, json_t *root);
place place_key(const place *at, const char *key);
place place_index(const place *at, size_t index);

/* Fail with "FILE: PATH: found …; allowed: …". Always returns false. */
bool place_refuse(const place *at, const char *allowed);
/* Fail with "FILE: PATH: <text>". Always returns false. */
bool place_fail(const place *at, const char *text);

/* An object that has exactly these keys. */
bool read_object(const place *at, const char *const keys[], size_t count);
/* An object with any keys (their meaning is someone else's). */
bool read_open_object(const place *at);
bool read_array(const place *at, size_t least, size_t most, size_t *count);
bool read_integer(const place *at, int64_t least, int64_t most, int64_t *value);
/* A string of 1 to size-1 bytes without control characters. */
bool read_text(const place *at, char *text, size_t size);
/* An absolute path that fits. */
bool read_path(const place *at, char *text, size_t size);
/* A string holding a decimal number above 0 and up to DECIMAL_READ_MAX (see decimal.h), as 1e-8 units. */
bool read_decimal(const place *at, int64_t *value_e8);
/* One of these words; *choice is its index. */
bool read_choice(const place *at, const char *const words[], size_t count, size_t *choice);
/* A name: lower-case letters, digits, '-' and '_', beginning with a letter. */
bool read_name(const place *at, char *text, size_t size);

/* 1e9 units: with it, sums over a full order table stay far from overflow. */
#define DECIMAL_READ_MAX INT64_C(100000000000000000)

#endif
