/* SPDX-License-Identifier: Apache-2.0 */
#include "node/stream.h"

#include "node/look.h"
#include "node/object.h"
#include "node/refs.h"
#include "node/task.h"

/* Where the slot keeps the tail; NULL: damaged. */
static sh_a64 *tail_word(const sh_segment *s, sh_slot *t) {
  uint8_t *spec = sh_slot_spec(s, t);
  if (!spec || !(t->flags & SH_SLOT_STREAM) || t->n_returns != SH_STREAM_DONE + 1U)
    return NULL;
  return (sh_a64 *)(void *)(spec + SH_STREAM_TAIL * sizeof(sh_a64));
}

static sh_ref tail_of(const sh_segment *s, uint32_t slot) {
  const sh_a64 *word = tail_word(s, sh_slot_at(s, slot));
  return sh_ref_unpack(word ? sh_load_relaxed(word) : 0);
}

static uint32_t count_of(const sh_entry *e) {
  return e->number & ~SH_NUMBER_ITEM;
}

static bool is_open(const sh_entry *e, uint32_t generation) {
  uint64_t head = sh_load_acquire(&e->head);
  return sh_head_is(head, generation) && !(head & (SH_HEAD_CLOSED | SH_HEAD_DROPPED));
}

void sh_stream_unlink(const sh_segment *s, uint32_t entry) {
  sh_link *link = sh_link_of(s, entry);
  sh_store_relaxed(&link->next, 0);
  sh_store_relaxed(&link->permit, 0);
}

uint32_t sh_stream_delivered(const sh_self *self, uint32_t slot) {
  sh_entry *e = sh_entry_checked(&self->seg, tail_of(&self->seg, slot));
  return e ? count_of(e) : 0;
}

bool sh_stream_is_wanted(const sh_self *self, uint32_t slot) {
  sh_ref tail = tail_of(&self->seg, slot);
  sh_entry *e = sh_entry_checked(&self->seg, tail);
  uint64_t word = sh_load_relaxed(&sh_slot_at(&self->seg, slot)->word);
  return e && is_open(e, tail.generation) && sh_word_state(word) == SH_TASK_RUNNING;
}

/* What item `e` leads to, if that is an item of the same stream; else generation 0: nothing, or damaged. */
static sh_ref next_of(const sh_segment *s, const sh_entry *e, uint32_t index) {
  sh_ref next = sh_ref_unpack(sh_load_relaxed(&sh_link_of(s, index)->next));
  const sh_entry *n = next.generation ? sh_entry_checked(s, next) : NULL;
  bool same = n && sh_entry_is_item(n) && n->id_lo == e->id_lo && n->id_hi == e->id_hi && n != e;
  return same ? next : (sh_ref){0};
}

/* The promise that a link names, if it is there and nobody has resolved it. */
static bool is_pending(const sh_segment *s, uint64_t packed) {
  sh_ref r = sh_ref_unpack(packed);
  sh_entry *e = packed ? sh_entry_checked(s, r) : NULL;
  return e && is_open(e, r.generation);
}

/* It lies in a chunk of ours: the sweep of its owner must look there. */
static void tell_owner(const sh_segment *s, uint32_t owner, uint32_t index) {
  uint32_t chunk = index / sh_pool_of(s, SH_POOL_ENTRY)->chunk_records;
  sh_a64 *word = sh_given_word(s, owner % SH_MAX_CLIENTS, chunk);
  uint64_t bit = 1ULL << (chunk % 64U);
  if (!(sh_load_relaxed(word) & bit))
    sh_fetch_or(word, bit);
}

/* A promise beside item `e`, named by `link` before it is LIVE: so a sweep finds it whatever happens. */
static sh_status make(sh_self *self, const sh_entry *e, uint32_t number, uint32_t owner, sh_a64 *link, sh_ref *out) {
  uint32_t index;
  uint64_t word;
  sh_status status = sh_self_alloc(self, SH_POOL_ENTRY, &index, &word);
  if (status != SH_OK)
    return status;
  *out = (sh_ref){.index = index, .generation = sh_word_generation(word)};
  sh_stream_unlink(&self->seg, index);
  tell_owner(&self->seg, owner, index);
  /* (C) Read by who finds the item closed. */
  sh_store_relaxed(link, sh_ref_pack(*out));
  sh_entry_birth birth = {
      .id = {.lo = e->id_lo, .hi = e->id_hi}, .number = number, .producer = sh_load_relaxed(&e->producer)};
  sh_entry_open(sh_entry_at(&self->seg, index), sh_word(out->generation, SH_BUILDING, owner, 0), &birth);
  return SH_OK;
}

sh_status sh_stream_begin(sh_self *self, uint32_t slot, sh_ref *permit) {
  const sh_segment *s = &self->seg;
  sh_ref tail = tail_of(s, slot), next;
  sh_status status = SH_OK;
  if (!sh_stream_is_wanted(self, slot))
    return SH_EMPTY;
  sh_link *link = sh_link_of(s, tail.index);
  const sh_entry *e = sh_entry_at(s, tail.index);
  if (count_of(e) >= SH_STREAM_MOST)
    return SH_INVALID;
  *permit = sh_ref_unpack(sh_load_relaxed(&link->permit));
  if (sh_slot_at(s, slot)->ahead && !is_pending(s, sh_ref_pack(*permit))) {
    status = make(self, e, SH_NUMBER_PERMIT | count_of(e), self->index, &link->permit, permit);
    if (status != SH_OK)
      return status;
    sh_ref_own(self, *permit);
  }
  if (!is_pending(s, sh_load_relaxed(&link->next)))
    status =
        make(self, e, SH_NUMBER_ITEM | (count_of(e) + 1U), sh_word_who(sh_load_relaxed(&e->word)), &link->next, &next);
  return status;
}

void sh_stream_seal(sh_self *self, uint32_t slot) {
  const sh_segment *s = &self->seg;
  sh_a64 *word = tail_word(s, sh_slot_at(s, slot));
  sh_ref tail = tail_of(s, slot);
  if (!sh_entry_checked(s, tail))
    return;                                                          /* damaged */
  uint64_t next = sh_load_relaxed(&sh_link_of(s, tail.index)->next); /* before others may free it */
  sh_seal(self, tail);
  /* After its waiters were served: a sweep seals again what the task names as its tail. */
  sh_store_release(word, next);
}

void sh_stream_withdraw(sh_self *self, uint32_t slot) {
  const sh_segment *s = &self->seg;
  sh_ref tail = tail_of(s, slot);
  sh_entry *e = sh_entry_checked(s, tail);
  if (!e || sh_entry_is_closed(e, tail.generation))
    return;
  sh_link *link = sh_link_of(s, tail.index);
  uint64_t next = sh_load_relaxed(&link->next), permit = sh_load_relaxed(&link->permit);
  if (is_pending(s, next))
    (void)sh_entry_release(s, &self->heap, &self->mags[SH_POOL_ENTRY], self->index, sh_ref_unpack(next));
  if (permit)
    sh_seal(self, sh_ref_unpack(permit));
  sh_stream_unlink(s, tail.index);
}

void sh_stream_fill_end(sh_self *self, uint32_t slot) {
  sh_ref tail = tail_of(&self->seg, slot);
  sh_entry *e = sh_entry_checked(&self->seg, tail);
  if (!e)
    return;
  if (sh_load_relaxed(&e->loc) != SH_LOC_NONE)
    sh_entry_unfill(&self->seg, &self->heap, self->index, tail);
  sh_store_relaxed(&e->size_flags, SH_VALUE_END);
}

sh_status sh_stream_take(sh_self *self, sh_ref r, sh_ref *next) {
  const sh_segment *s = &self->seg;
  const sh_entry *e = sh_entry_at(s, r.index);
  sh_link *link = sh_link_of(s, r.index);
  if (sh_load_relaxed(&e->size_flags) & SH_VALUE_END)
    return SH_EMPTY;
  sh_ref after = next_of(s, e, r.index);
  if (!after.generation)
    return SH_LOST;
  sh_ref_own(self, after);
  sh_store_relaxed(&link->next, 0);
  sh_ref permit = sh_ref_unpack(sh_load_relaxed(&link->permit));
  if (permit.generation)
    sh_seal(self, permit); /* named until the item is freed: killed here, who frees it does it again */
  *next = after;
  return SH_OK;
}

bool sh_stream_cut(sh_self *self, sh_ref r, sh_ref *next) {
  const sh_segment *s = &self->seg;
  sh_entry *e = sh_entry_checked(s, r);
  if (!e || !sh_entry_is_item(e))
    return false;
  *next = next_of(s, e, r.index);
  sh_ref permit = sh_ref_unpack(sh_load_relaxed(&sh_link_of(s, r.index)->permit));
  /* (G) Somebody else may be freeing it too, and its record be another item's by now: believe the link only if not. */
  sh_fence_acquire();
  if (!sh_entry_checked(s, r))
    return false;
  if (permit.generation)
    sh_seal(self, permit);
  return next->generation && sh_entry_drop(sh_entry_at(s, next->index), next->generation);
}

/* Entry `r` is an unresolved item, made by the dead client, of its running stream `t`. */
static void settle(sh_self *self, sh_slot *t, sh_ref r) {
  const sh_segment *s = &self->seg;
  sh_call_view call;
  if (!sh_look_at_call(s, t, &call) || call.n_returns != SH_STREAM_DONE + 1U)
    return; /* damaged */
  sh_a64 *word = &call.returns[SH_STREAM_TAIL];
  sh_ref named = sh_ref_unpack(sh_load_relaxed(word));
  if (named.index == r.index && named.generation == r.generation)
    return;
  sh_entry *e = sh_entry_checked(s, named);
  if (e && !sh_entry_is_closed(e, named.generation)) { /* made ahead, and led to by nothing that is closed */
    (void)sh_entry_release(s, &self->heap, &self->mags[SH_POOL_ENTRY], self->index, r);
    return;
  }
  sh_seal(self, named); /* once more: its waiters may not have been served, or it was dropped; nothing if it is gone */
  sh_store_release(word, sh_ref_pack(r));
}

void sh_stream_settle(sh_self *self, uint32_t client) {
  const sh_segment *s = &self->seg;
  const sh_pool *p = sh_pool_of(s, SH_POOL_ENTRY);
  uint32_t end = sh_pool_used_chunks(s, SH_POOL_ENTRY) * p->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    if (!sh_pool_is_of(s, p, i / p->chunk_records, client)) {
      i |= p->chunk_records - 1U;
      continue;
    }
    sh_entry *e = sh_entry_at(s, i);
    uint64_t word = sh_load_acquire(&e->word);
    bool is_permit = (e->number & ~(SH_NUMBER_PERMIT - 1U)) == SH_NUMBER_PERMIT;
    if (sh_word_state(word) != SH_ENTRY_LIVE || !(sh_entry_is_item(e) || is_permit))
      continue;
    sh_ref r = {.index = i, .generation = sh_word_generation(word)},
           task = sh_ref_unpack(sh_load_relaxed(&e->producer));
    if (!sh_slot_known(s, task.index) || sh_entry_is_closed(e, r.generation))
      continue;
    sh_slot *t = sh_slot_at(s, task.index);
    uint64_t state = sh_load_acquire(&t->word);
    bool decided = sh_word_state(state) < SH_TASK_CLAIMED || sh_task_is_over(sh_word_state(state));
    if (decided || sh_word_generation(state) != task.generation || sh_word_who(state) != client)
      continue;
    if (is_permit)
      sh_seal(self, r); /* nobody waits for it any more */
    else
      settle(self, t, r);
  }
}

void sh_stream_rest(sh_self *self, uint32_t slot) {
  const sh_segment *s = &self->seg;
  sh_slot *t = sh_slot_at(s, slot);
  sh_call_view call;
  if (!(t->flags & SH_SLOT_STREAM) || !sh_look_at_call(s, t, &call) || call.n_returns != SH_STREAM_DONE + 1U)
    return;
  sh_ref tail = sh_view_return(&call, SH_STREAM_TAIL);
  sh_entry *e = sh_entry_checked(s, tail);
  if (e && !sh_entry_is_closed(e, tail.generation))
    sh_stream_unlink(s, tail.index);
}
