/* SPDX-License-Identifier: Apache-2.0
 *
 * How an actor takes its calls: each caller's in the order of the caller's own ring, whoever else hints them (stall.h). */
#include "node/claim.h"
#include "node/stall.h"

#include <stdio.h>
#include <stdlib.h>

sh_stall *sh_stall_of(sh_self *self, uint32_t caller) {
  if (!self->stalls)
    self->stalls = calloc(SH_MAX_CLIENTS, sizeof *self->stalls);
  return self->stalls ? &self->stalls[caller] : NULL;
}

static bool is_waiting(const sh_self *self, uint64_t hint) {
  sh_ref r = sh_ref_unpack(hint);
  uint64_t word = sh_load_acquire(&sh_slot_at(&self->seg, r.index)->word);
  return sh_word_generation(word) == r.generation && sh_word_state(word) == SH_TASK_WAITING;
}

/* Was it ended without being run? */
static bool is_gone(const sh_self *self, uint64_t hint) {
  sh_ref r = sh_ref_unpack(hint);
  uint64_t word = sh_load_acquire(&sh_slot_at(&self->seg, r.index)->word);
  uint32_t state = sh_word_state(word);
  return sh_word_generation(word) != r.generation || (state != SH_TASK_WAITING && state != SH_TASK_READY);
}

/* Whose call a hint is about, as far as can be said: the slot may be another call's by now. SH_MAX_CLIENTS: nobody's. */
static uint32_t caller_of(const sh_self *self, uint64_t hint) {
  uint32_t caller = sh_peek(&sh_slot_at(&self->seg, sh_ref_unpack(hint).index)->submitter);
  return caller < SH_MAX_CLIENTS ? caller : SH_MAX_CLIENTS;
}

/* Of a hint that was taken from a ring only we know. If it cannot be kept, its call would never start, and those after it would
 * overtake it. So the process ends: its sweep fails the actor's calls, or leaves them to the next process, which finds them
 * all (recover.c). */
static _Noreturn void end_for_want_of_memory(void) {
  fputs(
      "shoal: this actor ends: there is no memory left to keep calls until they may start; give it more, or let fewer "
      "calls wait for it\n",
      stderr);
  abort();
}

/* Before a queue grows: those that were cancelled behind the first one, of which nobody tells us. */
static void forget_gone(const sh_self *self, sh_stall *q) {
  uint32_t kept = 1;
  for (uint32_t i = 1; i < q->n; i++)
    if (!is_gone(self, q->hints[q->first + i]))
      q->hints[q->first + kept++] = q->hints[q->first + i];
  q->n = q->n ? kept : 0;
}

static void put_last(const sh_self *self, sh_stall *q, uint64_t hint) {
  if (sh_stall_must_grow(q))
    forget_gone(self, q);
  if (!sh_stall_push(q, hint))
    end_for_want_of_memory();
}

static void put_first(sh_stall *q, uint64_t hint) {
  if (!sh_stall_push_front(q, hint))
    end_for_want_of_memory();
}

/* Go on with a caller whose stalled call was answered. */
static sh_status claim_stalled(sh_self *self, uint32_t caller, uint32_t class_id, uint32_t *slot) {
  sh_stall *q = &self->stalls[caller];
  while (!sh_stall_empty(q)) {
    uint64_t hint = sh_stall_front(q);
    sh_status status = sh_claim_hint(self, hint, class_id);
    /* It waits again; or it did already, and this was the second hint of one answer. */
    if (status == SH_EMPTY || is_waiting(self, hint)) {
      q->runnable = false;
      return SH_EMPTY;
    }
    sh_stall_pop(q);
    if (status == SH_OK) {
      *slot = sh_ref_unpack(hint).index;
      return SH_OK;
    }
  }
  q->runnable = false;
  return SH_EMPTY;
}

/* Go on with the callers whose stalled call was answered, or cancelled, which nobody hints. */
static sh_status claim_some_stalled(sh_self *self, uint32_t class_id, uint32_t *slot) {
  uint32_t high = self->stalls ? sh_clients_high(&self->seg) : 0;
  for (uint32_t caller = 0; caller < high; caller++) {
    sh_stall *q = &self->stalls[caller];
    q->runnable |= !sh_stall_empty(q) && is_gone(self, sh_stall_front(q));
    if (q->runnable && claim_stalled(self, caller, class_id, slot) == SH_OK)
      return SH_OK;
  }
  return SH_EMPTY;
}

static bool caller_is_quiet(const sh_self *self, uint32_t caller, uint32_t class_id) {
  const sh_ring *ring = sh_ring_named(&self->seg, caller, class_id);
  return sh_stall_empty(&self->stalls[caller]) && (!ring || !sh_ring_length(ring));
}

bool sh_actor_has_late(const sh_self *self, uint32_t class_id) {
  for (uint32_t i = 0; self->late && i < self->late->n; i++) {
    uint32_t caller = caller_of(self, self->late->hints[self->late->first + i]);
    if (caller < SH_MAX_CLIENTS && caller_is_quiet(self, caller, class_id))
      return true;
  }
  return false;
}

/* Hints that came by another ring than their caller's (a sweep, the tick, a rescan) wait until the caller's own calls are
 * started: either one of those was the same call, or the hinted one comes after them. */
static sh_status claim_late(sh_self *self, uint32_t class_id, uint32_t *slot) {
  for (uint32_t left = self->late ? self->late->n : 0; left > 0; left--) {
    uint64_t hint = sh_stall_front(self->late);
    uint32_t caller = caller_of(self, hint);
    sh_stall_pop(self->late);
    if (caller == SH_MAX_CLIENTS || !caller_is_quiet(self, caller, class_id)) {
      if (!sh_stall_push(self->late, hint))
        end_for_want_of_memory();
      continue;
    }
    sh_status status = sh_claim_hint(self, hint, class_id);
    if (status == SH_EMPTY)
      put_first(&self->stalls[caller], hint);
    if (status != SH_OK)
      continue;
    *slot = sh_ref_unpack(hint).index;
    return SH_OK;
  }
  return SH_EMPTY;
}

static void put_late(sh_self *self, uint64_t hint) {
  if (!self->late)
    self->late = calloc(1, sizeof *self->late);
  if (!self->late)
    end_for_want_of_memory();
  put_last(self, self->late, hint);
}

sh_status sh_claim_as_actor(sh_self *self, uint32_t *slot) {
  const sh_segment *s = &self->seg;
  uint32_t class_id = sh_load32_relaxed(&self->me->x_class), client;
  sh_class *c = sh_class_at(s, class_id);
  if (sh_word_state(sh_load_acquire(&c->word)) != SH_CLASS_LIVE)
    return SH_EMPTY;
  if (!self->recovered && !sh_actor_recover(self))
    return SH_EMPTY;
  if (claim_some_stalled(self, class_id, slot) == SH_OK)
    return SH_OK;
  for (uint32_t tries = 0; tries < SH_MAX_CLIENTS && sh_claim_next_client(s, c, self->rotor, &client); tries++) {
    self->rotor = client + 1U;
    uint64_t hint;
    while (sh_claim_take(self, client, class_id, &hint) == SH_OK) {
      uint32_t index = sh_ref_unpack(hint).index;
      if (index >= sh_pool_capacity(sh_pool_of(s, SH_POOL_SLOT)))
        continue;
      uint32_t caller = caller_of(self, hint);
      if (caller == SH_MAX_CLIENTS)
        continue;
      sh_stall *q = sh_stall_of(self, caller);
      if (!q)
        end_for_want_of_memory();
      if (!sh_stall_empty(q)) {
        if (sh_stall_front(q) == hint) {
          sh_store_release(&self->me->op, 0);
          q->runnable = true;
          if (claim_stalled(self, caller, class_id, slot) == SH_OK)
            return SH_OK;
          continue;
        }
        if (caller == client)
          put_last(self, q, hint);
        else
          put_late(self, hint);
        sh_store_release(&self->me->op, 0);
        continue;
      }
      if (caller != client && !caller_is_quiet(self, caller, class_id)) {
        put_late(self, hint);
        sh_store_release(&self->me->op, 0);
        continue;
      }
      sh_status status = sh_claim_hint(self, hint, class_id);
      if (status == SH_EMPTY)
        put_first(q, hint);
      sh_store_release(&self->me->op, 0);
      if (status == SH_OK) {
        *slot = index;
        return SH_OK;
      }
    }
  }
  /* (B) Once more: the cleared bits, then these words; against the word of a cancelled call, then the bit (cancel.c). */
  if (claim_some_stalled(self, class_id, slot) == SH_OK)
    return SH_OK;
  return claim_late(self, class_id, slot);
}

bool sh_actor_keeps_calls(const sh_self *self) {
  if (self->late && self->late->n)
    return true;
  for (uint32_t i = 0; self->stalls && i < sh_clients_high(&self->seg); i++)
    if (!sh_stall_empty(&self->stalls[i]))
      return true;
  return false;
}
