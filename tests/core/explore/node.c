/* SPDX-License-Identifier: Apache-2.0 */
#include "node.h"

rig *node;
sh_self *node_clients[XP_PROCESSES];

#define BLOCKER 4095U /* no client has this number */

void node_open(uint32_t n_workers, uint32_t n_seats) {
  node = xp_room(sizeof *node);
  rig_open(node, n_workers, n_seats);
  node_clients[0] = &node->driver;
  for (uint32_t i = 0; i < n_workers; i++)
    node_clients[1U + i] = &node->worker[i];
}

void node_leave(sh_self *self, uint32_t pool, uint32_t n) {
  const sh_segment *s = &self->seg;
  const sh_pool *p = sh_pool_of(s, pool);
  for (uint32_t chunk = 0; chunk < p->n_chunks; chunk++) {
    if (sh_load32_relaxed(sh_pool_owner(s, p, chunk)) != self->index + 1U)
      continue;
    uint32_t left = n;
    for (uint32_t i = chunk * p->chunk_records; i < (chunk + 1U) * p->chunk_records; i++) {
      sh_a64 *word = sh_pool_word(s, p, i);
      if (sh_word_state(sh_load_relaxed(word)) != SH_FREE)
        continue;
      if (left == 0)
        sh_store_relaxed(word, sh_word(sh_word_generation(sh_load_relaxed(word)), SH_BUILDING, BLOCKER, 0));
      else
        left--;
    }
    return;
  }
  xp_fail(__FILE__, __LINE__, "it owns no chunk of the pool", pool, self->index);
}

uint32_t node_live(uint32_t pool) {
  const sh_segment *s = &node->d.seg;
  const sh_pool *p = sh_pool_of(s, pool);
  uint32_t n = 0, end = sh_pool_used_chunks(s, pool) * p->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    uint64_t word = sh_load_relaxed(sh_pool_word(s, p, i));
    n += sh_word_state(word) != SH_FREE && sh_word_who(word) != BLOCKER;
  }
  return n;
}

void node_check_valid(void) {
  XP_CHECK(sh_repair_is_valid(&node->d));
}

void node_give(node_box *box, sh_ref r) {
  box->ref = r;
  sh_store_release(&box->full, 1U);
}

bool node_look(node_box *box, sh_ref *r) {
  if (!sh_load_acquire(&box->full))
    return false;
  *r = box->ref;
  return true;
}

void node_rest(sh_self *self) {
  uint32_t seq = sh_park_prepare(&self->me->park);
  sh_park_announce(&self->me->park, seq);
  sh_idle_announce(self);
  if (sh_next_possible(self))
    sh_park_cancel(&self->me->park);
  else
    (void)sh_park_any(self, seq, SH_NO_DEADLINE, SH_NO_DEADLINE);
  sh_idle_withdraw(self);
}

void node_tick(void) {
  (void)sh_counts_read(&node->d.counts);
  sh_tick(&node->d);
}

void node_sweep_dead(uint32_t mask) {
  uint32_t dead;
  while ((dead = xp_await_death(mask)) != XP_NOBODY)
    sh_sweep_client(&node->d, node_clients[dead]->index);
}
