/* SPDX-License-Identifier: Apache-2.0 */
#include "base/table.h"

#include <stdlib.h>
#include <string.h>

static uint32_t slot_of(const sh_table *t, uint64_t key) {
  return (uint32_t)((key * 0x9E3779B97F4A7C15U) >> 32) & (t->cap - 1U);
}

static uint32_t find(const sh_table *t, uint64_t key) {
  uint32_t i = slot_of(t, key);
  while (t->keys[i] != 0 && t->keys[i] != key)
    i = (i + 1U) & (t->cap - 1U);
  return i;
}

static bool grow(sh_table *t) {
  sh_table bigger = {.cap = t->cap ? t->cap * 2U : 64U};
  bigger.keys = calloc(bigger.cap, sizeof *bigger.keys);
  bigger.counts = calloc(bigger.cap, sizeof *bigger.counts);
  if (!bigger.keys || !bigger.counts) {
    sh_table_destroy(&bigger);
    return false;
  }
  for (uint32_t i = 0; i < t->cap; i++) {
    if (t->keys[i] == 0)
      continue;
    uint32_t at = find(&bigger, t->keys[i]);
    bigger.keys[at] = t->keys[i];
    bigger.counts[at] = t->counts[i];
    bigger.n++;
  }
  sh_table_destroy(t);
  *t = bigger;
  return true;
}

static void erase(sh_table *t, uint32_t hole) {
  uint32_t mask = t->cap - 1U;
  for (uint32_t i = (hole + 1U) & mask; t->keys[i] != 0; i = (i + 1U) & mask) {
    uint32_t home = slot_of(t, t->keys[i]);
    if (((i - home) & mask) >= ((i - hole) & mask)) { /* its home is at or before the hole */
      t->keys[hole] = t->keys[i];
      t->counts[hole] = t->counts[i];
      hole = i;
    }
  }
  t->keys[hole] = 0;
  t->counts[hole] = 0;
  t->n--;
}

bool sh_table_add(sh_table *t, uint64_t key, int32_t by) {
  if ((t->n + 1U) * 4U > t->cap * 3U && !grow(t))
    return false;
  uint32_t i = find(t, key);
  if (t->keys[i] == 0) {
    t->keys[i] = key;
    t->n++;
  }
  t->counts[i] += by;
  if (t->counts[i] == 0)
    erase(t, i);
  return true;
}

int32_t sh_table_get(const sh_table *t, uint64_t key) {
  return t->cap ? t->counts[find(t, key)] : 0;
}

void sh_table_destroy(sh_table *t) {
  free(t->keys);
  free(t->counts);
  memset(t, 0, sizeof *t);
}
