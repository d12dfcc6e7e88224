/* cases.h: what every unit test includes before cmocka wants it so. */
#ifndef BINANCE_TEST_CASES_H
#define BINANCE_TEST_CASES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
