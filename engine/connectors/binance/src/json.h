/* json.h: bounded readers over jsmn for text that a venue sent. No allocation, no recursion.
 *
 * jsmn only cuts text into tokens and accepts some text that is not JSON, so every reader here checks the
 * token that it was given: an index out of range, a wrong type or a missing value is a plain "no".
 */
#ifndef BINANCE_JSON_H
#define BINANCE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JSMN_HEADER /* types only; jsmn.c holds the code */
#define JSMN_STRICT
#include <jsmn.h>

#define DOC_NONE (-1)

typedef struct json_doc {
  const char *text;
  size_t length;
  const jsmntok_t *tokens;
  int count;
} json_doc;

/* Tokenize one JSON value into `tokens`. False: not JSON, more than one value, or too many tokens. */
bool doc_parse(json_doc *doc, const char *text, size_t length, jsmntok_t *tokens, unsigned capacity);

/* Index of the value of `key` in the object at `object`, or DOC_NONE. The first of equal keys wins. */
int doc_member(const json_doc *doc, int object, const char *key);

/* doc_member twice: `first` in the object, then `second` in what was found. */
int doc_member2(const json_doc *doc, int object, const char *first, const char *second);

/* First element of the array at `array`, or DOC_NONE if it is empty or no array. */
int doc_first(const json_doc *doc, int array);

/* Element after `element` within `array`, or DOC_NONE at its end. */
int doc_after(const json_doc *doc, int array, int element);

bool doc_is_object(const json_doc *doc, int at);
bool doc_is_array(const json_doc *doc, int at);
bool doc_is_null(const json_doc *doc, int at);

/* True if the token is a string without escapes that equals `text`. */
bool doc_equals(const json_doc *doc, int at, const char *text);

/* The raw bytes of a string token (escapes undecoded), not NUL-terminated. */
bool doc_raw(const json_doc *doc, int at, const char **text, size_t *length);

/* Copy a string, refusing escapes, control characters and one that does not fit. */
bool doc_copy(const json_doc *doc, int at, char *out, size_t size);

/* Copy text for people: cut to fit, everything that is not printable ASCII becomes '?'. */
void doc_describe(const json_doc *doc, int at, char *out, size_t size);

/* Integer primitive that fits in int64_t. */
bool doc_integer(const json_doc *doc, int at, int64_t *value);

/* `true` or `false`. */
bool doc_boolean(const json_doc *doc, int at, bool *value);

/* Decimal string ("0.01") or plain number, as 1e-8 units; exact or refused. */
bool doc_decimal(const json_doc *doc, int at, int64_t *value_e8);

/* As doc_decimal, but a value too large for int64_t becomes INT64_MAX: for upper bounds only. */
bool doc_bound(const json_doc *doc, int at, int64_t *value_e8);

#endif
