/* SPDX-License-Identifier: Apache-2.0
 *
 * The states that were seen, as 64-bit hashes in an open table. */
#include "process.h"

void *__real_calloc(size_t n, size_t bytes); /* not out of the world */
void __real_free(void *p);

static uint64_t *seen;
static uint64_t seen_mask, n_seen;

static bool insert_into(uint64_t *table, uint64_t mask, uint64_t state) {
  uint64_t i = state & mask;
  while (table[i] != 0) {
    if (table[i] == state)
      return false;
    i = (i + 1U) & mask;
  }
  table[i] = state;
  return true;
}

bool xp_see(uint64_t state) {
  state |= state == 0;
  if (n_seen * 2U >= seen_mask) {
    uint64_t mask = seen_mask ? seen_mask * 2U + 1U : (1U << 16) - 1U,
             *bigger = __real_calloc(mask + 1U, sizeof *bigger);
    if (!bigger)
      xp_fail(__FILE__, __LINE__, "too many states for this machine", n_seen, 0);
    for (uint64_t i = 0; seen && i <= seen_mask; i++)
      if (seen[i])
        (void)insert_into(bigger, mask, seen[i]);
    __real_free(seen);
    seen = bigger;
    seen_mask = mask;
  }
  bool fresh = insert_into(seen, seen_mask, state);
  n_seen += fresh;
  return fresh;
}

void xp_forget_states(void) {
  __real_free(seen);
  seen = NULL;
  seen_mask = n_seen = 0;
}

uint64_t xp_states(void) {
  return n_seen;
}
