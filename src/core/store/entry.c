/* SPDX-License-Identifier: Apache-2.0 */
#include "store/entry.h"

sh_entry *sh_entry_checked(const sh_segment *s, sh_ref r) {
  if (r.index >= sh_pool_capacity(sh_pool_of(s, SH_POOL_ENTRY)))
    return NULL;
  sh_entry *e = sh_entry_at(s, r.index);
  uint64_t word = sh_load_acquire(&e->word);
  return sh_word_state(word) == SH_ENTRY_LIVE && sh_word_generation(word) == r.generation ? e : NULL;
}

void sh_entry_open(sh_entry *e, uint64_t building_word, const sh_entry_birth *birth) {
  uint32_t generation = sh_word_generation(building_word);
  e->id_lo = birth->id.lo;
  e->id_hi = birth->id.hi;
  e->number = birth->number;
  sh_store_relaxed(&e->producer, birth->producer);
  sh_store_relaxed(&e->loc, birth->loc);
  sh_store_relaxed(&e->size_flags, birth->size_flags);
  sh_store32_relaxed(&e->x_owner_flags, 0);
  /* (C) like sh_entry_close: a born-closed head is an acquire away from its value. */
  sh_store_release(&e->head, ((uint64_t)generation << 32) | (birth->closed ? SH_HEAD_CLOSED : 0U));
  /* (E) publishes the record; pairs with the acquire in sh_entry_checked. Killed before: the sweep frees BUILDING. */
  sh_store_release(&e->word, sh_word(generation, SH_ENTRY_LIVE, sh_word_who(building_word), 0));
}

uint64_t sh_entry_close(sh_entry *e, uint32_t generation) {
  uint64_t head = sh_load_acquire(&e->head);
  while (sh_head_is(head, generation)) {
    if (head & SH_HEAD_CLOSED)
      return head;
    if (sh_cas(&e->head, &head, head | SH_HEAD_CLOSED)) /* (C) */
      return head;
  }
  return 0;
}

bool sh_entry_drop(sh_entry *e, uint32_t generation) {
  uint64_t head = sh_load_acquire(&e->head);
  while (sh_head_is(head, generation)) {
    if (head & SH_HEAD_DROPPED)
      return (head & SH_HEAD_CLOSED) != 0;
    if (sh_cas(&e->head, &head, head | SH_HEAD_DROPPED))
      return (head & SH_HEAD_CLOSED) != 0;
  }
  return false;
}

uint8_t *sh_entry_bytes(const sh_segment *s, sh_entry *e) {
  uint64_t loc = sh_load_relaxed(&e->loc);
  if (sh_loc_kind_of(loc) == SH_LOC_INLINE)
    return e->inline_bytes;
  return sh_loc_in_heap(loc) ? sh_heap_at(s, loc) : NULL;
}

void sh_entry_unfill(const sh_segment *s, sh_heap *h, uint32_t client, sh_ref r) {
  sh_entry *e = sh_entry_at(s, r.index);
  uint64_t loc = sh_load_relaxed(&e->loc);
  if (sh_loc_in_heap(loc))
    (void)sh_heap_free(s, h, client, loc, sh_tag(SH_TAG_ENTRY, r));
  sh_store_relaxed(&e->loc, SH_LOC_NONE);
  sh_store_relaxed(&e->size_flags, 0);
}

bool sh_entry_release(const sh_segment *s, sh_heap *h, sh_magazine *m, uint32_t client, sh_ref r) {
  sh_entry *e = sh_entry_at(s, r.index);
  uint64_t word = sh_load_acquire(&e->word);
  if (sh_word_generation(word) != r.generation || sh_word_state(word) != SH_ENTRY_LIVE)
    return false;
  uint64_t loc = sh_load_relaxed(&e->loc);
  if (sh_loc_in_heap(loc))
    (void)sh_heap_free(s, h, client, loc,
                       sh_tag(SH_TAG_ENTRY, r)); /* payload first: a kill here leaves a LIVE entry to redo */
  return sh_pool_free(s, SH_POOL_ENTRY, m, client, r.index, word);
}
