/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking at the whole segment: figures for the daemon, validity for tests. */
#include "node/repair.h"
#include "node/seat.h"

static uint32_t live_records(const sh_segment *s, uint32_t pool) {
  const sh_pool *p = sh_pool_of(s, pool);
  uint32_t n = 0, end = sh_pool_used_chunks(s, pool) * p->chunk_records;
  for (uint32_t i = 0; i < end; i++)
    n += sh_word_state(sh_load_relaxed(sh_pool_word(s, p, i))) != SH_FREE;
  return n;
}

static void add_bytes(void *context, uint64_t loc, uint64_t tag, uint64_t bytes) {
  (void)loc;
  if (sh_tag_kind_of(tag) != SH_TAG_RING)
    *(uint64_t *)context += bytes;
}

void sh_repair_stats(sh_repair *d, sh_stats *out) {
  pthread_mutex_lock(&d->lock);
  const sh_segment *s = &d->seg;
  (void)sh_counts_read(&d->counts);
  *out = (sh_stats){.repairs = d->repairs, .sweeps = d->sweeps, .quarantined = d->quarantined};
  out->live_entries = live_records(s, SH_POOL_ENTRY);
  out->live_slots = live_records(s, SH_POOL_SLOT);
  out->live_waiters = live_records(s, SH_POOL_WAITER);
  sh_heap_visit(s, SH_EVERYBODY, add_bytes, &out->live_bytes);
  uint32_t high = sh_clients_high(s);
  for (uint32_t c = 0; c < high; c++) {
    sh_client *client = sh_client_at(s, c);
    out->claimed_bytes += sh_load_relaxed(&client->x_claimed_store) + sh_load_relaxed(&client->x_claimed_records);
    out->submitted += sh_load_relaxed(&client->x_submitted);
    out->completed += sh_load_relaxed(&client->x_completed);
    out->busy_ns += sh_load_relaxed(&client->x_busy_ns);
    out->parks += sh_load_relaxed(&client->x_parks);
    out->log_events += sh_load_relaxed(&client->x_log_tail);
    out->clients += sh_load32_relaxed(&client->x_state) == SH_CLIENT_LIVE;
  }
  out->claimed_bytes += sh_heap_arenas_claimed(s) * SH_ARENA_BYTES;
  out->free_seats = sh_seats_unused(s);
  for (uint32_t i = 0; i < s->fixed.n_seats; i++)
    out->leased_seats += sh_seat_state_of(sh_load_relaxed(&sh_seats_of(s)->seat[i].word)) == SH_SEAT_LEASED;
  pthread_mutex_unlock(&d->lock);
}

static bool entries_are_valid(sh_repair *d) {
  const sh_segment *s = &d->seg;
  uint32_t end = sh_pool_used_chunks(s, SH_POOL_ENTRY) * sh_pool_of(s, SH_POOL_ENTRY)->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    sh_entry *e = sh_entry_at(s, i);
    uint64_t word = sh_load_acquire(&e->word), head = sh_load_acquire(&e->head);
    if (sh_word_state(word) != SH_ENTRY_LIVE)
      continue;
    if (!sh_head_is(head, sh_word_generation(word)))
      return false;
    if ((head & SH_HEAD_TOP_MASK) > sh_waiters_of(s).capacity)
      return false;
    uint64_t loc = sh_load_relaxed(&e->loc);
    if ((head & SH_HEAD_CLOSED) && sh_loc_in_heap(loc) &&
        (sh_load_relaxed(&e->size_flags) & SH_VALUE_SIZE_MASK) > sh_heap_capacity(s, loc))
      return false;
  }
  return true;
}

static bool slots_are_valid(sh_repair *d) {
  const sh_segment *s = &d->seg;
  uint32_t end = sh_pool_used_chunks(s, SH_POOL_SLOT) * sh_pool_of(s, SH_POOL_SLOT)->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    sh_slot *t = sh_slot_at(s, i);
    uint32_t state = sh_word_state(sh_load_acquire(&t->word));
    if (state == SH_QUARANTINED)
      continue;
    if (state > SH_TASK_LAST)
      return false;
    if (state >= SH_TASK_READY && (sh_slot_class(t) >= SH_MAX_CLASSES || sh_load32_relaxed(&t->x_cursor) > t->n_deps))
      return false;
  }
  return true;
}

bool sh_repair_is_valid(sh_repair *d) {
  pthread_mutex_lock(&d->lock);
  bool valid = entries_are_valid(d) && slots_are_valid(d) && sh_heap_is_valid(&d->seg);
  for (uint32_t i = 0; valid && i < d->seg.fixed.n_seats; i++)
    valid = sh_seat_client(sh_load_relaxed(&sh_seats_of(&d->seg)->seat[i].word)) < SH_MAX_CLIENTS;
  pthread_mutex_unlock(&d->lock);
  return valid;
}
