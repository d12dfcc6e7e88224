/* closed_json.c: see closed_json.h. */
#include "closed_json.h"

#include <stdio.h>
#include <string.h>

#include "decimal.h"

#define FOUND_MAX 64
#define PATH_MAX_TEXT 256
#define KEYS_TEXT_MAX 512

static size_t path_append(const place *at, char *text, size_t size) {
  if (at->up == NULL) {
    return (size_t)snprintf(text, size, "$");
  }
  const size_t used = path_append(at->up, text, size);
  if (used >= size) {
    return used;
  }
  if (at->key != NULL) {
    return used + (size_t)snprintf(text + used, size - used, ".%s", at->key);
  }
  return used + (size_t)snprintf(text + used, size - used, "[%zu]", at->index);
}

static const char *type_name(const json_t *value) {
  switch (json_typeof(value)) {
  case JSON_OBJECT:
    return "object";
  case JSON_ARRAY:
    return "array";
  case JSON_STRING:
    return "string";
  case JSON_INTEGER:
    return "integer";
  case JSON_REAL:
    return "fraction";
  case JSON_TRUE:
  case JSON_FALSE:
    return "boolean";
  case JSON_NULL:
    return "null";
  }
  return "unknown";
}

static void found_text(const json_t *value, char *text, size_t size) {
  char *dumped = NULL;
  if (!json_is_object(value) && !json_is_array(value) && !json_is_null(value)) {
    dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
  }
  if (dumped == NULL) {
    (void)snprintf(text, size, "%s", type_name(value));
  } else {
    const char *more = strlen(dumped) > FOUND_MAX ? "…" : "";
    (void)snprintf(text, size, "%.*s%s (%s)", FOUND_MAX, dumped, more, type_name(value));
  }
  free(dumped);
}

bool place_fail(const place *at, const char *text) {
  char path[PATH_MAX_TEXT];
  (void)path_append(at, path, sizeof path);
  (void)snprintf(at->document->error, at->document->error_size, "%s: %s: %s", at->document->file, path, text);
  return false;
}

bool place_refuse(const place *at, const char *allowed) {
  char found[FOUND_MAX + 32];
  char text[FOUND_MAX + 32 + KEYS_TEXT_MAX];
  found_text(at->value, found, sizeof found);
  (void)snprintf(text, sizeof text, "found %s; allowed: %s", found, allowed);
  return place_fail(at, text);
}

bool document_parse(document *self, const char *bytes, size_t length, json_t **root) {
  json_error_t why;
  *root = json_loadb(bytes, length, JSON_REJECT_DUPLICATES, &why);
  if (*root == NULL) {
    (void)snprintf(self->error, self->error_size, "%s: line %d, column %d: not valid JSON: %s", self->file,
                   why.line, why.column, why.text);
    return false;
  }
  return true;
}

place place_root(document *self, json_t *root) {
  return (place){.document = self, .up = NULL, .key = NULL, .index = 0, .value = root};
}

place place_key(const place *at, const char *key) {
  return (place){
      .document = at->document, .up = at, .key = key, .index = 0, .value = json_object_get(at->value, key)};
}

place place_index(const place *at, size_t index) {
  return (place){.document = at->document,
                 .up = at,
                 .key = NULL,
                 .index = index,
                 .value = json_array_get(at->value, index)};
}

static void join(const char *const words[], size_t count, char *text, size_t size) {
  size_t used = 0;
  text[0] = '\0';
  for (size_t i = 0; i < count && used < size; i++) {
    used += (size_t)snprintf(text + used, size - used, "%s%s", i == 0 ? "" : ", ", words[i]);
  }
}

bool read_object(const place *at, const char *const keys[], size_t count) {
  char list[KEYS_TEXT_MAX];
  char text[KEYS_TEXT_MAX + 128];
  if (!json_is_object(at->value)) {
    return place_refuse(at, "an object");
  }
  const char *key = NULL;
  json_t *value = NULL;
  json_object_foreach(at->value, key, value) {
    size_t i = 0;
    while (i < count && strcmp(keys[i], key) != 0) {
      i++;
    }
    if (i == count) {
      join(keys, count, list, sizeof list);
      (void)snprintf(text, sizeof text, "unknown key \"%.64s\"; allowed: %s", key, list);
      return place_fail(at, text);
    }
  }
  for (size_t i = 0; i < count; i++) {
    if (json_object_get(at->value, keys[i]) == NULL) {
      join(keys, count, list, sizeof list);
      (void)snprintf(text, sizeof text, "missing key \"%s\"; required: %s", keys[i], list);
      return place_fail(at, text);
    }
  }
  return true;
}

bool read_open_object(const place *at) { return json_is_object(at->value) || place_refuse(at, "an object"); }

bool read_array(const place *at, size_t least, size_t most, size_t *count) {
  if (json_is_array(at->value)) {
    *count = json_array_size(at->value);
    if (*count >= least && *count <= most) {
      return true;
    }
  }
  char allowed[80];
  (void)snprintf(allowed, sizeof allowed, "an array of %zu to %zu elements", least, most);
  return place_refuse(at, allowed);
}

bool read_integer(const place *at, int64_t least, int64_t most, int64_t *value) {
  if (json_is_integer(at->value)) {
    *value = json_integer_value(at->value);
    if (*value >= least && *value <= most) {
      return true;
    }
  }
  char allowed[80];
  (void)snprintf(allowed, sizeof allowed, "an integer from %lld to %lld", (long long)least, (long long)most);
  return place_refuse(at, allowed);
}

bool read_text(const place *at, char *text, size_t size) {
  if (json_is_string(at->value)) {
    const char *found = json_string_value(at->value);
    const size_t length = strlen(found);
    bool printable = true;
    for (size_t i = 0; i < length; i++) {
      printable = printable && (unsigned char)found[i] >= 0x20 && found[i] != 0x7f;
    }
    if (length > 0 && length < size && printable) {
      memcpy(text, found, length + 1);
      return true;
    }
  }
  char allowed[80];
  (void)snprintf(allowed, sizeof allowed, "a string of 1 to %zu bytes without control characters", size - 1);
  return place_refuse(at, allowed);
}

bool read_path(const place *at, char *text, size_t size) {
  if (!read_text(at, text, size)) {
    return false;
  }
  return text[0] == '/' || place_refuse(at, "an absolute path");
}

bool read_decimal(const place *at, int64_t *value_e8) {
  static const char allowed[] =
      "a string with a decimal number above 0, at most 1000000000, with at most 8 decimals";
  if (!json_is_string(at->value) || decimal_parse(json_string_value(at->value), value_e8) != DECIMAL_OK ||
      *value_e8 <= 0 || *value_e8 > DECIMAL_READ_MAX) {
    return place_refuse(at, allowed);
  }
  return true;
}

bool read_choice(const place *at, const char *const words[], size_t count, size_t *choice) {
  if (json_is_string(at->value)) {
    for (size_t i = 0; i < count; i++) {
      if (strcmp(words[i], json_string_value(at->value)) == 0) {
        *choice = i;
        return true;
      }
    }
  }
  char list[KEYS_TEXT_MAX];
  join(words, count, list, sizeof list);
  return place_refuse(at, list);
}

bool read_name(const place *at, char *text, size_t size) {
  if (!read_text(at, text, size)) {
    return false;
  }
  const size_t length = strlen(text);
  if (text[0] < 'a' || text[0] > 'z' || strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_") != length) {
    return place_refuse(at, "a name of lower-case letters, digits, '-' and '_' that begins with a letter");
  }
  return true;
}
