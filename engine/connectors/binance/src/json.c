/* json.c: see json.h. */
#include "json.h"

#include <limits.h>
#include <string.h>

#include "decimal.h"

static bool valid(const json_doc *doc, int at) { return at >= 0 && at < doc->count; }

static const jsmntok_t *token(const json_doc *doc, int at, jsmntype_t type) {
  if (!valid(doc, at) || doc->tokens[at].type != type) {
    return NULL;
  }
  return &doc->tokens[at];
}

static size_t token_length(const jsmntok_t *found) { return (size_t)(found->end - found->start); }

/* Index of the first token that does not lie inside the one at `at`. */
static int skip(const json_doc *doc, int at) {
  const int end = doc->tokens[at].end;
  int next = at + 1;
  while (next < doc->count && doc->tokens[next].start < end) {
    next++;
  }
  return next;
}

bool doc_parse(json_doc *doc, const char *text, size_t length, jsmntok_t *tokens, unsigned capacity) {
  doc->text = text;
  doc->length = length;
  doc->tokens = tokens;
  doc->count = 0;
  if (length > INT_MAX) {
    return false;
  }
  jsmn_parser parser;
  jsmn_init(&parser);
  const int count = jsmn_parse(&parser, text, length, tokens, capacity);
  if (count <= 0) {
    return false;
  }
  /* A bare jsmn "primitive" may be any word; a venue only ever sends an object or an array. */
  if (tokens[0].type != JSMN_OBJECT && tokens[0].type != JSMN_ARRAY) {
    return false;
  }
  for (int i = 0; i < count; i++) {
    if (tokens[i].start < 0 || tokens[i].end < tokens[i].start || (size_t)tokens[i].end > length) {
      return false;
    }
  }
  doc->count = count;
  if (skip(doc, 0) != count) {
    doc->count = 0;
    return false;
  }
  return true;
}

int doc_member(const json_doc *doc, int object, const char *key) {
  const jsmntok_t *whole = token(doc, object, JSMN_OBJECT);
  if (whole == NULL) {
    return DOC_NONE;
  }
  const size_t wanted = strlen(key);
  int at = object + 1;
  while (at < doc->count && doc->tokens[at].start < whole->end) {
    const jsmntok_t *name = &doc->tokens[at];
    const int value = at + 1;
    if (name->type != JSMN_STRING || name->size != 1 || value >= doc->count ||
        doc->tokens[value].start >= whole->end) {
      return DOC_NONE;
    }
    if (token_length(name) == wanted && memcmp(doc->text + name->start, key, wanted) == 0) {
      return value;
    }
    at = skip(doc, value);
  }
  return DOC_NONE;
}

int doc_member2(const json_doc *doc, int object, const char *first, const char *second) {
  return doc_member(doc, doc_member(doc, object, first), second);
}

int doc_first(const json_doc *doc, int array) {
  const jsmntok_t *whole = token(doc, array, JSMN_ARRAY);
  if (whole == NULL || whole->size < 1 || !valid(doc, array + 1) ||
      doc->tokens[array + 1].start >= whole->end) {
    return DOC_NONE;
  }
  return array + 1;
}

int doc_after(const json_doc *doc, int array, int element) {
  const jsmntok_t *whole = token(doc, array, JSMN_ARRAY);
  if (whole == NULL || !valid(doc, element)) {
    return DOC_NONE;
  }
  const int next = skip(doc, element);
  return valid(doc, next) && doc->tokens[next].start < whole->end ? next : DOC_NONE;
}

bool doc_is_object(const json_doc *doc, int at) { return token(doc, at, JSMN_OBJECT) != NULL; }

bool doc_is_array(const json_doc *doc, int at) { return token(doc, at, JSMN_ARRAY) != NULL; }

static bool primitive_is(const json_doc *doc, int at, const char *word) {
  const jsmntok_t *found = token(doc, at, JSMN_PRIMITIVE);
  return found != NULL && token_length(found) == strlen(word) &&
         memcmp(doc->text + found->start, word, token_length(found)) == 0;
}

bool doc_is_null(const json_doc *doc, int at) { return primitive_is(doc, at, "null"); }

bool doc_equals(const json_doc *doc, int at, const char *text) {
  const jsmntok_t *found = token(doc, at, JSMN_STRING);
  return found != NULL && token_length(found) == strlen(text) &&
         memcmp(doc->text + found->start, text, token_length(found)) == 0;
}

bool doc_raw(const json_doc *doc, int at, const char **text, size_t *length) {
  const jsmntok_t *found = token(doc, at, JSMN_STRING);
  if (found == NULL) {
    return false;
  }
  *text = doc->text + found->start;
  *length = token_length(found);
  return true;
}

bool doc_copy(const json_doc *doc, int at, char *out, size_t size) {
  const char *text = NULL;
  size_t length = 0;
  if (!doc_raw(doc, at, &text, &length) || length >= size) {
    return false;
  }
  for (size_t i = 0; i < length; i++) {
    if (text[i] == '\\' || (unsigned char)text[i] < ' ') {
      return false;
    }
  }
  memcpy(out, text, length);
  out[length] = '\0';
  return true;
}

void doc_describe(const json_doc *doc, int at, char *out, size_t size) {
  if (size == 0) {
    return;
  }
  size_t length = 0;
  if (valid(doc, at)) {
    const jsmntok_t *found = &doc->tokens[at];
    length = token_length(found) < size - 1 ? token_length(found) : size - 1;
    for (size_t i = 0; i < length; i++) {
      const char c = doc->text[(size_t)found->start + i];
      out[i] = c >= ' ' && c <= '~' ? c : '?';
    }
  }
  out[length] = '\0';
}

bool doc_integer(const json_doc *doc, int at, int64_t *value) {
  const jsmntok_t *found = token(doc, at, JSMN_PRIMITIVE);
  if (found == NULL) {
    return false;
  }
  const char *text = doc->text + found->start;
  const size_t length = token_length(found);
  size_t i = 0;
  const bool negative = length > 0 && text[0] == '-';
  if (negative) {
    i = 1;
  }
  if (i == length) {
    return false;
  }
  int64_t result = 0;
  for (; i < length; i++) {
    if (text[i] < '0' || text[i] > '9') {
      return false;
    }
    const int64_t digit = text[i] - '0';
    if (__builtin_mul_overflow(result, (int64_t)10, &result) ||
        __builtin_add_overflow(result, negative ? -digit : digit, &result)) {
      return false;
    }
  }
  *value = result;
  return true;
}

bool doc_boolean(const json_doc *doc, int at, bool *value) {
  if (primitive_is(doc, at, "true")) {
    *value = true;
    return true;
  }
  if (primitive_is(doc, at, "false")) {
    *value = false;
    return true;
  }
  return false;
}

static decimal_error decimal(const json_doc *doc, int at, int64_t *value_e8) {
  if (!valid(doc, at) || (doc->tokens[at].type != JSMN_STRING && doc->tokens[at].type != JSMN_PRIMITIVE)) {
    return DECIMAL_MALFORMED;
  }
  const jsmntok_t *found = &doc->tokens[at];
  return decimal_parse_n(doc->text + found->start, token_length(found), value_e8);
}

bool doc_decimal(const json_doc *doc, int at, int64_t *value_e8) {
  return decimal(doc, at, value_e8) == DECIMAL_OK;
}

bool doc_bound(const json_doc *doc, int at, int64_t *value_e8) {
  const decimal_error error = decimal(doc, at, value_e8);
  if (error == DECIMAL_OVERFLOW) {
    *value_e8 = INT64_MAX;
    return true;
  }
  return error == DECIMAL_OK;
}
