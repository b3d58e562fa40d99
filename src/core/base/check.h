/* SPDX-License-Identifier: Apache-2.0
 *
 * Assertion tiers. SH_CHECK=0 (release): none. SH_CHECK=1: O(1) checks. SH_CHECK=2: whole-structure validators too.
 * A failed check aborts: it is a bug of the core, never of a peer's data (damaged records are quarantined instead).
 */
#ifndef SH_BASE_CHECK_H
#define SH_BASE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#ifndef SH_CHECK
#define SH_CHECK 0
#endif

#define SH_CHECK_FAIL(x)                                                              \
  do {                                                                                \
    fprintf(stderr, "shoal core: %s:%d: check failed: %s\n", __FILE__, __LINE__, #x); \
    abort();                                                                          \
  } while (0)

#if SH_CHECK >= 1
#define sh_assert(x)    \
  do {                  \
    if (!(x))           \
      SH_CHECK_FAIL(x); \
  } while (0)
#else
#define sh_assert(x) ((void)sizeof(x))
#endif

#if SH_CHECK >= 2
#define sh_assert_all(x) sh_assert(x)
#else
#define sh_assert_all(x) ((void)sizeof(x))
#endif

#endif
