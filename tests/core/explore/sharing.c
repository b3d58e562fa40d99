/* SPDX-License-Identifier: Apache-2.0
 *
 * Words that only one process uses, or that nobody writes, need no points. Which they are is found out: every word starts
 * as unshared; when a second process meets one that was written, the search begins again with that word shared. An
 * execution in which a word is shared has a prefix in which it is not yet, so none is missed. The same holds for a word's
 * only writer, whose own loads of it are no points, and for plain memory, which cannot race while one process has it. */
#include "views.h"

/* By byte of the world. */
static uint8_t users[XP_WORLD_BYTES], writers[XP_WORLD_BYTES], shared[XP_WORLD_BYTES];
static uint8_t grain_users[XP_WORLD_BYTES / XP_GRAIN], grain_writers[XP_WORLD_BYTES / XP_GRAIN];
static bool shared_grain[XP_WORLD_BYTES / XP_GRAIN];
#define MAX_MET (1U << 18)
static uint32_t met[MAX_MET], n_met; /* bytes of the world that are marked in these tables */
static uint32_t n_shared;

static void remember_met(size_t i) {
  if (n_met == MAX_MET)
    xp_fail(__FILE__, __LINE__, "too much memory is used", n_met, 0);
  met[n_met++] = (uint32_t)i;
}

bool xp_is_atomic(const volatile void *at) {
  return writers[xp_offset(at)] != 0;
}

static bool is_one(uint8_t mask) {
  return (mask & (mask - 1U)) == 0;
}

bool xp_is_shared(const volatile void *at, bool write) {
  uint32_t me = xp_me();
  size_t i = xp_offset(at);
  if (!xp_exploring() || me == XP_EVERYBODY)
    return shared[i] != 0;
  uint8_t mine = (uint8_t)(1U << me);
  if (write && !(writers[i] & mine)) {
    writers[i] |= mine;
    if (shared[i] && !is_one(writers[i]))
      xp_begin_again();
  }
  if (!users[i])
    remember_met(i);
  users[i] |= mine;
  if (!shared[i] && writers[i] && !is_one(users[i])) {
    shared[i] = 1;
    n_shared++;
    xp_begin_again();
    return false;
  }
  /* What only we write, we read as we wrote it, whoever does what meanwhile. */
  return shared[i] && (write || writers[i] != mine);
}

void xp_memory_forget_sharing(void) {
  while (n_met) {
    uint32_t i = met[--n_met];
    users[i] = writers[i] = shared[i] = 0;
    grain_users[i / XP_GRAIN] = grain_writers[i / XP_GRAIN] = 0;
    shared_grain[i / XP_GRAIN] = false;
  }
  n_shared = 0;
}

uint32_t xp_memory_shared(void) {
  return n_shared;
}

bool xp_is_known_shared(const volatile void *at) {
  return shared[xp_offset(at)] != 0;
}

/* As for words: what only one process uses, or nobody writes, cannot race. */
bool xp_is_shared_grain(size_t g, bool write) {
  uint8_t mine = (uint8_t)(1U << xp_me());
  if (!grain_users[g])
    remember_met(g * XP_GRAIN);
  grain_users[g] |= mine;
  if (write)
    grain_writers[g] |= mine;
  if (!shared_grain[g] && grain_writers[g] && !is_one(grain_users[g])) {
    shared_grain[g] = true;
    xp_begin_again();
  }
  return shared_grain[g];
}
