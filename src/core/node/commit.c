/* SPDX-License-Identifier: Apache-2.0
 *
 * The last half of task.h: what a claimed task comes to. */
#include "base/os.h"
#include "node/call_log.h"
#include "node/claim.h"
#include "node/object.h"
#include "node/refs.h"

static bool says_to_end(uint64_t word, uint32_t client) {
  uint32_t state = sh_word_state(word);
  return (state == SH_TASK_CANCELLED || state == SH_TASK_OVERDUE) && sh_word_who(word) == client;
}

bool sh_is_ending(const sh_self *self, uint32_t slot) {
  return says_to_end(sh_load_acquire(&sh_slot_at(&self->seg, slot)->word), self->index);
}

bool sh_surrender(sh_self *self, uint32_t slot) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  uint64_t word = sh_load_acquire(&t->word); /* once: condemned since, it is not ours to give away */
  if (!says_to_end(word, self->index))
    return false;
  /* (O) what we filled and logged, then the daemon's name; pairs with the acquire in cancel.c. */
  uint64_t theirs = sh_word(sh_word_generation(word), sh_word_state(word), 0, sh_word_tag(word));
  if (!sh_cas(&t->word, &word, theirs))
    return false;                        /* condemned meanwhile */
  self->checkpoint_is_due |= self->logs; /* what it did is not in the log */
  sh_self_poke(self);
  return true;
}

/* READY again, unless somebody decided about it meanwhile. The tag tells this run of it from the next one. */
static bool give_back(sh_self *self, uint32_t slot, uint64_t word) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  sh_ref r = {.index = slot, .generation = sh_word_generation(word)};
  uint64_t ready = sh_word(r.generation, SH_TASK_READY, sh_slot_class(t), (sh_word_tag(word) + 1U) & 0xFFFFU);
  sh_store_release(&self->me->op, sh_ref_pack(r)); /* (P) READY without a hint must be named somewhere */
  bool given = sh_cas(&t->word, &word, ready);
  if (given)
    sh_task_hint(self, slot);
  sh_store_release(&self->me->op, 0);
  return given;
}

/* Told to end it: done. Condemned for this task: the kill is on its way and must not hit another one. */
static sh_status lost(sh_self *self, uint32_t slot) {
  if (sh_surrender(self, slot))
    return SH_LOST;
  uint64_t word = sh_load_acquire(&sh_slot_at(&self->seg, slot)->word);
  if (sh_word_state(word) == SH_TASK_KILLING && sh_word_who(word) == self->index)
    sh_self_leave(self);
  return SH_LOST;
}

void sh_unclaim(sh_self *self, uint32_t slot) {
  uint64_t word = sh_load_relaxed(&sh_slot_at(&self->seg, slot)->word);
  uint32_t state = sh_word_state(word);
  if (sh_word_who(word) != self->index || (state != SH_TASK_CLAIMED && state != SH_TASK_RUNNING))
    return;
  (void)give_back(self, slot, word);
}

bool sh_may_retry(const sh_self *self, uint32_t slot) {
  const sh_slot *t = sh_slot_at(&self->seg, slot);
  return sh_load32_relaxed(&t->x_attempt) - sh_load8_relaxed(&t->x_pressed) < t->max_retries;
}

/* Throw away what the attempt filled, and count it. False: it is not ours to repeat. */
static bool end_attempt(sh_self *self, uint32_t slot, uint64_t word) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  if (sh_word_state(word) != SH_TASK_RUNNING || sh_word_who(word) != self->index)
    return false;
  for (uint32_t i = 0; i < t->n_returns; i++)
    sh_entry_unfill(&self->seg, &self->heap, self->index, sh_slot_return(&self->seg, t, i));
  /* Before the word, if that changes: whoever claims it knows which attempt it is. A death in between costs two. */
  sh_store32_relaxed(&t->x_attempt, sh_load32_relaxed(&t->x_attempt) + 1U);
  self->checkpoint_is_due |= self->logs; /* what the attempt did is not in the log */
  return true;
}

bool sh_retry(sh_self *self, uint32_t slot) {
  uint64_t word = sh_load_relaxed(&sh_slot_at(&self->seg, slot)->word);
  if (end_attempt(self, slot, word) && give_back(self, slot, word))
    return true;
  (void)lost(self, slot);
  return false;
}

bool sh_repeat_here(sh_self *self, uint32_t slot) {
  if (end_attempt(self, slot, sh_load_relaxed(&sh_slot_at(&self->seg, slot)->word)))
    return true;
  (void)lost(self, slot);
  return false;
}

void sh_let_slot_go(sh_self *self, uint32_t slot, uint64_t committed) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  sh_ref r = {.index = slot, .generation = sh_word_generation(committed)};
  if (t->flags & SH_SLOT_HAS_ROWS) {
    sh_log_append(self, SH_LOG_DONE, r); /* the daemon frees the slot */
    return;
  }
  uint64_t loc = sh_load_relaxed(&t->loc);
  if (sh_loc_in_heap(loc))
    (void)sh_heap_free(&self->seg, &self->heap, self->index, loc, sh_tag(SH_TAG_SLOT, r));
  (void)sh_pool_free(&self->seg, SH_POOL_SLOT, &self->mags[SH_POOL_SLOT], self->index, slot, committed);
}

sh_status sh_commit(sh_self *self, uint32_t slot) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  uint64_t word = sh_load_relaxed(&t->word);
  uint32_t state = sh_word_state(word);
  if ((state != SH_TASK_RUNNING && state != SH_TASK_CLAIMED) || sh_word_who(word) != self->index)
    return lost(self, slot);
  uint64_t committed = sh_word(sh_word_generation(word), SH_TASK_COMMITTED, self->index, sh_word_tag(word));
  /* (K) the commit point: before it the fills are dropped, after it whoever finds the task finishes the seals. */
  if (!sh_cas(&t->word, &word, committed))
    return lost(self, slot);
  for (uint32_t i = 0; i < t->n_returns; i++)
    sh_seal(self, sh_slot_return(&self->seg, t, i));
  sh_bump(&self->me->x_completed, 1);
  sh_bump(&self->me->x_busy_ns, sh_os_now_ns() - self->busy_since_ns);
  if (!self->logs || !sh_log_keep(self, slot, committed))
    sh_let_slot_go(self, slot, committed);
  return SH_OK;
}
