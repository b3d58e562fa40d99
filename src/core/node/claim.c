/* SPDX-License-Identifier: Apache-2.0
 *
 * The claiming half of task.h: finding work, in a fair order, and taking it. */
#include "node/claim.h"

#include "base/os.h"
#include "node/idle.h"
#include "node/seat.h"
#include "node/task.h"

static sh_status enter(sh_self *self, uint32_t slot, uint64_t claimed) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  uint64_t seen = claimed;
  /* Under a lease: it must still be ours, and after this step nobody takes it away until the task is over. */
  uint64_t lease = self->lease;
  if (lease && !sh_cas(&self->me->x_lease, &lease, sh_lease_in(lease, SH_LEASE_BUSY))) {
    sh_unclaim(self, slot);
    return SH_FENCED;
  }
  uint64_t running = sh_word(sh_word_generation(claimed), SH_TASK_RUNNING, self->index, sh_word_tag(claimed));
  self->busy_since_ns = sh_os_now_ns();
  sh_store_relaxed(&self->me->x_since_ns, self->busy_since_ns);
  /* (N) since when, then RUNNING; against the word, then since when: cancel.c. */
  if (!sh_cas(&t->word, &seen, running))
    return SH_LOST;
  sh_store_relaxed(&self->me->x_current, (uint64_t)slot | ((uint64_t)sh_word_generation(claimed) << 32));
  sh_store32_relaxed(&self->me->x_depth, t->depth);
  return SH_OK;
}

void sh_tell_where(sh_self *self, uint32_t slot) {
  uint32_t chunk = slot / sh_pool_of(&self->seg, SH_POOL_SLOT)->chunk_records;
  sh_a64 *word = sh_claims_word(&self->seg, self->index, chunk);
  uint64_t told = sh_load_relaxed(word), bit = 1ULL << (chunk % 64U);
  if (!(told & bit))
    sh_store_relaxed(word, told | bit);
}

sh_status sh_claim_hint(sh_self *self, uint64_t hint, uint32_t class_id) {
  sh_ref r = sh_ref_unpack(hint);
  if (r.index >= sh_pool_capacity(sh_pool_of(&self->seg, SH_POOL_SLOT)))
    return SH_LOST;
  sh_slot *t = sh_slot_at(&self->seg, r.index);
  uint64_t word = sh_load_acquire(&t->word); /* (R) */
  if (sh_word_generation(word) != r.generation || sh_word_state(word) != SH_TASK_READY ||
      sh_word_who(word) != class_id || (self->role == SH_ROLE_WORKER && sh_peek(&t->root) != self->root))
    return SH_LOST;
  uint64_t claimed = sh_word(r.generation, SH_TASK_CLAIMED, self->index, sh_word_tag(word));
  sh_tell_where(self, r.index);
  if (!sh_cas(&t->word, &word, claimed))
    return SH_LOST;
  if (t->n_deps > sh_load32_relaxed(&t->x_cursor)) {
    sh_status status = sh_task_wait(self, r.index, &claimed);
    if (status == SH_OK)
      return SH_EMPTY;
    if (status == SH_FULL) { /* no waiter to be had now: put it back, somebody comes by again */
      sh_unclaim(self, r.index);
      return SH_EMPTY;
    }
  }
  return enter(self, r.index, claimed);
}

sh_status sh_claim_take(sh_self *self, uint32_t client, uint32_t class_id, uint64_t *hint) {
  sh_ring *ring = sh_ring_named(&self->seg, client, class_id);
  sh_class *c = sh_class_at(&self->seg, class_id);
  sh_a64 *bits = &c->x_bits[client / 64U];
  uint64_t bit = 1ULL << (client % 64U);
  if (!ring) {
    sh_fetch_and(bits, ~bit); /* whoever saw the bit has acquired it: a ring that was named before it is seen here */
    return SH_EMPTY;
  }
  sh_ring_memory memory = sh_self_ring_memory(self);
  sh_status status = sh_ring_pop(ring, &memory, &self->me->op, hint);
  if (status != SH_EMPTY)
    return status;
  sh_fetch_and(bits, ~bit);
  sh_fence(); /* (B) the cleared bit, then the tail; against the pushed tail, then the look at the bit */
  if (sh_ring_length(ring) != 0)
    sh_fetch_or(bits, bit);
  return SH_EMPTY;
}

/* Claim from one client's ring; stale hints cost a look each. */
static sh_status claim_from(sh_self *self, uint32_t client, uint32_t class_id, uint32_t *slot) {
  uint64_t hint;
  while (sh_claim_take(self, client, class_id, &hint) == SH_OK) {
    sh_status status = sh_claim_hint(self, hint, class_id);
    sh_store_release(&self->me->op, 0);
    if (status == SH_OK)
      *slot = sh_ref_unpack(hint).index;
    if (status == SH_OK || status == SH_FENCED)
      return status;
  }
  return SH_EMPTY;
}

/* Tasks of callers that are parked in get come first, the deepest caller before all: a tree of nested gets then holds no
 * more processes than its depth times the CPUs. */
static bool deepest_blocked(sh_self *self, uint32_t class_id, uint32_t *client) {
  const sh_segment *s = &self->seg;
  sh_class *c = sh_class_at(s, class_id);
  uint32_t words = (sh_clients_high(s) + 63U) / 64U, best = 0;
  bool found = false;
  for (uint32_t w = 0; w < words; w++) {
    uint64_t bits = sh_load_relaxed(&s->header->x_blocked[w]) & sh_load_acquire(&c->x_bits[w]);
    for (; bits; bits &= bits - 1U) {
      uint32_t at = w * 64U + (uint32_t)__builtin_ctzll(bits);
      uint32_t depth = sh_load32_relaxed(&sh_client_at(s, at)->x_depth);
      if (!found || depth > best) {
        found = true;
        best = depth;
        *client = at;
      }
    }
  }
  return found;
}

bool sh_claim_next_client(const sh_segment *s, const sh_class *c, uint32_t from, uint32_t *client) {
  uint32_t high = sh_clients_high(s), words = (high + 63U) / 64U;
  if (from >= high)
    from = 0;
  uint32_t start = from / 64U;
  for (uint32_t step = 0; step <= words; step++) {
    uint32_t w = (start + step) % words;
    uint64_t bits = sh_load_acquire(&c->x_bits[w]);
    if (step == 0)
      bits &= ~0ULL << (from % 64U);
    if (bits) {
      *client = w * 64U + (uint32_t)__builtin_ctzll(bits);
      return true;
    }
  }
  return false;
}

static sh_status claim_of_class(sh_self *self, uint32_t class_id, uint32_t *slot) {
  sh_class *c = sh_class_at(&self->seg, class_id);
  uint32_t client;
  sh_status status = SH_EMPTY;
  for (uint32_t tries = 0; status == SH_EMPTY && tries < SH_MAX_CLIENTS && deepest_blocked(self, class_id, &client);
       tries++)
    status = claim_from(self, client, class_id, slot);
  for (uint32_t tries = 0;
       status == SH_EMPTY && tries < SH_MAX_CLIENTS && sh_claim_next_client(&self->seg, c, self->rotor, &client);
       tries++) {
    self->rotor = client + 1U;
    status = claim_from(self, client, class_id, slot);
  }
  return status;
}

static bool class_open(sh_class *c) {
  return sh_word_state(sh_load_acquire(&c->word)) == SH_CLASS_LIVE;
}

static bool is_leased(uint64_t lease) {
  return sh_lease_state(lease) == SH_LEASE_GRANTED || sh_lease_state(lease) == SH_LEASE_BUSY;
}

/* Does work of higher priority than this class's wait for a lease in this job? */
static bool is_outranked(const sh_self *self, uint32_t class_id) {
  const sh_segment *s = &self->seg;
  if (!sh_load32_relaxed(&s->header->x_ranked))
    return false;
  uint32_t mine = sh_load32_relaxed(&sh_class_at(s, class_id)->priority);
  for (uint32_t w = 0, words = sh_class_words(s); w < words; w++)
    for (uint64_t bits = sh_load_relaxed(&s->header->x_task_classes[w]); bits; bits &= bits - 1U) {
      const sh_class *c = sh_class_at(s, w * 64U + (uint32_t)__builtin_ctzll(bits));
      if (sh_load32_relaxed(&c->kind) == SH_CLASS_LEASE && sh_load32_relaxed(&c->root) == self->root &&
          sh_load32_relaxed(&c->priority) > mine && sh_class_has_bits(s, c))
        return true;
    }
  return false;
}

/* Claim of the class that the daemon granted us, if any; else give the lease back: nothing is left of it, or what waits is
 * more urgent. Each grant is good for one task at least, or a class that cannot be served would hold up those it outranks. */
static sh_status claim_under_lease(sh_self *self, uint32_t *slot) {
  uint64_t lease = sh_load_acquire(&self->me->x_lease);
  uint32_t class_id = ((uint32_t)lease & 0xFFFFU) - 1U;
  if (!is_leased(lease) || class_id >= SH_MAX_CLASSES)
    return SH_EMPTY;
  bool outranked = false;
  if (sh_lease_state(lease) == SH_LEASE_BUSY) { /* its last task is over */
    outranked = is_outranked(self, class_id);
    uint64_t granted = sh_lease_in(lease, SH_LEASE_GRANTED);
    if (!sh_cas(&self->me->x_lease, &lease, granted))
      return SH_EMPTY;
    lease = granted;
  }
  self->lease = lease;
  bool found =
      !outranked && class_open(sh_class_at(&self->seg, class_id)) && claim_of_class(self, class_id, slot) == SH_OK;
  self->lease = 0;
  if (found)
    return SH_OK;
  (void)sh_cas(&self->me->x_lease, &lease, sh_lease_in(lease, SH_LEASE_RETURNED)); /* or it was taken away */
  sh_self_poke(self);
  return SH_EMPTY;
}

/* What was claimed needs no CPU and may take for ever: meanwhile others may compute on the seat that we had. */
static void lend_seat(sh_self *self) {
  if (!self->seated_run)
    return;
  sh_seat_rest(self);
  sh_wake_worker(&self->seg); /* who found no seat sleeps, with work at hand */
}

/* Of one class of this crew that needs no lease. */
static bool claim_without_lease(sh_self *self, uint32_t class_id, uint32_t *slot) {
  const sh_segment *s = &self->seg;
  sh_class *c = sh_class_at(s, class_id);
  uint32_t kind = sh_load32_relaxed(&c->kind);
  if (kind == SH_CLASS_LEASE || sh_load32_relaxed(&c->crew) != self->crew || !class_open(c) || !sh_class_has_bits(s, c))
    return false;
  if (kind == SH_CLASS_SEAT && !sh_seat_take(self))
    return false;
  if (claim_of_class(self, class_id, slot) != SH_OK)
    return false;
  if (kind == SH_CLASS_FREE_RUN)
    lend_seat(self);
  return true;
}

/* The task class of this crew that comes after `last` when those of higher priority come first, and then those of lower number;
 * SH_MAX_CLASSES: before the first, and after the last. */
static uint32_t class_after(const sh_self *self, uint32_t last) {
  const sh_segment *s = &self->seg;
  uint32_t next = SH_MAX_CLASSES, best = 0, before = UINT32_MAX;
  if (last != SH_MAX_CLASSES)
    before = sh_load32_relaxed(&sh_class_at(s, last)->priority);
  for (uint32_t w = 0, words = sh_class_words(s); w < words; w++)
    for (uint64_t bits = sh_load_acquire(&s->header->x_task_classes[w]); bits; bits &= bits - 1U) {
      uint32_t class_id = w * 64U + (uint32_t)__builtin_ctzll(bits);
      const sh_class *c = sh_class_at(s, class_id);
      uint32_t priority = sh_load32_relaxed(&c->priority);
      bool is_later = priority < before || (priority == before && class_id > last);
      if (!is_later || sh_load32_relaxed(&c->crew) != self->crew || (next != SH_MAX_CLASSES && priority <= best))
        continue;
      next = class_id;
      best = priority;
    }
  return next;
}

static sh_status claim_by_rank(sh_self *self, uint32_t *slot) {
  uint32_t class_id = class_after(self, SH_MAX_CLASSES);
  for (; class_id != SH_MAX_CLASSES; class_id = class_after(self, class_id))
    if (claim_without_lease(self, class_id, slot))
      return SH_OK;
  return SH_EMPTY;
}

static sh_status claim_by_number(sh_self *self, uint32_t *slot) {
  const sh_segment *s = &self->seg;
  for (uint32_t w = 0, words = sh_class_words(s); w < words; w++)
    for (uint64_t bits = sh_load_acquire(&s->header->x_task_classes[w]); bits; bits &= bits - 1U)
      if (claim_without_lease(self, w * 64U + (uint32_t)__builtin_ctzll(bits), slot))
        return SH_OK;
  return SH_EMPTY;
}

static sh_status claim_as_worker(sh_self *self, uint32_t *slot) {
  sh_seat_between(self);
  if (sh_load_relaxed(&self->me->x_lease) && claim_under_lease(self, slot) == SH_OK)
    return SH_OK;
  bool ranked = sh_load32_relaxed(&self->seg.header->x_ranked) != 0;
  if ((ranked ? claim_by_rank(self, slot) : claim_by_number(self, slot)) == SH_OK)
    return SH_OK;
  if (self->seated_run)
    sh_seat_rest(self);
  return SH_EMPTY;
}

sh_status sh_next_try(sh_self *self, uint32_t *slot) {
  if (sh_load32_relaxed(&self->seg.header->x_mode) != SH_MODE_RUNNING || sh_load32_relaxed(&self->me->x_fenced) ||
      atomic_load(&self->leaving))
    return SH_EMPTY;
  return self->role == SH_ROLE_ACTOR ? sh_claim_as_actor(self, slot) : claim_as_worker(self, slot);
}

bool sh_should_run_awaited(const sh_self *self) {
  const sh_segment *s = &self->seg;
  uint32_t n = 0, words = (sh_clients_high(s) + 63U) / 64U;
  for (uint32_t w = 0; w < words; w++)
    n += (uint32_t)__builtin_popcountll(sh_load_relaxed(&s->header->x_blocked[w]));
  return self->role == SH_ROLE_WORKER && n >= SH_BLOCKED_SPARE + SH_BLOCKED_PER_SEAT * s->fixed.n_seats;
}

sh_status sh_next_awaited(sh_self *self, sh_ref r, uint32_t *slot) {
  const sh_segment *s = &self->seg;
  sh_entry *e = sh_entry_checked(s, r);
  uint64_t producer = e ? sh_load_relaxed(&e->producer) : 0;
  sh_ref task = sh_ref_unpack(producer);
  if (producer == 0 || task.index >= sh_pool_capacity(sh_pool_of(s, SH_POOL_SLOT)))
    return SH_EMPTY;
  uint32_t class_id = sh_slot_class(sh_slot_at(s, task.index));
  if (class_id >= SH_MAX_CLASSES)
    return SH_EMPTY;
  if (sh_slot_at(s, task.index)->flags & SH_SLOT_STREAM)
    return SH_EMPTY; /* it may wait for its consumer, which would lie below it on this stack */
  sh_class *c = sh_class_at(s, class_id);
  uint32_t kind = sh_load32_relaxed(&c->kind);
  if ((kind != SH_CLASS_SEAT && kind != SH_CLASS_FREE_RUN) || sh_load32_relaxed(&c->crew) != self->crew ||
      !class_open(c))
    return SH_EMPTY;
  sh_store_relaxed(&self->me->op, producer);
  sh_status status = sh_claim_hint(self, producer, class_id);
  sh_store_release(&self->me->op, 0);
  if (status != SH_OK)
    return SH_EMPTY;
  *slot = task.index;
  return SH_OK;
}

void sh_resume(sh_self *self, uint32_t slot, uint64_t since_ns) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  uint64_t word = sh_load_relaxed(&t->word);
  sh_store_relaxed(&self->me->x_since_ns, since_ns); /* what is still current is over: nobody compares the two */
  sh_store_relaxed(&self->me->x_current, (uint64_t)slot | ((uint64_t)sh_word_generation(word) << 32));
  sh_store32_relaxed(&self->me->x_depth, t->depth);
}

bool sh_next_possible(const sh_self *self) {
  const sh_segment *s = &self->seg;
  if (sh_should_exit(self))
    return true;
  if (self->role == SH_ROLE_ACTOR)
    return !self->recovered || sh_class_has_bits(s, sh_class_at(s, sh_load32_relaxed(&self->me->x_class))) ||
           sh_actor_has_late(self, sh_load32_relaxed(&self->me->x_class));
  if (is_leased(sh_load_acquire(&self->me->x_lease)))
    return true;
  bool seat_checked = false, seat = false;
  for (uint32_t w = 0, words = sh_class_words(s); w < words; w++) {
    uint64_t bits = sh_load_acquire(&s->header->x_task_classes[w]);
    for (; bits; bits &= bits - 1U) {
      sh_class *c = sh_class_at(s, w * 64U + (uint32_t)__builtin_ctzll(bits));
      uint32_t kind = sh_load32_relaxed(&c->kind);
      if (kind == SH_CLASS_LEASE || sh_load32_relaxed(&c->crew) != self->crew || !class_open(c) ||
          !sh_class_has_bits(s, c))
        continue;
      if (kind != SH_CLASS_SEAT)
        return true;
      if (!seat_checked) {
        seat = sh_seat_possible(self);
        seat_checked = true;
      }
      if (seat)
        return true;
    }
  }
  return false;
}

void sh_block(sh_self *self) {
  uint64_t bit = 1ULL << (self->index % 64U);
  if (self->role == SH_ROLE_WORKER) {
    sh_fetch_or(&self->seg.header->x_blocked[self->index / 64U], bit);
    sh_seat_leave(self);
    sh_wake_worker(&self->seg);
    sh_self_poke(self); /* the repair thread asks for a replacement if nobody idle is left */
  }
  sh_set_run_state(self, SH_RUN_PARKED);
}

static bool needs_no_cpu(const sh_self *self) {
  sh_ref r = sh_ref_unpack(sh_load_relaxed(&self->me->x_current));
  if (r.index >= sh_pool_capacity(sh_pool_of(&self->seg, SH_POOL_SLOT)))
    return false; /* damaged */
  uint32_t class_id = sh_slot_class(sh_slot_at(&self->seg, r.index));
  return class_id < SH_MAX_CLASSES && sh_load32_relaxed(&sh_class_at(&self->seg, class_id)->kind) == SH_CLASS_FREE_RUN;
}

void sh_unblock(sh_self *self) {
  sh_set_run_state(self, SH_RUN_BUSY);
  if (self->role == SH_ROLE_WORKER) {
    sh_fetch_and(&self->seg.header->x_blocked[self->index / 64U], ~(1ULL << (self->index % 64U)));
    if (!needs_no_cpu(self))
      sh_seat_return(self);
  }
}

bool sh_should_exit(const sh_self *self) {
  const sh_segment *s = &self->seg;
  if (sh_self_usable(self) != SH_OK || atomic_load(&((sh_self *)(uintptr_t)self)->leaving))
    return true;
  if (self->role != SH_ROLE_ACTOR)
    return false;
  const sh_class *c = sh_class_at(s, sh_load32_relaxed(&self->me->x_class));
  if (sh_word_state(sh_load_acquire(&c->word)) == SH_CLASS_CLOSED)
    return true;
  return self->recovered && sh_load32_acquire(&c->x_unreferenced) && !sh_class_has_bits(s, c) &&
         !sh_actor_keeps_calls(self);
}
