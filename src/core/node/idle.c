/* SPDX-License-Identifier: Apache-2.0 */
#include "node/idle.h"

#include "base/grow.h"
#include "base/os.h"
#include "node/task.h"

bool sh_may_spin(const sh_self *self) {
  const sh_segment *s = &self->seg;
  if (sh_os_now_ns() < self->no_spin_before_ns)
    return false;
  uint32_t active = 0, high = sh_clients_high(s);
  for (uint32_t c = 1; c < high; c++) {
    uint8_t state = sh_load8_relaxed(sh_run_state_of(s, c));
    active += c != self->index && (state == SH_RUN_BUSY || state == SH_RUN_SPINNING);
  }
  return active < s->fixed.cores;
}

void sh_set_run_state(sh_self *self, sh_run_state state) {
  sh_a8 *mine = sh_run_state_of(&self->seg, self->index);
  if (sh_load8_relaxed(mine) != (uint8_t)state)
    sh_store8_seqcst(mine, (uint8_t)state);
}

void sh_wake_client(const sh_segment *s, uint32_t client) {
  sh_client *c = sh_client_at(s, client);
  sh_fence(); /* (D) what we made true, then x_parked; against announce, then the second look */
  if (sh_load32_relaxed(&c->park.x_parked) != 0)
    (void)sh_park_wake(&c->park);
}

static bool serves(const sh_segment *s, uint32_t client, uint32_t crew) {
  const sh_client *c = sh_client_at(s, client);
  return sh_load32_relaxed(&c->x_role) == SH_ROLE_WORKER && sh_load32_relaxed(&c->x_crew) == crew;
}

bool sh_wake_worker_of(const sh_segment *s, uint32_t crew, bool was_empty) {
  uint32_t words = (sh_clients_high(s) + 63U) / 64U;
  sh_fence(); /* (D) the pushed hint, then the idle and spinning bits; against the bit, then the look at the rings */
  for (uint32_t w = 0; was_empty && w < words; w++)
    for (uint64_t bits = sh_load_relaxed(&s->header->x_spinning[w]); bits; bits &= bits - 1U)
      if (serves(s, w * 64U + (uint32_t)__builtin_ctzll(bits), crew))
        return false;
  for (uint32_t w = 0; w < words; w++)
    for (uint64_t bits = sh_load_relaxed(&s->header->x_idle[w]); bits; bits &= bits - 1U) {
      uint32_t client = w * 64U + (uint32_t)__builtin_ctzll(bits);
      uint64_t bit = 1ULL << (client % 64U);
      if (!serves(s, client, crew) || !(sh_fetch_and(&s->header->x_idle[w], ~bit) & bit))
        continue;
      (void)sh_park_wake(&sh_client_at(s, client)->park);
      return true;
    }
  return false;
}

void sh_wake_worker(const sh_segment *s) {
  for (uint32_t w = 0, words = sh_class_words(s); w < words; w++)
    for (uint64_t bits = sh_load_relaxed(&s->header->x_task_classes[w]); bits; bits &= bits - 1U) {
      const sh_class *c = sh_class_at(s, w * 64U + (uint32_t)__builtin_ctzll(bits));
      if (sh_load32_relaxed(&c->kind) != SH_CLASS_LEASE && sh_class_has_bits(s, c) &&
          sh_wake_worker_of(s, sh_load32_relaxed(&c->crew), false))
        return;
    }
}

void sh_idle_announce(sh_self *self) {
  sh_set_run_state(self, SH_RUN_PARKED);
  sh_fetch_or(&self->seg.header->x_idle[self->index / 64U], 1ULL << (self->index % 64U));
  /* (D) the idle bit, then the caller's look at the rings; against the pushed hint, then the look at the idle bits (idle.c).
   * (I) the idle bit, then this look; against x_lease_waits, then the daemon's look at the idle bits (lease.c). */
  sh_fence();
  if (self->role == SH_ROLE_WORKER && sh_load32_relaxed(&sh_seats_of(&self->seg)->x_lease_waits))
    sh_self_poke(self);
}

void sh_idle_withdraw(sh_self *self) {
  uint64_t bit = 1ULL << (self->index % 64U);
  sh_a64 *idle = &self->seg.header->x_idle[self->index / 64U];
  if (sh_load_relaxed(idle) & bit)
    sh_fetch_and(idle, ~bit);
  sh_set_run_state(self, SH_RUN_BUSY);
}

bool sh_spin_next(sh_self *self) {
  if (!sh_may_spin(self))
    return sh_next_possible(self);
  bool worker = self->role == SH_ROLE_WORKER;
  sh_a64 *spinning = &self->seg.header->x_spinning[self->index / 64U];
  uint64_t bit = 1ULL << (self->index % 64U);
  uint64_t start = sh_os_now_ns(), last = start;
  sh_store32_relaxed(&self->me->x_beat,
                     (uint32_t)start); /* before the bit: a tick must not see a new bit with an old beat */
  sh_set_run_state(self, SH_RUN_SPINNING);
  if (worker)
    sh_fetch_or(spinning, bit);
  bool found;
  for (;;) {
    found = sh_next_possible(self);
    for (uint32_t i = 0; !found && i < 16U; i++) {
      sh_pause();
      found = sh_next_possible(self);
    }
    if (found)
      break;
    uint64_t now = sh_os_now_ns();
    sh_store32_relaxed(&self->me->x_beat, (uint32_t)now);
    if (now - last > SH_SPIN_GAP_NS) {
      self->no_spin_before_ns = now + SH_SPIN_BACKOFF_NS;
      break;
    }
    if (now - start > SH_SPIN_NS)
      break;
    last = now;
  }
  if (worker)
    sh_fetch_and(spinning, ~bit);
  sh_set_run_state(self, SH_RUN_BUSY);
  return found || sh_next_possible(self);
}

bool sh_spin_closed(sh_self *self, sh_ref r, uint64_t limit_ns) {
  const sh_entry *e = sh_entry_at(&self->seg, r.index);
  uint64_t start = sh_os_now_ns(), last = start;
  for (;;) {
    for (uint32_t i = 0; i < 32U; i++) {
      if (sh_entry_is_closed(e, r.generation))
        return true;
      sh_pause();
    }
    uint64_t now = sh_os_now_ns();
    if (now - last > SH_SPIN_GAP_NS) {
      self->no_spin_before_ns = now + SH_SPIN_BACKOFF_NS;
      return sh_entry_is_closed(e, r.generation);
    }
    if (now - start > limit_ns)
      return false;
    last = now;
  }
}

static bool keep_overtaken(sh_self *self, uint32_t entry) {
  if (!SH_HAS_ROOM(self->overtaken, self->n_overtaken, self->cap_overtaken, 64U))
    return false;
  self->overtaken[self->n_overtaken++] = entry;
  return true;
}

/* Whoever served the waiter before has freed it, so it has set its bit: a bit that is still there is a report that we have
 * not read. It would be taken for one of the entry that the waiter is for from now on. */
static bool keep_report(sh_self *self, uint32_t waiter) {
  sh_a64 *word = sh_fired_word(&self->seg, waiter);
  uint64_t bit = 1ULL << (waiter % 64U);
  if (!(sh_load_relaxed(word) & bit))
    return true;
  uint32_t entry = self->watched_entry[waiter];
  if (self->local[entry].count && self->local[entry].waiter == waiter + 1U && !keep_overtaken(self, entry))
    return false;
  sh_fetch_and(word, ~bit);
  return true;
}

sh_status sh_watch(sh_self *self, sh_ref r) {
  sh_local *l = &self->local[r.index];
  sh_entry *e = sh_entry_checked(&self->seg, r);
  if (!e)
    return SH_LOST;
  if (sh_entry_is_closed(e, r.generation))
    return SH_EMPTY;
  if (l->waiter)
    return SH_OK;
  uint32_t index;
  uint64_t word;
  sh_status status = sh_self_alloc(self, SH_POOL_WAITER, &index, &word);
  if (status != SH_OK)
    return status;
  if (!keep_report(self, index)) {
    (void)sh_pool_free(&self->seg, SH_POOL_WAITER, &self->mags[SH_POOL_WAITER], self->index, index, word);
    return SH_FULL;
  }
  sh_waiters ws = sh_waiters_of(&self->seg);
  sh_waiter *w = &ws.records[index];
  sh_store_relaxed(&w->promise, sh_ref_pack(r));
  sh_store_relaxed(&w->expect, self->epoch);
  sh_store32_relaxed(&w->target, self->index);
  sh_store32_relaxed(&w->kind, SH_WAITS_CLIENT);
  sh_store32_relaxed(&w->x_listed, 0);
  uint64_t live = sh_word(sh_word_generation(word), SH_WAITER_LIVE, self->index, 0);
  /* LIVE before it is listed: a listed BUILDING waiter would be freed under the list by the sweep of its maker. */
  sh_store_release(&w->word, live);
  self->watched_entry[index] = r.index;
  status = sh_waiter_push(ws, &e->head, r.generation, index);
  if (status == SH_OK) {
    l->waiter = index + 1U;
    return SH_OK;
  }
  (void)sh_pool_free(&self->seg, SH_POOL_WAITER, &self->mags[SH_POOL_WAITER], self->index, index, live);
  return status;
}

static uint64_t time_left(uint64_t deadline_ns, uint64_t slice_ns, bool *slice_first) {
  *slice_first = true;
  if (deadline_ns == SH_NO_DEADLINE)
    return slice_ns;
  uint64_t now = sh_os_now_ns();
  uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
  *slice_first = slice_ns < left;
  return *slice_first ? slice_ns : left;
}

uint32_t sh_errors_sealed(const sh_self *self) {
  return sh_load32_acquire(&self->seg.header->x_errors);
}

void sh_mind_errors(sh_self *self, bool minds) {
  sh_a64 *word = &self->seg.header->x_minding[self->index / 64U];
  uint64_t bit = 1ULL << (self->index % 64U);
  if (minds)
    sh_fetch_or(word, bit); /* (D) before the look at x_errors */
  else
    sh_fetch_and(word, ~bit);
}

void sh_tell_of_error(const sh_segment *s) {
  sh_fetch_add32(&s->header->x_errors, 1U); /* (D) before the look at who minds */
  for (uint32_t w = 0, words = (sh_clients_high(s) + 63U) / 64U; w < words; w++)
    for (uint64_t bits = sh_load_seqcst(&s->header->x_minding[w]); bits; bits &= bits - 1U)
      sh_wake_client(s, w * 64U + (uint32_t)__builtin_ctzll(bits));
}

sh_status sh_park_closed(sh_self *self, sh_ref r, const uint32_t *errors, uint64_t deadline_ns, uint64_t slice_ns) {
  const sh_entry *e = sh_entry_at(&self->seg, r.index);
  sh_park *park = &self->me->park;
  for (;;) {
    uint32_t seq = sh_park_prepare(park);
    sh_park_announce(park, seq);
    if (sh_entry_is_closed(e, r.generation)) {
      sh_park_cancel(park);
      return SH_OK;
    }
    if (errors && sh_load32_seqcst(&self->seg.header->x_errors) != *errors) {
      sh_park_cancel(park);
      return SH_AGAIN;
    }
    sh_status status = sh_park_any(self, seq, deadline_ns, slice_ns);
    if (sh_entry_is_closed(e, r.generation))
      return SH_OK;
    if (status != SH_OK)
      return status;
  }
}

sh_status sh_park_any(sh_self *self, uint32_t seq, uint64_t deadline_ns, uint64_t slice_ns) {
  sh_park *park = &self->me->park;
  if (sh_self_usable(self) != SH_OK) {
    sh_park_cancel(park);
    return SH_FENCED;
  }
  bool slice_first;
  uint64_t left = time_left(deadline_ns, slice_ns, &slice_first);
  if (left == 0) {
    sh_park_cancel(park);
    return SH_TIMEOUT;
  }
  sh_bump(&self->me->x_parks, 1);
  sh_status status = sh_park_sleep(park, seq, left);
  return status == SH_TIMEOUT && slice_first ? SH_AGAIN : status;
}

/* Report `entry` if `waiter` is still the one that it was watched by; else it was dropped meanwhile. */
static void report(sh_self *self, uint32_t entry, uint32_t waiter, sh_fired_fn fn, void *context) {
  sh_local *l = &self->local[entry];
  sh_ref r = {.index = entry, .generation = l->generation};
  if (l->count == 0 || (l->flags & SH_LOCAL_CLOSED) || l->waiter != waiter ||
      !sh_entry_is_closed(sh_entry_at(&self->seg, entry), r.generation))
    return; /* or told before, or an early delivery */
  l->waiter = 0;
  l->flags |= SH_LOCAL_CLOSED;
  fn(context, r);
}

void sh_drain_fired(sh_self *self, sh_fired_fn fn, void *context) {
  while (self->n_overtaken) {
    uint32_t entry = self->overtaken[--self->n_overtaken];
    report(self, entry, self->local[entry].waiter, fn, context);
  }
  const sh_magazine *m = &self->mags[SH_POOL_WAITER];
  uint32_t per_chunk = sh_pool_of(&self->seg, SH_POOL_WAITER)->chunk_records;
  for (uint32_t c = 0; c < m->n_chunks; c++) {
    uint32_t first = m->chunks[c] * per_chunk;
    for (uint32_t w = 0; w < per_chunk; w += 64U) {
      sh_a64 *word = sh_fired_word(&self->seg, first + w);
      if (sh_load_relaxed(word) == 0)
        continue;
      for (uint64_t bits = sh_exchange(word, 0); bits; bits &= bits - 1U) {
        uint32_t index = first + w + (uint32_t)__builtin_ctzll(bits);
        report(self, self->watched_entry[index], index + 1U, fn, context);
      }
    }
  }
}

bool sh_any_fired(const sh_self *self) {
  const sh_magazine *m = &self->mags[SH_POOL_WAITER];
  uint32_t per_chunk = sh_pool_of(&self->seg, SH_POOL_WAITER)->chunk_records;
  for (uint32_t c = 0; c < m->n_chunks; c++)
    for (uint32_t w = 0; w < per_chunk; w += 64U)
      if (sh_load_relaxed(sh_fired_word(&self->seg, m->chunks[c] * per_chunk + w)) != 0)
        return true;
  return self->n_overtaken != 0;
}

bool sh_spin_call(sh_self *self, uint64_t limit_ns) {
  uint64_t start = sh_os_now_ns(), last = start;
  for (;;) {
    for (uint32_t i = 0; i < 16U; i++) {
      if (sh_next_possible(self))
        return true;
      sh_pause();
    }
    uint64_t now = sh_os_now_ns();
    if (now - last > SH_SPIN_GAP_NS) {
      self->no_spin_before_ns = now + SH_SPIN_BACKOFF_NS;
      return false;
    }
    if (now - start > limit_ns)
      return false;
    last = now;
  }
}
