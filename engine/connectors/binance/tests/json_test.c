/* The bounded JSON readers, with text that is not what it should be. */
#include "cases.h"

#include <stdbool.h>
#include <string.h>

#include "json.h"

#define TOKENS 64

static jsmntok_t tokens[TOKENS];

static bool parse(json_doc *doc, const char *text) {
  return doc_parse(doc, text, strlen(text), tokens, TOKENS);
}

static void members(void **state) {
  (void)state;
  json_doc doc;
  assert_true(parse(&doc, "{\"a\":{\"b\":[1,{\"c\":2}],\"c\":3},\"c\":4,\"c\":5}"));
  int64_t value = 0;
  assert_true(doc_integer(&doc, doc_member(&doc, 0, "c"), &value)); /* not the inner ones, and the first */
  assert_int_equal(value, 4);
  assert_true(doc_integer(&doc, doc_member2(&doc, 0, "a", "c"), &value));
  assert_int_equal(value, 3);
  assert_int_equal(doc_member(&doc, 0, "b"), DOC_NONE);
  assert_int_equal(doc_member(&doc, 0, ""), DOC_NONE);
  assert_int_equal(doc_member(&doc, 1, "c"), DOC_NONE); /* a string, no object */
  assert_int_equal(doc_member(&doc, 1000, "c"), DOC_NONE);
  assert_int_equal(doc_member(&doc, DOC_NONE, "c"), DOC_NONE);
}

static void arrays(void **state) {
  (void)state;
  json_doc doc;
  assert_true(parse(&doc, "{\"e\":[],\"l\":[[1,2],{\"x\":[3]},4],\"z\":0}"));
  assert_int_equal(doc_first(&doc, doc_member(&doc, 0, "e")), DOC_NONE);
  const int list = doc_member(&doc, 0, "l");
  int at = doc_first(&doc, list);
  assert_true(doc_is_array(&doc, at));
  at = doc_after(&doc, list, at);
  assert_true(doc_is_object(&doc, at));
  at = doc_after(&doc, list, at);
  int64_t value = 0;
  assert_true(doc_integer(&doc, at, &value));
  assert_int_equal(value, 4);
  assert_int_equal(doc_after(&doc, list, at), DOC_NONE);
  assert_int_equal(doc_first(&doc, 0), DOC_NONE);
  assert_int_equal(doc_after(&doc, list, 1000), DOC_NONE);
}

static void text_that_is_not_one_document(void **state) {
  (void)state;
  static const char *const bad[] = {"",
                                    "null",
                                    "1",
                                    "\"a\"",
                                    "{",
                                    "[",
                                    "{\"a\":1",
                                    "{\"a\":1}}",
                                    "{} {}",
                                    "[1]x[",
                                    "{\"a\":}x",
                                    "]",
                                    "{\"a\":tru\x01}",
                                    "[\"\\x\"]",
                                    "[\"\\u12g4\"]",
                                    "nonsense"};
  json_doc doc;
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    if (parse(&doc, bad[i])) {
      fail_msg("taken: %s", bad[i]);
    }
    assert_int_equal(doc.count, 0);
    assert_int_equal(doc_member(&doc, 0, "a"), DOC_NONE);
  }
}

static void too_many_tokens(void **state) {
  (void)state;
  char text[4 * TOKENS];
  text[0] = '[';
  for (size_t i = 0; i < TOKENS; i++) {
    text[1 + 2 * i] = '1';
    text[2 + 2 * i] = ',';
  }
  text[2 * TOKENS] = ']';
  json_doc doc;
  assert_false(doc_parse(&doc, text, 2 * TOKENS + 1, tokens, TOKENS));
  text[2 * (TOKENS - 1)] = ']'; /* one fewer fits */
  assert_true(doc_parse(&doc, text, 2 * (TOKENS - 1) + 1, tokens, TOKENS));
}

static void every_cut_of_a_document_is_refused(void **state) {
  (void)state;
  static const char text[] = "{\"id\":7,\"status\":200,\"result\":{\"a\":[1,\"x\",null,true]}}";
  json_doc doc;
  assert_true(parse(&doc, text));
  for (size_t length = 0; length < strlen(text); length++) {
    assert_false(doc_parse(&doc, text, length, tokens, TOKENS));
  }
}

static void integers(void **state) {
  (void)state;
  json_doc doc;
  int64_t value = 17;
  assert_true(parse(&doc,
                    "[9223372036854775807,-9223372036854775808,9223372036854775808,-9223372036854775809,"
                    "1.0,1e3,-,--1,\"5\",null,01]"));
  const int list = 0;
  int at = doc_first(&doc, list);
  assert_true(doc_integer(&doc, at, &value));
  assert_true(value == INT64_MAX);
  at = doc_after(&doc, list, at);
  assert_true(doc_integer(&doc, at, &value));
  assert_true(value == INT64_MIN);
  for (int i = 0; i < 8; i++) {
    at = doc_after(&doc, list, at);
    value = 17;
    assert_false(doc_integer(&doc, at, &value));
    assert_int_equal(value, 17);
  }
}

static void decimals(void **state) {
  (void)state;
  json_doc doc;
  int64_t value = 17;
  assert_true(parse(
      &doc, "[\"0.10000000\",52000.00,\"-1\",\"1e5\",\"\",\"1.000000001\",\"99999999999999\",{},\"NaN\"]"));
  static const int64_t good[] = {10000000, INT64_C(5200000000000), -100000000};
  int at = doc_first(&doc, 0);
  for (size_t i = 0; i < 3; i++, at = doc_after(&doc, 0, at)) {
    assert_true(doc_decimal(&doc, at, &value));
    assert_true(value == good[i]);
  }
  for (; at != DOC_NONE; at = doc_after(&doc, 0, at)) {
    assert_false(doc_decimal(&doc, at, &value));
  }
  assert_false(doc_decimal(&doc, DOC_NONE, &value));
  at = doc_first(&doc, 0);
  for (int i = 0; i < 6; i++) {
    at = doc_after(&doc, 0, at);
  }
  assert_true(doc_bound(&doc, at, &value)); /* an upper bound beyond ours is as good as none */
  assert_true(value == INT64_MAX);
}

static void strings(void **state) {
  (void)state;
  json_doc doc;
  char out[5];
  assert_true(parse(&doc, "[\"abcd\",\"abcde\",\"a\\n\",\"\xe8\xbf\x99\",1]"));
  int at = doc_first(&doc, 0);
  assert_true(doc_copy(&doc, at, out, sizeof out));
  assert_string_equal(out, "abcd");
  assert_true(doc_equals(&doc, at, "abcd"));
  assert_false(doc_equals(&doc, at, "abc"));
  at = doc_after(&doc, 0, at);
  assert_false(doc_copy(&doc, at, out, sizeof out)); /* too long: refused, never cut */
  at = doc_after(&doc, 0, at);
  assert_false(doc_copy(&doc, at, out, sizeof out));
  at = doc_after(&doc, 0, at);
  assert_true(doc_copy(&doc, at, out, sizeof out));
  doc_describe(&doc, at, out, sizeof out);
  assert_string_equal(out, "???");
  at = doc_after(&doc, 0, at);
  assert_false(doc_copy(&doc, at, out, sizeof out));
  doc_describe(&doc, DOC_NONE, out, sizeof out);
  assert_string_equal(out, "");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(members),
      cmocka_unit_test(arrays),
      cmocka_unit_test(text_that_is_not_one_document),
      cmocka_unit_test(too_many_tokens),
      cmocka_unit_test(every_cut_of_a_document_is_refused),
      cmocka_unit_test(integers),
      cmocka_unit_test(decimals),
      cmocka_unit_test(strings),
  };
  return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
