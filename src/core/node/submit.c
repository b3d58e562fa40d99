/* SPDX-License-Identifier: Apache-2.0
 *
 * The submitting half of task.h. */
#include "node/children.h"
#include "node/idle.h"
#include "node/object.h"
#include "node/refs.h"
#include "node/stream.h"
#include "node/task.h"

static void undo(sh_self *self, uint32_t slot, uint64_t word, uint32_t n_returns, const sh_ref *returns) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  for (uint32_t i = 0; i < n_returns; i++) {
    self->local[returns[i].index].count = 0;
    (void)sh_entry_release(&self->seg, &self->heap, &self->mags[SH_POOL_ENTRY], self->index, returns[i]);
  }
  uint64_t loc = sh_load_relaxed(&t->loc);
  if (sh_loc_in_heap(loc)) {
    sh_ref me = {.index = slot, .generation = sh_word_generation(word)};
    sh_heap_give_back(&self->seg, &self->heap, self->index, loc, sh_tag(SH_TAG_SLOT, me));
  }
  (void)sh_pool_free(&self->seg, SH_POOL_SLOT, &self->mags[SH_POOL_SLOT], self->index, slot, word);
}

static sh_status make_returns(sh_self *self, const sh_call *call, sh_id128 id, uint64_t producer, sh_ref *returns,
                              uint32_t *made) {
  for (*made = 0; *made < call->n_returns; ++*made) {
    uint32_t index;
    uint64_t word;
    sh_status status = sh_self_alloc(self, SH_POOL_ENTRY, &index, &word);
    if (status != SH_OK)
      return status;
    bool actor = (call->flags & SH_SLOT_CREATES_ACTOR) != 0;
    bool item = (call->flags & SH_SLOT_STREAM) != 0 && *made == SH_STREAM_TAIL;
    uint32_t number = actor ? SH_NUMBER_ACTOR | call->class_id : item ? SH_NUMBER_ITEM : *made;
    sh_entry_birth birth = {.id = id, .number = number, .producer = producer};
    if (item)
      sh_stream_unlink(&self->seg, index);
    sh_entry_open(sh_entry_at(&self->seg, index), word, &birth);
    returns[*made] = (sh_ref){.index = index, .generation = sh_word_generation(word)};
    sh_ref_own(self, returns[*made]);
  }
  return SH_OK;
}

sh_status sh_submit_begin(sh_self *self, const sh_call *call, uint64_t payload_bytes, uint32_t n_deps, uint32_t *slot,
                          uint8_t **payload, sh_ref *returns) {
  uint32_t index;
  uint64_t word;
  sh_status status = sh_self_alloc(self, SH_POOL_SLOT, &index, &word);
  if (status != SH_OK)
    return status;
  sh_slot *t = sh_slot_at(&self->seg, index);
  sh_ref me = {.index = index, .generation = sh_word_generation(word)};
  uint32_t counter = self->task_counter++;
  sh_id128 id = sh_id_child(self->task_id, counter);
  sh_store32_relaxed(&t->x_class, call->class_id);
  t->submitter = (uint16_t)self->index;
  t->depth = (uint16_t)(self->depth + 1U);
  t->flags = call->flags;
  sh_store32_relaxed(&t->x_attempt, 0);
  t->max_retries = call->max_retries;
  t->counter = counter;
  t->id_lo = id.lo;
  t->id_hi = id.hi;
  t->parent_lo = self->task_id.lo;
  t->parent_hi = self->task_id.hi;
  t->fn_lo = call->fn_lo;
  t->fn_hi = call->fn_hi;
  /* A detached actor is a root of its own, and so is its creation: it does not end with the job that asked for it. */
  t->root = call->flags & SH_SLOT_CREATES_ACTOR ? sh_load32_relaxed(&sh_class_at(&self->seg, call->class_id)->root)
                                                : self->root;
  t->root_epoch = 0;
  t->n_returns = call->n_returns;
  t->n_deps = n_deps;
  t->returns = 0;
  sh_store32_relaxed(&t->x_cursor, 0);
  t->owner_node = self->seg.fixed.node_number;
  sh_store_relaxed(&t->deadline_left_ns, call->timeout_ns);
  t->rebuild_cost_ns = 0;
  t->hops = 0;
  t->commit_state = SH_COMMIT_LOCAL;
  t->priority = call->priority;
  t->ahead = call->ahead;
  sh_store8_relaxed(&t->x_pressed, 0);
  sh_store32_relaxed(&t->x_made, 0);

  uint64_t head_bytes = call->n_returns > 1U ? 8ULL * call->n_returns : 0U;
  uint64_t spec_bytes = head_bytes + payload_bytes, loc = SH_LOC_NONE;
  if (spec_bytes > SH_SPEC_INLINE)
    status = sh_self_room(self, sh_tag(SH_TAG_SLOT, me), spec_bytes, &loc);
  else if (spec_bytes)
    loc = SH_LOC_INLINE;
  sh_store_relaxed(&t->loc, loc);
  t->spec_bytes = spec_bytes;
  uint32_t made = 0;
  if (status == SH_OK)
    status = make_returns(self, call, id, sh_ref_pack(me), returns, &made);
  if (status != SH_OK) {
    undo(self, index, word, made, returns);
    return status;
  }
  uint8_t *spec = sh_slot_spec(&self->seg, t);
  if (call->n_returns == 1U) {
    t->returns = sh_ref_pack(returns[0]);
  } else {
    for (uint32_t i = 0; i < call->n_returns; i++)
      sh_store_relaxed((sh_a64 *)(void *)spec + i, sh_ref_pack(returns[i]));
  }
  *slot = index;
  *payload = payload_bytes ? spec + head_bytes : NULL;
  return SH_OK;
}

sh_status sh_task_wait(sh_self *self, uint32_t slot, uint64_t *word) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  const sh_payload *p = sh_slot_payload(&self->seg, t);
  sh_waiters ws = sh_waiters_of(&self->seg);
  for (uint32_t j = sh_load32_relaxed(&t->x_cursor); p && j < t->n_deps && j < p->n_rows; j++) {
    const sh_row *row = &sh_payload_rows(p)[j];
    sh_ref r = {.index = row->index, .generation = row->generation};
    sh_entry *e = sh_entry_checked(&self->seg, r);
    if (!e || sh_entry_is_closed(e, r.generation))
      continue; /* a vanished entry is reported by whoever loads the arguments */
    uint32_t w;
    uint64_t building;
    sh_status status = sh_self_alloc(self, SH_POOL_WAITER, &w, &building);
    if (status != SH_OK)
      return status;
    uint64_t waiting =
        sh_word(sh_word_generation(*word), SH_TASK_WAITING, sh_slot_class(t), (sh_word_tag(*word) + 1U) & 0xFFFFU);
    sh_store_relaxed(&ws.records[w].promise, sh_ref_pack(r));
    sh_store_relaxed(&ws.records[w].expect, waiting);
    sh_store32_relaxed(&ws.records[w].target, slot);
    sh_store32_relaxed(&ws.records[w].kind, SH_WAITS_TASK);
    sh_store32_relaxed(&ws.records[w].x_listed, 0);
    uint64_t live = sh_word(sh_word_generation(building), SH_WAITER_LIVE, self->index, 0);
    sh_store_release(&ws.records[w].word, live);
    sh_store32_relaxed(&t->x_cursor, j);
    /* (T) WAITING is visible before the waiter is: a delivery always finds the word it expects. Killed in between: the
     * sweep sees a WAITING task of ours in the intent word and hints it; its next claimer waits again. */
    sh_store_release(&t->word, waiting);
    status = sh_waiter_push(ws, &e->head, r.generation, w);
    if (status == SH_OK)
      return SH_OK;
    (void)sh_pool_free(&self->seg, SH_POOL_WAITER, &self->mags[SH_POOL_WAITER], self->index, w, live);
    uint64_t mine =
        sh_word(sh_word_generation(waiting), sh_word_state(*word), sh_word_who(*word), sh_word_tag(waiting));
    uint64_t seen = waiting;
    if (!sh_cas(&t->word, &seen, mine))
      return SH_OK; /* somebody decided for us meanwhile */
    *word = mine;
  }
  sh_store32_relaxed(&t->x_cursor, t->n_deps);
  return SH_EMPTY;
}

/* Hint a READY task in our ring of its class. The intent word names it until the hint is in. */
static sh_status push_hint(sh_self *self, uint32_t slot, uint32_t generation, uint32_t class_id) {
  sh_ring *ring;
  sh_status status = sh_self_ready_ring(self, class_id, &ring);
  if (status != SH_OK)
    return status;
  sh_ring_memory memory = sh_self_ring_memory(self);
  sh_ref r = {.index = slot, .generation = generation};
  bool was_empty;
  status = sh_ring_push(ring, &memory, sh_ref_pack(r), &was_empty);
  if (status != SH_OK)
    return status;
  sh_class *c = sh_class_at(&self->seg, class_id);
  uint64_t bit = 1ULL << (self->index % 64U);
  sh_a64 *bits = &c->x_bits[self->index / 64U];
  sh_fence(); /* (B) the tail, then the bit's look; against clear, then the look at the tail (claim.c) */
  if (!(sh_load_relaxed(bits) & bit))
    sh_fetch_or(bits, bit);
  if (sh_word_state(sh_load_acquire(&c->word)) ==
      SH_CLASS_CLOSED) { /* after (B)'s fence, against closing, then the scan */
    (void)sh_fetch_add32(&self->seg.header->x_orphans, 1U);
    sh_self_poke(self); /* nobody takes it: the repair thread resolves it as closed */
    return SH_OK;
  }
  if (sh_load32_relaxed(&c->kind) == SH_CLASS_ACTOR) {
    uint32_t taker = sh_load32_relaxed(&c->x_taker);
    if (taker)
      sh_wake_client(&self->seg, taker - 1U);
    return SH_OK;
  }
  sh_a64 *classes = &self->seg.header->x_task_classes[class_id / 64U];
  if (!(sh_load_relaxed(classes) & (1ULL << (class_id % 64U))))
    sh_fetch_or(classes, 1ULL << (class_id % 64U));
  if (sh_load32_relaxed(&c->kind) == SH_CLASS_LEASE) {
    if (was_empty)
      sh_self_poke(self); /* leases are the daemon's to grant: it wakes whom it gives one */
    return SH_OK;
  }
  (void)sh_wake_worker_of(&self->seg, sh_load32_relaxed(&c->crew), was_empty);
  return SH_OK;
}

void sh_task_hint(sh_self *self, uint32_t slot) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  uint64_t word = sh_load_acquire(&t->word);
  if (sh_word_state(word) != SH_TASK_READY)
    return;
  if (push_hint(self, slot, sh_word_generation(word), sh_word_who(word)) != SH_OK) {
    (void)sh_fetch_add32(&self->seg.header->x_rescan,
                         1U); /* no room for a hint: the repair thread finds it by scanning */
    sh_self_poke(self);
  }
}

void sh_task_deliver(sh_self *self, uint32_t slot, uint64_t waiting_word) {
  if (slot >= sh_pool_capacity(sh_pool_of(&self->seg, SH_POOL_SLOT)) || sh_word_state(waiting_word) != SH_TASK_WAITING)
    return;
  sh_slot *t = sh_slot_at(&self->seg, slot);
  uint64_t ready =
      sh_word(sh_word_generation(waiting_word), SH_TASK_READY, sh_word_who(waiting_word), sh_word_tag(waiting_word));
  sh_ref r = {.index = slot, .generation = sh_word_generation(waiting_word)};
  uint64_t seen = waiting_word, before = sh_load_relaxed(&self->me->op);
  sh_store_release(&self->me->op, sh_ref_pack(r)); /* (P) READY without a hint must be named somewhere */
  if (sh_cas(&t->word, &seen, ready) || seen == ready)
    sh_task_hint(self, slot);
  sh_store_release(&self->me->op, before);
}

/* The class was closed: who closed it may have looked before our task was READY. Take it back and resolve it as closed. It is
 * never RUNNING: no user code runs for which this process could be told to end it, or be killed. */
static void refuse(sh_self *self, sh_ref r) {
  sh_slot *t = sh_slot_at(&self->seg, r.index);
  uint64_t word = sh_load_acquire(&t->word);
  if (sh_word_generation(word) != r.generation || sh_word_state(word) != SH_TASK_READY)
    return;
  uint64_t mine = sh_word(r.generation, SH_TASK_CLAIMED, self->index, sh_word_tag(word));
  if (!sh_cas(&t->word, &word, mine))
    return;
  sh_system_error end = sh_class_at(&self->seg, sh_slot_class(t))->end;
  end.function = t->fn_lo;
  for (uint32_t i = 0; i < t->n_returns; i++)
    sh_fill_system_error(&self->seg, sh_slot_return(&self->seg, t, i), &end);
  (void)sh_commit(self, r.index);
}

/* Before a call is published, so that whoever ends its actor looks there: the bit, READY, then the look at the class, against
 * closing, then the look at the bits. Killed after the bit: somebody looks in vain. */
static void tell_where(sh_self *self, uint32_t slot, uint32_t class_id) {
  uint32_t chunk = slot / sh_pool_of(&self->seg, SH_POOL_SLOT)->chunk_records;
  sh_a64 *word = sh_called_word(&self->seg, class_id, chunk);
  uint64_t bit = 1ULL << (chunk % 64U);
  if (!(sh_load_relaxed(word) & bit))
    sh_fetch_or(word, bit);
}

void sh_submit_abort(sh_self *self, uint32_t slot, const sh_ref *returns) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  undo(self, slot, sh_load_relaxed(&t->word), t->n_returns, returns);
}

sh_status sh_submit_commit(sh_self *self, uint32_t slot, bool has_rows, const sh_ref *returns) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  uint64_t word = sh_load_relaxed(&t->word);
  sh_ref r = {.index = slot, .generation = sh_word_generation(word)};
  sh_ring *ring;
  sh_status status =
      sh_self_ready_ring(self, sh_slot_class(t), &ring); /* the hint cannot fail once the task is published */
  if (status != SH_OK) {
    undo(self, slot, word, t->n_returns, returns);
    return status;
  }
  if (self->parent) /* before anything that waits: then other threads would set it */
    sh_child_made(self, slot, returns);
  if (has_rows) {
    t->flags |= SH_SLOT_HAS_ROWS;
    sh_log_append(self, SH_LOG_SUB, r);
  }
  if (t->flags & SH_SLOT_ACTOR_CALL)
    tell_where(self, slot, sh_slot_class(t));
  sh_store_release(&self->me->op, sh_ref_pack(r)); /* (P) published without a hint yet: our sweep hints it */
  sh_bump(&self->me->x_submitted, 1);
  if (t->n_deps && !(t->flags & SH_SLOT_ACTOR_CALL)) { /* an actor waits itself: its calls keep their order */
    status = sh_task_wait(self, slot, &word);
    if (status == SH_OK) {
      sh_store_release(&self->me->op, 0);
      return SH_OK;
    }
  }
  t->order = (uint32_t)sh_load_relaxed(&ring->x_tail); /* nobody else pushes to it before the hint below */
  /* (R) publishes the slot; pairs with the acquire of a claimer. */
  sh_store_release(&t->word, sh_word(r.generation, SH_TASK_READY, sh_slot_class(t), sh_word_tag(word)));
  sh_task_hint(self, slot);
  sh_store_release(&self->me->op, 0);
  if (sh_word_state(sh_load_acquire(&sh_class_at(&self->seg, sh_slot_class(t))->word)) == SH_CLASS_CLOSED)
    refuse(self, r);
  return SH_OK;
}
