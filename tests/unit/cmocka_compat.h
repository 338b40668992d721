/*
 * cmocka, with the headers it needs before it; from 1.1.5 on.
 */
#ifndef MXWAY_TESTS_CMOCKA_COMPAT_H
#define MXWAY_TESTS_CMOCKA_COMPAT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* After the four above, which it does not include itself. */
#include <cmocka.h>

#endif
