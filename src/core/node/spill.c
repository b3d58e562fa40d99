/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies on disk, and the steps by which bytes leave memory and come back. What to spill is chosen in spill_choose.c. */
#include "node/spill.h"

#include "base/grow.h"
#include "base/os.h"
#include "node/repair.h"

#include <stdlib.h>
#include <string.h>

static uint32_t n_entries(const sh_segment *s) {
  return sh_pool_capacity(sh_pool_of(s, SH_POOL_ENTRY));
}

static uint64_t chunks_bytes(const sh_segment *s, uint32_t block_class) {
  return sh_pool_of(s, SH_POOL_BLOCK + block_class)->n_chunks * sizeof(sh_use);
}

sh_status sh_spill_open(sh_spill *spill, const sh_segment *s) {
  memset(spill, 0, sizeof *spill);
  void *copy_of = NULL;
  if (sh_os_reserve((uint64_t)n_entries(s) * sizeof(uint32_t), &copy_of) != 0)
    return SH_OS;
  spill->copy_of = copy_of;
  spill->arenas = calloc(s->fixed.n_arenas, sizeof *spill->arenas);
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++) {
    void *chunks = NULL;
    if (sh_os_reserve(chunks_bytes(s, c), &chunks) != 0)
      return SH_OS;
    spill->chunks[c] = chunks;
  }
  return spill->arenas ? SH_OK : SH_OS;
}

void sh_spill_close(sh_spill *spill, const sh_segment *s) {
  for (uint32_t i = 0; i < spill->n_copies; i++)
    free(spill->copies[i].rows);
  free(spill->copies);
  free(spill->arenas);
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++)
    sh_os_unmap(spill->chunks[c], chunks_bytes(s, c));
  sh_os_unmap(spill->copy_of, (uint64_t)n_entries(s) * sizeof(uint32_t));
  memset(spill, 0, sizeof *spill);
}

/* -- copies -- */

static sh_disk_copy *copy_at(const sh_spill *spill, sh_ref r) {
  uint32_t named = spill->copy_of[r.index];
  sh_disk_copy *copy = named ? &spill->copies[named - 1U] : NULL;
  return copy && copy->ref.generation == r.generation ? copy : NULL;
}

uint32_t sh_spill_rows(const sh_spill *spill, sh_ref r, const sh_row **rows) {
  const sh_disk_copy *copy = copy_at(spill, r);
  *rows = copy ? copy->rows : NULL;
  return copy ? copy->n_rows : 0;
}

static sh_disk_copy *new_copy(sh_spill *spill) {
  if (spill->unused) {
    sh_disk_copy *copy = &spill->copies[spill->unused - 1U];
    spill->unused = copy->next_unused;
    return copy;
  }
  if (!SH_HAS_ROOM(spill->copies, spill->n_copies, spill->cap_copies, 1024U))
    return NULL;
  return &spill->copies[spill->n_copies++];
}

static void set_away(sh_spill *spill, sh_disk_copy *copy, uint64_t bytes) {
  spill->n_away += (bytes != 0) - (uint64_t)(copy->away_bytes != 0);
  spill->bytes_away += bytes - copy->away_bytes;
  copy->away_bytes = bytes;
}

static uint64_t drop_copy(sh_spill *spill, sh_disk_copy *copy) {
  uint32_t number = (uint32_t)(copy - spill->copies) + 1U;
  uint64_t place = copy->place;
  set_away(spill, copy, 0);
  if (spill->copy_of[copy->ref.index] == number)
    spill->copy_of[copy->ref.index] = 0;
  free(copy->rows);
  *copy = (sh_disk_copy){.next_unused = spill->unused};
  spill->unused = number;
  spill->n_live--;
  return place;
}

static bool is_away(sh_entry *e, sh_ref r) {
  return e && sh_load_relaxed(&e->loc) == sh_loc_spilled(r.generation);
}

/* (S) Away and still wanted: see spill.h about owners. */
static bool may_come(sh_entry *e, sh_ref r) {
  return is_away(e, r) && !(sh_load_seqcst(&e->head) & SH_HEAD_DROPPED);
}

static uint64_t size_of(sh_entry *e) {
  return sh_load_relaxed(&e->size_flags) & SH_VALUE_SIZE_MASK;
}

uint64_t sh_spill_place(const sh_spill *spill, sh_ref r) {
  const sh_disk_copy *copy = copy_at(spill, r);
  return copy ? copy->place : 0;
}

bool sh_spill_may_go(sh_repair *d, sh_ref r, uint64_t loc) {
  sh_entry *e = sh_entry_checked(&d->seg, r);
  if (!e || sh_load_relaxed(&e->loc) != loc || sh_entry_is_actor(e))
    return false;
  uint64_t head = sh_load_acquire(&e->head), size = sh_load_relaxed(&e->size_flags);
  return sh_head_is(head, r.generation) && (head & SH_HEAD_CLOSED) && !(head & SH_HEAD_DROPPED) &&
         sh_loc_in_heap(loc) && (size & SH_VALUE_SIZE_MASK) <= sh_heap_capacity(&d->seg, loc) &&
         (!(size & SH_VALUE_HAS_REFS) || sh_counts_knows(&d->counts, r));
}

const uint8_t *sh_spill_bytes(sh_repair *d, sh_ref r, uint64_t *bytes) {
  pthread_mutex_lock(&d->lock);
  const uint8_t *data = NULL;
  sh_entry *e = sh_entry_checked(&d->seg, r);
  uint64_t loc = e ? sh_load_relaxed(&e->loc) : 0;
  if (e && sh_spill_may_go(d, r, loc)) {
    data = sh_heap_at(&d->seg, loc);
    *bytes = size_of(e);
  }
  pthread_mutex_unlock(&d->lock);
  return data;
}

static sh_status record_copy(sh_repair *d, sh_ref r, uint64_t place) {
  sh_entry *e = sh_entry_checked(&d->seg, r);
  uint64_t loc = e ? sh_load_relaxed(&e->loc) : 0;
  /* (G) what was copied, then the tag: the bytes were this object's all the time. */
  if (!e || !sh_spill_may_go(d, r, loc) || copy_at(&d->spill, r) ||
      !sh_heap_holds(&d->seg, loc, sh_tag(SH_TAG_ENTRY, r)))
    return SH_LOST;
  const sh_row *rows = NULL;
  uint32_t n_rows = sh_counts_rows(&d->counts, r, &rows);
  sh_row *kept = n_rows ? malloc(n_rows * sizeof *kept) : NULL;
  sh_disk_copy *copy = n_rows && !kept ? NULL : new_copy(&d->spill);
  if (!copy) {
    free(kept);
    return SH_FULL;
  }
  if (n_rows)
    memcpy(kept, rows, n_rows * sizeof *kept);
  *copy = (sh_disk_copy){.ref = r, .place = place, .rows = kept, .n_rows = n_rows};
  d->spill.copy_of[r.index] = (uint32_t)(copy - d->spill.copies) + 1U;
  d->spill.n_live++;
  return SH_OK;
}

sh_status sh_spill_written(sh_repair *d, sh_ref r, uint64_t place) {
  if (r.index >= n_entries(&d->seg) || place == 0)
    return SH_LOST;
  pthread_mutex_lock(&d->lock);
  sh_status status = record_copy(d, r, place);
  pthread_mutex_unlock(&d->lock);
  return status;
}

uint64_t sh_spill_forget(sh_repair *d, sh_ref r) {
  pthread_mutex_lock(&d->lock);
  uint64_t place = 0;
  sh_disk_copy *copy = r.index < n_entries(&d->seg) ? copy_at(&d->spill, r) : NULL;
  sh_entry *e = sh_entry_checked(&d->seg, r);
  if (copy && e && !is_away(e, r)) /* of one that is gone sh_spill_gone takes care, and of what it left in memory */
    place = drop_copy(&d->spill, copy);
  pthread_mutex_unlock(&d->lock);
  return place;
}

uint32_t sh_spill_gone(sh_repair *d, uint64_t *places, uint32_t max, uint32_t looks) {
  uint32_t n = 0;
  pthread_mutex_lock(&d->lock);
  sh_spill *spill = &d->spill;
  for (uint32_t left = looks < spill->n_copies ? looks : spill->n_copies; left > 0 && n < max; left--) {
    if (spill->cursor >= spill->n_copies)
      spill->cursor = 0;
    sh_disk_copy *copy = &spill->copies[spill->cursor++];
    if (copy->ref.generation == 0 || sh_entry_checked(&d->seg, copy->ref))
      continue;
    if (copy->loc)
      (void)sh_heap_free(&d->seg, &d->self.heap, 0, copy->loc, sh_tag(SH_TAG_ENTRY, copy->ref));
    places[n++] = drop_copy(spill, copy);
  }
  pthread_mutex_unlock(&d->lock);
  return n;
}

/* -- out -- */

bool sh_spill_is_pinned(const sh_segment *s, uint32_t entry) {
  uint32_t high = sh_clients_high(s);
  for (uint32_t c = 1; c < high; c++)
    if (sh_load_seqcst(sh_pins_word(s, c, entry)) & (1ULL << (entry % 64U)))
      return true;
  return false;
}

static sh_status evict(sh_repair *d, sh_ref r) {
  sh_segment *s = &d->seg;
  sh_entry *e = sh_entry_checked(s, r);
  sh_disk_copy *copy = copy_at(&d->spill, r);
  uint64_t loc = e ? sh_load_relaxed(&e->loc) : 0, seen = loc;
  uint64_t tag = sh_tag(SH_TAG_ENTRY, r), moving = sh_tag(SH_TAG_MOVING, r);
  if (!e || !copy || !sh_spill_may_go(d, r, loc) || !sh_heap_seize(s, loc, tag, moving))
    return SH_LOST;
  if (sh_cas(&e->loc, &seen, sh_loc_spilled(r.generation))) {
    if (sh_spill_is_pinned(s, r.index)) { /* (S) */
      seen = sh_loc_spilled(r.generation);
      (void)sh_cas(&e->loc, &seen, loc);
      copy->loc = loc;
      (void)sh_heap_seize(s, loc, moving, tag);
      return SH_AGAIN;
    }
    copy->loc = 0;
    set_away(&d->spill, copy, size_of(e));
  } /* else it was freed and its record used again: nobody points to these bytes any more */
  (void)sh_heap_free(s, &d->self.heap, 0, loc, moving);
  return SH_OK;
}

sh_status sh_spill_evict(sh_repair *d, sh_ref r) {
  if (r.index >= n_entries(&d->seg))
    return SH_LOST;
  pthread_mutex_lock(&d->lock);
  sh_status status = evict(d, r);
  pthread_mutex_unlock(&d->lock);
  return status;
}

static uint64_t return_chunks(sh_repair *d, uint64_t bytes) {
  sh_ref nobody = {.index = 0, .generation = 0};
  uint64_t given = 0;
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++) {
    const sh_pool *p = sh_pool_of(&d->seg, SH_POOL_BLOCK + c);
    uint32_t chunks = sh_pool_used_chunks(&d->seg, SH_POOL_BLOCK + c);
    for (uint32_t chunk = 0; chunk < chunks && given < bytes; chunk++)
      if (sh_pool_return_chunk(&d->seg, SH_POOL_BLOCK + c, chunk, sh_tag(SH_TAG_MOVING, nobody)))
        given += (uint64_t)p->chunk_records * p->record_bytes;
  }
  sh_bump(&d->self.me->x_claimed_store, 0U - given); /* whoever claimed it has counted it: the sum is what matters */
  return given;
}

uint64_t sh_spill_trim(sh_repair *d, uint64_t largest, uint64_t bytes) {
  pthread_mutex_lock(&d->lock);
  if (largest > SH_BLOCK_MAX) /* it takes whole arenas */
    bytes = (bytes + SH_ARENA_BYTES - 1U) / SH_ARENA_BYTES * SH_ARENA_BYTES;
  uint64_t given = return_chunks(d, bytes);
  if (largest <= SH_BLOCK_MAX && given < bytes) {
    uint32_t arenas = (uint32_t)((bytes - given + SH_ARENA_BYTES - 1U) / SH_ARENA_BYTES);
    given += sh_heap_trim(&d->seg, 0, arenas) * SH_ARENA_BYTES;
  }
  pthread_mutex_unlock(&d->lock);
  return given;
}

/* -- back -- */

static sh_status begin_restore(sh_repair *d, sh_ref r, sh_restore *out) {
  sh_entry *e = sh_entry_checked(&d->seg, r);
  sh_disk_copy *copy = copy_at(&d->spill, r);
  if (e && !is_away(e, r))
    return SH_EMPTY;
  if (!may_come(e, r) || !copy)
    return SH_LOST;
  if (copy->coming)
    return SH_AGAIN;
  out->ref = r;
  out->bytes = size_of(e);
  out->place = copy->place;
  sh_status status = sh_heap_alloc(&d->seg, &d->self.heap, 0, sh_tag(SH_TAG_ENTRY, r), out->bytes, sh_budget_store,
                                   &d->self, &out->loc);
  copy->coming = status == SH_OK;
  out->data = status == SH_OK ? sh_heap_at(&d->seg, out->loc) : NULL;
  return status;
}

sh_status sh_restore_begin(sh_repair *d, sh_ref r, sh_restore *out) {
  if (r.index >= n_entries(&d->seg))
    return SH_LOST;
  pthread_mutex_lock(&d->lock);
  sh_status status = begin_restore(d, r, out);
  pthread_mutex_unlock(&d->lock);
  return status;
}

static void end_restore(sh_repair *d, const sh_restore *restore) {
  sh_disk_copy *copy = copy_at(&d->spill, restore->ref);
  if (copy)
    copy->coming = false;
  (void)sh_heap_free(&d->seg, &d->self.heap, 0, restore->loc, sh_tag(SH_TAG_ENTRY, restore->ref));
}

void sh_restore_abort(sh_repair *d, const sh_restore *restore) {
  pthread_mutex_lock(&d->lock);
  end_restore(d, restore);
  pthread_mutex_unlock(&d->lock);
}

sh_status sh_restore_commit(sh_repair *d, const sh_restore *restore) {
  pthread_mutex_lock(&d->lock);
  sh_status status = SH_LOST;
  sh_entry *e = sh_entry_checked(&d->seg, restore->ref);
  sh_disk_copy *copy = copy_at(&d->spill, restore->ref);
  if (may_come(e, restore->ref) && copy) {
    copy->coming = false;
    copy->loc = restore->loc;
    set_away(&d->spill, copy, 0);
    sh_entry_touch(&d->seg, e);
    sh_store_seqcst(&e->loc, restore->loc); /* (S) the bytes, then where they are */
    status = SH_OK;
  } else {
    end_restore(d, restore);
  }
  pthread_mutex_unlock(&d->lock);
  return status;
}

/* -- who waits -- */

void sh_spill_shortage(sh_repair *d, sh_shortage *out) {
  *out = (sh_shortage){0};
  uint32_t high = sh_clients_high(&d->seg);
  for (uint32_t c = 1; c < high; c++) {
    const sh_client *client = sh_client_at(&d->seg, c);
    uint64_t wanted = sh_load_acquire(&client->x_room_wanted);
    if (wanted == 0 || sh_load32_relaxed(&client->x_state) != SH_CLIENT_LIVE)
      continue;
    out->n_waiting++;
    out->total += wanted;
    out->largest = wanted > out->largest ? wanted : out->largest;
  }
}

void sh_spill_wake(sh_repair *d) {
  uint32_t high = sh_clients_high(&d->seg);
  for (uint32_t c = 1; c < high; c++)
    if (sh_load_acquire(&sh_client_at(&d->seg, c)->x_room_wanted) != 0)
      (void)sh_park_wake(&sh_client_at(&d->seg, c)->park);
}
