/* SPDX-License-Identifier: Apache-2.0 */
#include "node/refs.h"

#include "base/check.h"
#include "base/grow.h"
#include "node/children.h"
#include "node/object.h"

#define LOG_WAIT_NS 1000000U

static bool log_has_room(const sh_self *self, uint32_t n) {
  return sh_load_relaxed(&self->me->x_log_tail) + n - sh_load_acquire(&self->me->x_log_counted) <= SH_LOG_CELLS;
}

void sh_log_reserve(sh_self *self, uint32_t n) {
  if (self->log_sink)
    return;
  while (!log_has_room(self, n)) {
    if (sh_self_usable(self) != SH_OK)
      return; /* the node is gone, and its counts with it */
    uint32_t seq = sh_load32_acquire(&self->me->park.x_wake);
    sh_self_poke(self);
    self->wait_hook(&self->me->park.x_wake, seq, LOG_WAIT_NS); /* the repair thread wakes clients whose log was full */
  }
}

void sh_log_append(sh_self *self, sh_log_kind kind, sh_ref r) {
  sh_client *me = self->me;
  if (self->log_sink) {
    self->log_sink(self->log_context, kind, r);
    return;
  }
  sh_log_reserve(self, 1U);
  if (!log_has_room(self, 1U))
    return;
  uint64_t tail = sh_load_relaxed(&me->x_log_tail);
  sh_store_relaxed(sh_log_cell(&self->seg, self->index, tail), sh_log_event(kind, r));
  sh_store_release(&me->x_log_tail, tail + 1U); /* (L) pairs with the acquire of x_log_tail in counts.c */
  if ((tail + 1U - sh_load_relaxed(&me->x_log_counted)) % SH_LOG_POKE == 0)
    sh_self_poke(self);
}

/* What this process knows of r, which it did not hold until now: only that it may have pinned it. */
static void begin_local(sh_self *self, sh_ref r, uint32_t flags) {
  sh_local *l = &self->local[r.index];
  uint32_t pins = l->generation == r.generation ? l->flags & SH_LOCAL_PINS : 0U;
  *l = (sh_local){.generation = r.generation, .count = 1, .flags = flags | pins};
}

void sh_ref_own(sh_self *self, sh_ref r) {
  begin_local(self, r, SH_LOCAL_OWNED);
}

sh_status sh_ref_take(sh_self *self, sh_ref r) {
  if (r.index >= sh_pool_capacity(sh_pool_of(&self->seg, SH_POOL_ENTRY)))
    return SH_LOST;
  sh_local *l = &self->local[r.index];
  if (!l->count || l->generation != r.generation)
    sh_log_reserve(self, 1U); /* first: another thread may take it meanwhile */
  if (l->count && l->generation == r.generation) {
    l->count++;
    return SH_OK;
  }
  if (!sh_entry_checked(&self->seg, r))
    return SH_LOST;
  begin_local(self, r, SH_LOCAL_SHARED);
  sh_log_append(self, SH_LOG_HOLD, r);
  return SH_OK;
}

sh_status sh_ref_adopt(sh_self *self, sh_ref r) {
  if (r.index >= sh_pool_capacity(sh_pool_of(&self->seg, SH_POOL_ENTRY)))
    return SH_LOST;
  sh_local *l = &self->local[r.index];
  if (!l->count || l->generation != r.generation) {
    begin_local(self, r, SH_LOCAL_SHARED);
    return SH_OK;
  }
  l->count++;
  if (l->flags & SH_LOCAL_SHARED)
    sh_log_append(self, SH_LOG_DROP, r); /* we hold it already, by one unit: that is enough */
  l->flags |= SH_LOCAL_SHARED;
  return SH_OK;
}

void sh_ref_again(sh_self *self, sh_ref r) {
  sh_assert(self->local[r.index].count && self->local[r.index].generation == r.generation);
  self->local[r.index].count++;
}

void sh_ref_share(sh_self *self, sh_ref r) {
  sh_local *l = &self->local[r.index];
  if (l->flags & SH_LOCAL_SHARED)
    return;
  sh_log_reserve(self, 1U); /* first: another thread may share it meanwhile */
  if (l->flags & SH_LOCAL_SHARED)
    return;
  sh_assert(l->flags & SH_LOCAL_OWNED);
  sh_entry *e = sh_entry_at(&self->seg, r.index);
  sh_store32_relaxed(&e->x_owner_flags, sh_load32_relaxed(&e->x_owner_flags) | SH_OWNER_SHARED);
  l->flags |= SH_LOCAL_SHARED;
  sh_log_append(self, SH_LOG_HOLD, r); /* (L) publishes the flag too: a sweep reads the log first */
}

void sh_ref_drop(sh_self *self, sh_ref r) {
  sh_local *l = &self->local[r.index];
  if (l->generation != r.generation || l->count == 0 || --l->count > 0)
    return;
  if ((l->flags & SH_LOCAL_CHILD) && sh_child_keep(self, r))
    return;
  bool shared = (l->flags & SH_LOCAL_SHARED) != 0;
  l->flags &= SH_LOCAL_PINS;
  l->waiter = 0;
  if (shared)
    sh_log_append(self, SH_LOG_DROP, r);
  else if (sh_entry_drop(sh_entry_at(&self->seg, r.index), r.generation))
    sh_object_release(self, r);
}

void sh_pin(sh_self *self, sh_ref r) {
  sh_local *l = &self->local[r.index];
  sh_a64 *word = sh_pins_word(&self->seg, self->index, r.index);
  if (l->generation != r.generation) /* not held by this process: by the task that it runs */
    *l = (sh_local){.generation = r.generation};
  if (l->flags >> SH_LOCAL_PINS_SHIFT == 0)
    sh_store_seqcst(word, sh_load_relaxed(word) | (1ULL << (r.index % 64U))); /* (S) before any look at the bytes */
  if (l->flags < SH_LOCAL_PINS) /* so many that nobody counts any more: pinned for as long as this process lives */
    l->flags += 1U << SH_LOCAL_PINS_SHIFT;
}

void sh_unpin(sh_self *self, sh_ref r) {
  if (self->forked || !self->open)
    return;
  sh_local *l = &self->local[r.index];
  sh_a64 *word = sh_pins_word(&self->seg, self->index, r.index);
  if (l->generation != r.generation || l->flags >> SH_LOCAL_PINS_SHIFT == 0 || l->flags >= SH_LOCAL_PINS)
    return;
  l->flags -= 1U << SH_LOCAL_PINS_SHIFT;
  if (l->flags >> SH_LOCAL_PINS_SHIFT == 0)
    sh_store_release(word, sh_load_relaxed(word) & ~(1ULL << (r.index % 64U)));
}

void sh_ref_bury(sh_self *self, sh_ref r) {
  if (self->forked || !self->open)
    return;
  if (!SH_HAS_ROOM(self->dead, self->n_dead, self->cap_dead, 256U))
    return;
  if (self->n_dead == 0)
    sh_store32_relaxed(&self->me->x_buried, 1U);
  self->dead[self->n_dead++] = r;
}

void sh_ref_flush(sh_self *self) {
  if (self->n_dead == 0)
    return;
  while (self->n_dead)
    sh_ref_drop(self, self->dead[--self->n_dead]);
  sh_store32_relaxed(&self->me->x_buried, 0);
}

void sh_ref_leave(sh_self *self) {
  sh_ref_flush(self);
  uint32_t end = sh_pool_used_chunks(&self->seg, SH_POOL_ENTRY) * sh_pool_of(&self->seg, SH_POOL_ENTRY)->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    sh_local *l = &self->local[i];
    if (l->count == 0 || l->flags >> SH_LOCAL_PINS_SHIFT)
      continue;
    l->count = 1;
    sh_ref_drop(self, (sh_ref){.index = i, .generation = l->generation});
  }
}
