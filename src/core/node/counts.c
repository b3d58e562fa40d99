/* SPDX-License-Identifier: Apache-2.0 */
#include "node/counts.h"

#include "base/grow.h"
#include "base/os.h"
#include "node/children.h"
#include "node/look.h"
#include "node/object.h"
#include "node/stream.h"

#include <stdlib.h>
#include <string.h>

#define WORK_STEP 64U        /* decrements between two looks at the clock */
#define WORK_KEPT (1U << 16) /* a longer list gives its memory back once it is empty */

static uint32_t n_entries(const sh_segment *s) {
  return sh_pool_capacity(sh_pool_of(s, SH_POOL_ENTRY));
}
static uint32_t n_slots(const sh_segment *s) {
  return sh_pool_capacity(sh_pool_of(s, SH_POOL_SLOT));
}

static void later(sh_counts *c, sh_ref r) {
  if (!SH_HAS_ROOM(c->work, c->n_work, c->cap_work, 1024U))
    return; /* a leak of one object, not an error of anybody's program */
  c->work[c->n_work++] = r;
}

static sh_count *count_of(sh_counts *c, sh_ref r) {
  if (r.index >= n_entries(&c->self->seg))
    return NULL;
  sh_count *count = &c->entries[r.index];
  if (count->generation != r.generation) {
    if (!sh_entry_checked(&c->self->seg, r))
      return NULL; /* stale: its object is gone */
    *count = (sh_count){.generation = r.generation};
  }
  return count;
}

static void increment(sh_counts *c, sh_ref r) {
  sh_count *count = count_of(c, r);
  if (count)
    count->n++;
}

uint32_t sh_counts_rows(sh_counts *c, sh_ref r, const sh_row **rows) {
  sh_entry *e = sh_entry_at(&c->self->seg, r.index);
  if (sh_loc_kind_of(sh_load_relaxed(&e->loc)) == SH_LOC_SPILLED &&
      (sh_load_relaxed(&e->size_flags) & SH_VALUE_HAS_REFS))
    return c->rows_away ? c->rows_away(c->context, r, rows) : 0;
  return sh_look_at_rows(&c->self->seg, e, rows);
}

bool sh_counts_knows(sh_counts *c, sh_ref r) {
  const sh_count *count = count_of(c, r);
  return count && count->contains;
}

static uint32_t rows_of_slot(sh_counts *c, sh_slot *t, const sh_row **rows) {
  sh_call_view call;
  (void)sh_look_at_call(&c->self->seg, t, &call);
  *rows = call.rows;
  return call.n_rows;
}

static void release(sh_counts *c, sh_ref r) {
  sh_segment *s = &c->self->seg;
  sh_entry *e = sh_entry_checked(s, r);
  if (!e)
    return;
  sh_serve_waiters(c->self, r);
  sh_ref next;
  if (sh_stream_cut(c->self, r, &next))
    sh_counts_abandon(c, next);
  sh_count *count = count_of(c, r);
  const sh_row *rows = NULL;
  uint32_t n = count && count->contains ? sh_counts_rows(c, r, &rows) : 0;
  for (uint32_t i = 0; i < n; i++)
    later(c, sh_look_at_row(&rows[i]));
  if (sh_entry_is_actor(e) && c->unreferenced)
    c->unreferenced(c->context, e->number & ~SH_NUMBER_ACTOR);
  (void)sh_entry_release(s, &c->self->heap, &c->self->mags[SH_POOL_ENTRY], c->self->index, r);
}

static void decrement(sh_counts *c, sh_ref r) {
  sh_count *count = count_of(c, r);
  if (!count || --count->n > 0)
    return;
  sh_entry *e = sh_entry_checked(&c->self->seg, r);
  if (e && sh_entry_drop(e, r.generation))
    release(c, r);
}

bool sh_counts_work(sh_counts *c, uint64_t budget_ns) {
  uint64_t start = budget_ns == SH_COUNTS_ALL || c->n_work == 0 ? 0 : sh_os_now_ns();
  while (c->n_work) {
    for (uint32_t i = 0; i < WORK_STEP && c->n_work; i++)
      decrement(c, c->work[--c->n_work]);
    if (budget_ns != SH_COUNTS_ALL && sh_os_now_ns() - start >= budget_ns)
      break;
  }
  if (c->n_work == 0 && c->cap_work > WORK_KEPT) {
    free(c->work);
    c->work = NULL;
    c->cap_work = 0;
  }
  return c->n_work != 0;
}

void sh_counts_abandon(sh_counts *c, sh_ref r) {
  increment(c, r); /* the list's own unit */
  later(c, r);
}

static void sink(void *context, sh_log_kind kind, sh_ref r) {
  if (kind == SH_LOG_FREE)
    release(context, r);
}

sh_status sh_counts_open(sh_counts *c, sh_self *self) {
  memset(c, 0, sizeof *c);
  c->self = self;
  void *entries = NULL, *submitted = NULL;
  if (sh_os_reserve((uint64_t)n_entries(&self->seg) * sizeof(sh_count), &entries) != 0)
    return SH_OS;
  c->entries = entries;
  if (sh_os_reserve((uint64_t)n_slots(&self->seg) * sizeof(uint32_t), &submitted) != 0)
    return SH_OS;
  c->submitted = submitted;
  c->increments = calloc(SH_MAX_CLIENTS, sizeof *c->increments);
  c->decrements = calloc(SH_MAX_CLIENTS, sizeof *c->decrements);
  c->holds = calloc(SH_MAX_CLIENTS, sizeof *c->holds);
  self->log_sink = sink;
  self->log_context = c;
  return c->increments && c->decrements && c->holds ? SH_OK : SH_OS;
}

void sh_counts_close(sh_counts *c) {
  if (!c->self)
    return;
  sh_os_unmap(c->entries, (uint64_t)n_entries(&c->self->seg) * sizeof(sh_count));
  sh_os_unmap(c->submitted, (uint64_t)n_slots(&c->self->seg) * sizeof(uint32_t));
  for (uint32_t i = 0; c->holds && i < SH_MAX_CLIENTS; i++)
    sh_table_destroy(&c->holds[i]);
  free(c->holds);
  free(c->increments);
  free(c->decrements);
  free(c->work);
  free(c->kept);
  memset(c, 0, sizeof *c);
}

static void count_increment(sh_counts *c, uint32_t client, uint64_t event) {
  sh_segment *s = &c->self->seg;
  sh_ref r = sh_log_ref(event);
  const sh_row *rows = NULL;
  uint32_t n;
  switch (sh_log_kind_of(event)) {
  case SH_LOG_HOLD:
    increment(c, r);
    (void)sh_table_add(&c->holds[client], sh_ref_pack(r), 1);
    return;
  case SH_LOG_KEEP:
    sh_counts_keep(c, r);
    return;
  case SH_LOG_SUB:
    if (r.index >= n_slots(s))
      return;
    n = rows_of_slot(c, sh_slot_at(s, r.index), &rows);
    c->submitted[r.index] = r.generation;
    break;
  case SH_LOG_CONTAINS: {
    sh_count *count = count_of(c, r);
    if (!count || count->contains)
      return;
    count->contains = 1;
    n = sh_counts_rows(c, r, &rows);
    break;
  }
  default:
    return;
  }
  for (uint32_t i = 0; i < n; i++)
    increment(c, sh_look_at_row(&rows[i]));
}

static void count_decrement(sh_counts *c, uint32_t client, uint64_t event) {
  sh_segment *s = &c->self->seg;
  sh_ref r = sh_log_ref(event);
  switch (sh_log_kind_of(event)) {
  case SH_LOG_DROP:
    (void)sh_table_add(&c->holds[client], sh_ref_pack(r), -1);
    later(c, r);
    break;
  case SH_LOG_DONE:
    if (r.index < n_slots(s) && c->submitted[r.index] == r.generation)
      sh_counts_done(c, r.index, sh_load_acquire(&sh_slot_at(s, r.index)->word));
    break;
  case SH_LOG_FREE:
    release(c, r);
    break;
  default:
    break;
  }
}

uint64_t sh_counts_read(sh_counts *c) {
  static const uint32_t high_limit = SH_MAX_CLIENTS;
  sh_segment *s = &c->self->seg;
  uint32_t high = sh_clients_high(s);
  uint64_t first[SH_MAX_CLIENTS], events = 0;
  if (high > high_limit)
    high = high_limit;
  for (uint32_t i = 0; i < high; i++)
    first[i] = sh_load_acquire(&sh_client_at(s, i)->x_log_tail); /* (L) S1 */
  sh_fence();                                                    /* every S1 load before every S2 load */
  for (uint32_t i = 0; i < high; i++) {
    uint64_t second = sh_load_acquire(&sh_client_at(s, i)->x_log_tail); /* (L) S2 */
    uint64_t from = c->increments[i];
    if (second - from > SH_LOG_CELLS) { /* a damaged tail: count nothing of it */
      second = from;
      if (c->damaged)
        c->damaged(c->context, i);
    }
    for (uint64_t at = from; at < second; at++)
      count_increment(c, i, sh_load_relaxed(sh_log_cell(s, i, at)));
    events += second - from;
    c->increments[i] = second;
  }
  for (uint32_t i = 0; i < high; i++) {
    sh_client *client = sh_client_at(s, i);
    uint64_t from = c->decrements[i], to = first[i] < c->increments[i] ? first[i] : c->increments[i];
    if (from >= to)
      continue;
    bool was_full = to - from >= SH_LOG_CELLS - SH_LOG_CELLS / 8U;
    for (uint64_t at = from; at < to; at++)
      count_decrement(c, i, sh_load_relaxed(sh_log_cell(s, i, at)));
    c->decrements[i] = to;
    sh_store_release(&client->x_log_counted, to); /* the cells may be reused now */
    if (was_full)
      (void)sh_park_wake(&client->park);
  }
  return events;
}

bool sh_counts_hold(sh_counts *c, sh_ref r) {
  sh_entry *e = sh_entry_checked(&c->self->seg, r);
  if (!e || (sh_load_acquire(&e->head) & SH_HEAD_DROPPED))
    return false; /* gone, or on its way */
  increment(c, r);
  return true;
}

void sh_counts_drop(sh_counts *c, sh_ref r) {
  later(c, r);
}

bool sh_counts_hold_for(sh_counts *c, uint32_t client, sh_ref r) {
  if (!sh_counts_hold(c, r))
    return false;
  if (sh_table_add(&c->holds[client], sh_ref_pack(r), 1))
    return true;
  count_of(c, r)->n--; /* as it was: nobody would drop it */
  return false;
}

void sh_counts_done(sh_counts *c, uint32_t slot, uint64_t word) {
  sh_segment *s = &c->self->seg;
  sh_slot *t = sh_slot_at(s, slot);
  sh_ref r = {.index = slot, .generation = sh_word_generation(word)};
  if (c->submitted[slot] == r.generation) {
    c->submitted[slot] = 0;
    const sh_row *rows = NULL;
    uint32_t n = rows_of_slot(c, t, &rows);
    for (uint32_t i = 0; i < n; i++)
      later(c, sh_look_at_row(&rows[i]));
  }
  uint64_t loc = sh_load_relaxed(&t->loc);
  if (sh_loc_in_heap(loc))
    (void)sh_heap_free(s, &c->self->heap, c->self->index, loc, sh_tag(SH_TAG_SLOT, r));
  (void)sh_pool_free(s, SH_POOL_SLOT, &c->self->mags[SH_POOL_SLOT], c->self->index, slot, word);
}

void sh_counts_unfill(sh_counts *c, sh_ref r) {
  sh_count *count = count_of(c, r);
  if (count && count->contains) {
    const sh_row *rows = NULL;
    uint32_t n = sh_counts_rows(c, r, &rows);
    count->contains = 0;
    for (uint32_t i = 0; i < n; i++)
      later(c, sh_look_at_row(&rows[i]));
  }
  if (sh_entry_checked(&c->self->seg, r))
    sh_entry_unfill(&c->self->seg, &c->self->heap, c->self->index, r);
}

void sh_counts_keep(sh_counts *c, sh_ref r) {
  const sh_origin *o = sh_origin_of(&c->self->seg, r);
  sh_count *count = o ? count_of(c, r) : NULL;
  if (!count || count->kept)
    return;
  if (!SH_HAS_ROOM(c->kept, c->n_kept, c->cap_kept, 64U))
    return; /* the next attempt makes that call again */
  c->kept[c->n_kept++] = (sh_kept){.parent = o->parent, .r = r};
  count->kept = 1;
  count->n++;
}

void sh_counts_settle(sh_counts *c) {
  const sh_segment *s = &c->self->seg;
  uint32_t n = 0;
  for (uint32_t i = 0; i < c->n_kept; i++) {
    sh_kept k = c->kept[i];
    sh_ref task = sh_ref_unpack(k.parent);
    uint64_t word = sh_slot_known(s, task.index) ? sh_load_acquire(&sh_slot_at(s, task.index)->word) : 0;
    if (sh_word_generation(word) == task.generation && sh_word_state(word) != SH_FREE &&
        sh_word_state(word) != SH_QUARANTINED) {
      c->kept[n++] = k;
      continue;
    }
    sh_count *count = count_of(c, k.r);
    if (count)
      count->kept = 0;
    later(c, k.r);
  }
  c->n_kept = n;
}

void sh_counts_forget(sh_counts *c, uint32_t client) {
  sh_table *t = &c->holds[client];
  for (uint32_t i = 0; i < t->cap; i++)
    for (int32_t n = t->counts[i]; n > 0; n--)
      later(c, sh_ref_unpack(t->keys[i]));
  sh_table_destroy(t);
}
