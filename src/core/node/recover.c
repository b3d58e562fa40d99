/* SPDX-License-Identifier: Apache-2.0
 *
 * An actor's next process takes over from the one that died (docs/design/027-what-a-restarted-actor-finds.md). Hints that the
 * dead one had taken are gone with it; the calls are not. Whose hint was taken is known from the caller's ring: its head has
 * passed the call's place, and nobody but the actor moves it. */
#include "node/claim.h"

#include "base/grow.h"

#include <stdlib.h>

typedef struct lost_call {
  uint64_t hint;
  uint32_t caller, order;
} lost_call;

typedef struct lost_calls {
  lost_call *calls;
  uint32_t n, cap;
} lost_calls;

static bool add(lost_calls *all, lost_call one) {
  if (!SH_HAS_ROOM(all->calls, all->n, all->cap, 64U))
    return false;
  all->calls[all->n++] = one;
  return true;
}

/* By caller, then as the caller made them. Places wrap round: the later one is less than half way round ahead. */
static int compare(const void *left, const void *right) {
  const lost_call *a = left, *b = right;
  if (a->caller != b->caller)
    return a->caller < b->caller ? -1 : 1;
  int32_t ahead = (int32_t)(a->order - b->order);
  return (ahead > 0) - (ahead < 0);
}

static bool was_taken(const sh_segment *s, uint32_t caller, uint32_t class_id, uint32_t order) {
  const sh_ring *ring = sh_ring_named(s, caller, class_id);
  return !ring || (int32_t)(order - (uint32_t)sh_load_acquire(&ring->x_head)) < 0;
}

/* It waits for an argument, or did: its waiter may have died unlisted. Have it claimed again, to wait again if need be. */
static void make_ready(sh_slot *t, uint64_t waiting) {
  uint64_t ready = sh_word(sh_word_generation(waiting), SH_TASK_READY, sh_word_who(waiting), sh_word_tag(waiting));
  (void)sh_cas(&t->word, &waiting, ready); /* or it was answered meanwhile, which comes to the same */
}

static bool find(sh_self *self, uint32_t class_id, lost_calls *all) {
  const sh_segment *s = &self->seg;
  uint32_t end = sh_pool_used_chunks(s, SH_POOL_SLOT) * sh_pool_of(s, SH_POOL_SLOT)->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    sh_slot *t = sh_slot_at(s, i);
    uint64_t word = sh_load_acquire(&t->word); /* (R) */
    uint32_t state = sh_word_state(word);
    if ((state != SH_TASK_READY && state != SH_TASK_WAITING) || sh_word_who(word) != class_id)
      continue;
    /* Cancelled meanwhile, it may be another call with another place: then its hint is in the ring, and this one is stale. */
    uint32_t caller = sh_peek(&t->submitter), order = sh_peek(&t->order);
    if (caller >= SH_MAX_CLIENTS || !was_taken(s, caller, class_id, order))
      continue;
    sh_ref r = {.index = i, .generation = sh_word_generation(word)};
    if (!add(all, (lost_call){.hint = sh_ref_pack(r), .caller = caller, .order = order}))
      return false;
    if (state == SH_TASK_WAITING)
      make_ready(t, word);
  }
  return true;
}

bool sh_actor_recover(sh_self *self) {
  uint32_t class_id = sh_load32_relaxed(&self->me->x_class);
  lost_calls all = {0};
  bool done = sh_load32_relaxed(&sh_class_at(&self->seg, class_id)->x_incarnation) == 0;
  if (!done && find(self, class_id, &all)) {
    if (all.n)
      qsort(all.calls, all.n, sizeof *all.calls, compare);
    done = true;
    for (uint32_t i = 0; done && i < all.n; i++) {
      sh_stall *q = sh_stall_of(self, all.calls[i].caller);
      done = q && sh_stall_push(q, all.calls[i].hint);
      if (done)
        q->runnable = true;
    }
  }
  free(all.calls);
  self->recovered = done;
  return done;
}
