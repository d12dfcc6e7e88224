#include "check.h"
#include "decimal.h"

static void parses(const char *text, int64_t wanted) {
  int64_t value = -77;
  CHECK_EQ(decimal_parse(text, &value), DECIMAL_OK);
  CHECK_EQ(value, wanted);
}

static void refuses(const char *text, decimal_error wanted) {
  int64_t value = -77;
  CHECK_EQ(decimal_parse(text, &value), wanted);
  CHECK_EQ(value, -77);
}

static void round_trip(int64_t value, const char *wanted) {
  char text[DECIMAL_TEXT_MAX];
  int64_t back = 0;
  CHECK(decimal_format(value, text, sizeof text) == strlen(wanted));
  CHECK(strcmp(text, wanted) == 0);
  CHECK_EQ(decimal_parse(text, &back), DECIMAL_OK);
  CHECK_EQ(back, value);
}

int main(void) {
  parses("0", 0);
  parses("-0", 0);
  parses("1", 100000000);
  parses("0.01", 1000000);
  parses("0.00000001", 1);
  parses("0.000000010000", 1);
  parses("-12.5", -1250000000);
  parses("000012", 1200000000);
  parses("92233720368.54775807", INT64_MAX);
  parses("-92233720368.54775808", INT64_MIN);
  refuses("92233720368.54775808", DECIMAL_OVERFLOW);
  refuses("-92233720368.54775809", DECIMAL_OVERFLOW);
  refuses("99999999999999999999999999", DECIMAL_OVERFLOW);
  refuses("0.000000001", DECIMAL_INEXACT);
  refuses("1.123456789", DECIMAL_INEXACT);
  const char *const malformed[] = {"",    "-",   "+1", ".5",  "5.",    "1e5",  " 1",  "1 ",
                                   "0x1", "1,5", "-.", "--1", "1.2.3", "1.-2", "nan", "１"};
  for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
    refuses(malformed[i], DECIMAL_MALFORMED);
  }
  refuses(NULL, DECIMAL_MALFORMED);
  int64_t value = 0;
  CHECK_EQ(decimal_parse_n("1.25\",", 4, &value), DECIMAL_OK);
  CHECK_EQ(value, 125000000);

  round_trip(0, "0");
  round_trip(1, "0.00000001");
  round_trip(-1, "-0.00000001");
  round_trip(50000000, "0.5");
  round_trip(1200000000, "12");
  round_trip(INT64_MAX, "92233720368.54775807");
  round_trip(INT64_MIN, "-92233720368.54775808");
  char small[3] = "xx";
  CHECK(decimal_format(1, small, sizeof small) == 0);
  CHECK(small[0] == '\0');

  CHECK(decimal_multiply_up(150000000, 200000000, &value));
  CHECK_EQ(value, 300000000);
  CHECK(decimal_multiply_up(1, 1, &value)); /* 1e-16 rounds away from zero */
  CHECK_EQ(value, 1);
  CHECK(decimal_multiply_up(-1, 1, &value));
  CHECK_EQ(value, -1);
  CHECK(!decimal_multiply_up(INT64_MAX, INT64_MAX, &value));
  CHECK(decimal_scale(7, 3, 2, &value));
  CHECK_EQ(value, 10);
  CHECK(!decimal_scale(1, 1, 0, &value));
  CHECK(!decimal_scale(INT64_MAX, INT64_MAX, 1, &value));
  return 0;
}
