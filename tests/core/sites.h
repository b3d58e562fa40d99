/* SPDX-License-Identifier: Apache-2.0
 *
 * Which stores to shared memory a test has visited, by the place in the source. Needs SH_HOOKS. */
#ifndef TESTS_CORE_SITES_H
#define TESTS_CORE_SITES_H

#include "base/atomic.h"

#if defined(SH_HOOKS) && SH_HOOKS

typedef struct sites_exempt {
  const char *file;     /* its end */
  const char *function; /* NULL: all of the file */
  const char *why;
} sites_exempt;

/* Call once, before the first fork. */
void sites_open(void);
/* The process dies, or leaves, before the store of sh_hook_site. Seen by all processes forked from the one that opened. */
void sites_visit(void);
bool sites_is_visited(const sh_site *site);
/* Fails, and names them, if there are sites of the core that were neither visited nor exempt, or exempt ones that do not
 * exist. Prints the figures when SHOAL_TEST_VERBOSE is set. */
void sites_expect_visited(const sites_exempt *exempt, uint32_t n);

#endif
#endif
