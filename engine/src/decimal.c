/* decimal.c: see decimal.h. */
#include "decimal.h"

#include <string.h>

#define DECIMALS 8
#define SCALE UINT64_C(100000000)

__extension__ typedef __int128 wide;

static bool digit(char c) { return c >= '0' && c <= '9'; }

decimal_error decimal_parse_n(const char *text, size_t length, int64_t *value_e8) {
  if (text == NULL || length == 0) {
    return DECIMAL_MALFORMED;
  }
  size_t at = 0;
  const bool negative = text[0] == '-';
  if (negative) {
    at = 1;
  }
  const size_t whole = at;
  bool overflow = false;
  bool inexact = false;
  uint64_t value = 0;
  for (; at < length && digit(text[at]); at++) {
    overflow = overflow || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
               __builtin_add_overflow(value, (uint64_t)(text[at] - '0'), &value);
  }
  if (at == whole) {
    return DECIMAL_MALFORMED;
  }
  unsigned decimals = 0;
  if (at < length) {
    if (text[at] != '.') {
      return DECIMAL_MALFORMED;
    }
    const size_t fraction = ++at;
    for (; at < length && digit(text[at]); at++) {
      if (decimals < DECIMALS) {
        overflow = overflow || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
                   __builtin_add_overflow(value, (uint64_t)(text[at] - '0'), &value);
        decimals++;
      } else if (text[at] != '0') {
        inexact = true;
      }
    }
    if (at == fraction || at != length) {
      return DECIMAL_MALFORMED;
    }
  }
  for (; decimals < DECIMALS; decimals++) {
    overflow = overflow || __builtin_mul_overflow(value, UINT64_C(10), &value);
  }
  const uint64_t bound = negative ? UINT64_C(1) << 63 : (uint64_t)INT64_MAX;
  if (overflow || value > bound) {
    return DECIMAL_OVERFLOW;
  }
  if (inexact) {
    return DECIMAL_INEXACT;
  }
  if (!negative) {
    *value_e8 = (int64_t)value;
  } else if (value == bound) {
    *value_e8 = INT64_MIN;
  } else {
    *value_e8 = -(int64_t)value;
  }
  return DECIMAL_OK;
}

decimal_error decimal_parse(const char *text, int64_t *value_e8) {
  return text == NULL ? DECIMAL_MALFORMED : decimal_parse_n(text, strlen(text), value_e8);
}

const char *decimal_error_text(decimal_error error) {
  switch (error) {
  case DECIMAL_OK:
    return "ok";
  case DECIMAL_MALFORMED:
    return "not a decimal number such as 12 or 0.05";
  case DECIMAL_INEXACT:
    return "more than 8 decimals";
  case DECIMAL_OVERFLOW:
    return "larger than 92233720368.54775807";
  }
  return "unknown";
}

size_t decimal_format(int64_t value_e8, char *out, size_t size) {
  char reversed[DECIMAL_TEXT_MAX];
  size_t count = 0;
  const uint64_t magnitude = value_e8 < 0 ? UINT64_C(0) - (uint64_t)value_e8 : (uint64_t)value_e8;
  uint64_t whole = magnitude / SCALE;
  uint64_t fraction = magnitude % SCALE;
  if (fraction != 0) {
    unsigned places = DECIMALS;
    while (fraction % 10 == 0) {
      fraction /= 10;
      places--;
    }
    for (; places > 0; places--) {
      reversed[count++] = (char)('0' + (int)(fraction % 10));
      fraction /= 10;
    }
    reversed[count++] = '.';
  }
  do {
    reversed[count++] = (char)('0' + (int)(whole % 10));
    whole /= 10;
  } while (whole != 0);
  if (value_e8 < 0) {
    reversed[count++] = '-';
  }
  if (count >= size) {
    if (size > 0) {
      out[0] = '\0';
    }
    return 0;
  }
  for (size_t i = 0; i < count; i++) {
    out[i] = reversed[count - 1 - i];
  }
  out[count] = '\0';
  return count;
}

static bool narrow(wide value, int64_t *result) {
  if (value > INT64_MAX || value < INT64_MIN) {
    return false;
  }
  *result = (int64_t)value;
  return true;
}

bool decimal_multiply_up(int64_t a_e8, int64_t b_e8, int64_t *product_e8) {
  const wide exact = (wide)a_e8 * b_e8;
  const wide scale = (wide)SCALE;
  wide rounded = exact / scale;
  if (exact % scale != 0) {
    rounded += exact < 0 ? -1 : 1;
  }
  return narrow(rounded, product_e8);
}

bool decimal_scale(int64_t a, int64_t numerator, int64_t denominator, int64_t *result) {
  if (denominator == 0) {
    return false;
  }
  return narrow((wide)a * numerator / denominator, result);
}
