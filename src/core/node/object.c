/* SPDX-License-Identifier: Apache-2.0 */
#include "node/object.h"

#include "node/idle.h"
#include "node/refs.h"
#include "node/stream.h"
#include "node/task.h"

#include <string.h>

sh_status sh_put_begin(sh_self *self, uint64_t bytes, sh_put *put) {
  uint32_t index;
  uint64_t word;
  if (bytes > SH_VALUE_SIZE_MASK)
    return SH_FULL;
  sh_status status = sh_self_alloc(self, SH_POOL_ENTRY, &index, &word);
  if (status != SH_OK)
    return status;
  put->ref = (sh_ref){.index = index, .generation = sh_word_generation(word)};
  put->word = word;
  put->bytes = bytes;
  if (bytes <= SH_INLINE_BYTES) {
    put->loc = SH_LOC_INLINE;
    put->data = sh_entry_at(&self->seg, index)->inline_bytes;
    return SH_OK;
  }
  status = sh_self_room(self, sh_tag(SH_TAG_ENTRY, put->ref), bytes, &put->loc);
  if (status != SH_OK) {
    (void)sh_pool_free(&self->seg, SH_POOL_ENTRY, &self->mags[SH_POOL_ENTRY], self->index, index, word);
    return status;
  }
  put->data = sh_heap_at(&self->seg, put->loc);
  sh_entry_touch(&self->seg, sh_entry_at(&self->seg, index));
  return SH_OK;
}

void sh_put_commit(sh_self *self, sh_put *put, uint64_t flags) {
  sh_put_commit_as(self, put, flags, self->task_id, SH_NUMBER_PUT | self->put_counter++);
}

void sh_put_commit_as(sh_self *self, sh_put *put, uint64_t flags, sh_id128 id, uint32_t number) {
  sh_entry_birth birth = {
      .id = id,
      .number = number,
      .closed = true,
      .loc = put->loc,
      .size_flags = put->bytes | flags | SH_VALUE_NO_LINEAGE,
  };
  sh_entry_open(sh_entry_at(&self->seg, put->ref.index), put->word, &birth);
  sh_ref_own(self, put->ref);
  if (flags & SH_VALUE_HAS_REFS) {
    sh_ref_share(self, put->ref);
    sh_log_append(self, SH_LOG_CONTAINS, put->ref);
  }
}

void sh_put_abort(sh_self *self, sh_put *put) {
  if (sh_loc_in_heap(put->loc))
    sh_heap_give_back(&self->seg, &self->heap, self->index, put->loc, sh_tag(SH_TAG_ENTRY, put->ref));
  (void)sh_pool_free(&self->seg, SH_POOL_ENTRY, &self->mags[SH_POOL_ENTRY], self->index, put->ref.index, put->word);
}

sh_status sh_fill(sh_self *self, sh_ref r, uint64_t bytes, uint64_t flags, uint8_t **data) {
  sh_entry *e = sh_entry_checked(&self->seg, r);
  if (!e)
    return SH_LOST;
  if (sh_load_relaxed(&e->loc) != SH_LOC_NONE)
    sh_entry_unfill(&self->seg, &self->heap, self->index, r);
  uint64_t loc = SH_LOC_INLINE;
  if (bytes > SH_INLINE_BYTES) {
    sh_status status = sh_self_room(self, sh_tag(SH_TAG_ENTRY, r), bytes, &loc);
    if (status != SH_OK)
      return status;
    *data = sh_heap_at(&self->seg, loc);
    sh_entry_touch(&self->seg, e);
  } else {
    *data = e->inline_bytes;
  }
  sh_store_relaxed(&e->loc, loc);
  sh_store_relaxed(&e->size_flags, bytes | flags);
  return SH_OK;
}

void sh_fill_system_error(sh_segment *s, sh_ref r, const sh_system_error *error) {
  _Static_assert(sizeof(sh_payload) + sizeof(sh_system_error) <= SH_INLINE_BYTES, "system errors are inline");
  sh_entry *e = sh_entry_checked(s, r);
  if (!e)
    return;
  sh_payload p = {.version = SH_PAYLOAD_VERSION,
                  .flags = SH_PAYLOAD_ERROR | SH_PAYLOAD_SYSTEM_ERROR,
                  .inband_bytes = sizeof *error};
  memcpy(e->inline_bytes, &p, sizeof p);
  memcpy(e->inline_bytes + sizeof p, error, sizeof *error);
  sh_store_relaxed(&e->loc, SH_LOC_INLINE);
  sh_store_relaxed(&e->size_flags, (sizeof p + sizeof *error) | SH_VALUE_ERROR);
}

/* Idempotent: a task that was delivered before is hinted again at worst, a client is told again. */
static void deliver(void *context, uint32_t index, const sh_waiter *w) {
  sh_self *self = context;
  uint32_t target = sh_load32_relaxed(&w->target);
  if (sh_load32_relaxed(&w->kind) == SH_WAITS_TASK) {
    sh_task_deliver(self, target, sh_load_relaxed(&w->expect));
    return;
  }
  if (target >= SH_MAX_CLIENTS)
    return;
  sh_fetch_or(sh_fired_word(&self->seg, index), 1ULL << (index % 64U));
  sh_wake_client(&self->seg, target);
}

void sh_serve_waiters(sh_self *self, sh_ref r) {
  sh_entry *e = sh_entry_at(&self->seg, r.index);
  uint64_t head = sh_load_acquire(&e->head);
  if (!sh_head_is(head, r.generation) || !(head & SH_HEAD_CLOSED) || !(head & SH_HEAD_TOP_MASK))
    return;
  sh_waiters ws = sh_waiters_of(&self->seg);
  sh_waiter_walk(ws, head, sh_ref_pack(r), deliver, self);
  uint32_t at = sh_waiter_detach(&e->head, r.generation);
  for (sh_waiter_path path = {0}; sh_waiter_goes_on(&path, at, ws.capacity);) {
    uint32_t index = at - 1U;
    at = sh_load32_relaxed(&ws.records[index].next); /* before it is freed */
    uint64_t word = sh_load_relaxed(&ws.records[index].word);
    if (sh_word_state(word) == SH_WAITER_LIVE && sh_load_relaxed(&ws.records[index].promise) == sh_ref_pack(r))
      (void)sh_pool_free(&self->seg, SH_POOL_WAITER, &self->mags[SH_POOL_WAITER], self->index, index, word);
  }
}

static void release_one(sh_self *self, sh_ref r) {
  sh_entry *e = sh_entry_at(&self->seg, r.index);
  /* (S) The daemon may be bringing spilled bytes back: it frees what it moves. */
  bool away = sh_loc_kind_of(sh_load_seqcst(&e->loc)) == SH_LOC_SPILLED;
  if ((sh_load_relaxed(&e->size_flags) & SH_VALUE_HAS_REFS) || sh_entry_is_actor(e) || away)
    sh_log_append(self, SH_LOG_FREE, r);
  else
    (void)sh_entry_release(&self->seg, &self->heap, &self->mags[SH_POOL_ENTRY], self->index, r);
}

void sh_object_release(sh_self *self, sh_ref r) {
  for (bool more = true; more;) {
    sh_ref next = r;
    sh_serve_waiters(self, r);
    more = sh_entry_is_item(sh_entry_at(&self->seg, r.index)) && sh_stream_cut(self, r, &next);
    release_one(self, r);
    r = next;
  }
}

void sh_seal(sh_self *self, sh_ref r) {
  if (r.index >= sh_pool_capacity(sh_pool_of(&self->seg, SH_POOL_ENTRY)))
    return; /* damaged */
  sh_entry *e = sh_entry_at(&self->seg, r.index);
  bool is_error = sh_load_relaxed(&e->size_flags) & SH_VALUE_ERROR; /* before others may free it */
  uint64_t head = sh_entry_close(e, r.generation);
  if (head == 0)
    return;
  if (is_error)
    sh_tell_of_error(&self->seg);
  if (head & SH_HEAD_DROPPED)
    sh_object_release(self, r);
  else if (head & SH_HEAD_TOP_MASK)
    sh_serve_waiters(self, r);
}

uint8_t *sh_object_look(sh_self *self, sh_ref r) {
  sh_entry *e = sh_entry_at(&self->seg, r.index);
  uint64_t loc = sh_load_seqcst(&e->loc); /* (S) after the pin, which was set before */
  if (sh_loc_kind_of(loc) == SH_LOC_INLINE)
    return e->inline_bytes;
  if (!sh_loc_in_heap(loc))
    return NULL;
  sh_entry_touch(&self->seg, e);
  return sh_heap_at(&self->seg, loc);
}
