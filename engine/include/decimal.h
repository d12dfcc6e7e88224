/* decimal.h: decimal text to and from int64_t in units of 1e-8 (SLIPWAY_SCALE), exactly.
 *
 * No floating point anywhere: a value that cannot be held exactly is an error, never rounded.
 */
#ifndef SLIPWAY_DECIMAL_H
#define SLIPWAY_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DECIMAL_TEXT_MAX 24 /* "-92233720368.54775808" and its NUL fit */

typedef enum decimal_error {
  DECIMAL_OK = 0,
  DECIMAL_MALFORMED = -1, /* not [-]digits[.digits]; no sign '+', exponent, space or empty part is taken */
  DECIMAL_INEXACT = -2,   /* a digit other than 0 beyond the eighth decimal */
  DECIMAL_OVERFLOW = -3   /* does not fit in int64_t */
} decimal_error;

/* Parse exactly `length` bytes (no NUL needed). `*value_e8` is written only on DECIMAL_OK. */
decimal_error decimal_parse_n(const char *text, size_t length, int64_t *value_e8);

/* The same for a NUL-terminated string; NULL is malformed. */
decimal_error decimal_parse(const char *text, int64_t *value_e8);

/* What went wrong, as a short English clause. */
const char *decimal_error_text(decimal_error error);

/* Shortest exact text ("0.5", "12", "-3.00000001"), NUL-terminated. Returns its length, or 0 when
 * `size` is too small (nothing but a NUL is written then, if size > 0). */
size_t decimal_format(int64_t value_e8, char *out, size_t size);

/* a * b with both and the result in 1e-8; rounded away from zero, so that a limit check on the
 * product never errs low. False on overflow. */
bool decimal_multiply_up(int64_t a_e8, int64_t b_e8, int64_t *product_e8);

/* a * numerator / denominator with a 128-bit intermediate, truncated toward zero. False on overflow
 * or a zero denominator. */
bool decimal_scale(int64_t a, int64_t numerator, int64_t denominator, int64_t *result);

#endif
