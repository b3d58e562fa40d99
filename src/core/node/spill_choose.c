/* SPDX-License-Identifier: Apache-2.0
 *
 * What to spill, and what to read ahead. One look at the heap finds out of each arena, and of each chunk of blocks, whether all
 * of it could go and when it was last used; a second one collects what lies in the chosen ones. */
#include "node/known.h"
#include "node/look.h"
#include "node/repair.h"

#include <string.h>

#define AGES 256U     /* classes of age: eight to each doubling */
#define PEEK_HINTS 8U /* tasks at the head of each ring whose arguments are read ahead */
#define PEEK_ROWS 64U /* arguments of one task */

typedef struct look {
  sh_repair *d;
  uint32_t now;
  uint64_t chunk_bytes[AGES]; /* of chunks that could be emptied, by age */
  sh_victim *out;
  uint32_t n, max;
} look;

static uint32_t age_class(uint32_t age) {
  if (age < 8U)
    return age;
  uint32_t octave = 31U - (uint32_t)__builtin_clz(age);
  return (octave - 2U) * 8U + ((age >> (octave - 3U)) & 7U);
}

static sh_use *chunk_use(const sh_repair *d, uint64_t loc) {
  uint32_t c = (uint32_t)(loc >> 4) & 15U;
  return &d->spill.chunks[c][(uint32_t)(loc >> 8) / sh_pool_of(&d->seg, SH_POOL_BLOCK + c)->chunk_records];
}

static void arenas_of(uint64_t loc, uint64_t bytes, uint32_t *first, uint32_t *last) {
  *first = (uint32_t)((loc >> 8) / SH_ARENA_UNITS);
  *last = (uint32_t)(((loc >> 8) + bytes / SH_UNIT_BYTES - 1U) / SH_ARENA_UNITS);
}

static bool may_go(const look *l, uint64_t loc, uint64_t tag) {
  sh_ref r = sh_tag_ref(tag);
  return sh_tag_kind_of(tag) == SH_TAG_ENTRY && sh_spill_may_go(l->d, r, loc) &&
         !sh_spill_is_pinned(&l->d->seg, r.index);
}

static void note(sh_use *use, uint64_t bytes, bool goes, uint32_t used) {
  use->stuck |= !goes;
  if (use->bytes == 0 || (int32_t)(used - use->used) > 0)
    use->used = used;
  use->bytes += bytes;
}

static void survey(void *context, uint64_t loc, uint64_t tag, uint64_t bytes) {
  look *l = context;
  const sh_segment *s = &l->d->seg;
  bool goes = may_go(l, loc, tag);
  uint32_t used = goes ? sh_load32_relaxed(&sh_entry_at(s, sh_tag_ref(tag).index)->x_used) : l->now;
  if (sh_loc_kind_of(loc) == SH_LOC_BLOCK) {
    note(chunk_use(l->d, loc), bytes, goes, used);
    return;
  }
  uint32_t a, last;
  for (arenas_of(loc, bytes, &a, &last); a <= last && a < s->fixed.n_arenas; a++)
    note(&l->d->spill.arenas[a], bytes, goes, used);
}

static void begin_survey(look *l) {
  sh_repair *d = l->d;
  const sh_arena *arenas = sh_region(&d->seg, SH_REGION_ARENAS);
  for (uint32_t a = 0; a < d->seg.fixed.n_arenas; a++) /* ACTIVE: somebody allocates there just now */
    d->spill.arenas[a] = (sh_use){.stuck = (sh_load_acquire(&arenas[a].x_word) & SH_ARENA_ACTIVE) != 0};
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++)
    memset(d->spill.chunks[c], 0, sh_pool_used_chunks(&d->seg, SH_POOL_BLOCK + c) * sizeof(sh_use));
  sh_heap_visit(&d->seg, SH_EVERYBODY, survey, l);
}

/* Call fn for each chunk that is in use; its bytes are those of the whole chunk. */
static void each_chunk(look *l, void (*fn)(look *l, sh_use *use, uint64_t bytes, void *context), void *context) {
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++) {
    const sh_pool *p = sh_pool_of(&l->d->seg, SH_POOL_BLOCK + c);
    uint32_t chunks = sh_pool_used_chunks(&l->d->seg, SH_POOL_BLOCK + c);
    for (uint32_t chunk = 0; chunk < chunks; chunk++) {
      sh_use *use = &l->d->spill.chunks[c][chunk];
      if (use->bytes && !use->stuck && !use->chosen)
        fn(l, use, (uint64_t)p->chunk_records * p->record_bytes, context);
    }
  }
}

static void count_chunk(look *l, sh_use *use, uint64_t bytes, void *context) {
  (void)context;
  l->chunk_bytes[age_class(l->now - use->used)] += bytes;
}

/* The youngest age class of the oldest chunks that make up `bytes`; 0 if there are not so many. */
static uint32_t chunks_age(const look *l, uint64_t bytes) {
  uint64_t found = 0;
  for (uint32_t age = AGES - 1U; age > 0; age--)
    if ((found += l->chunk_bytes[age]) >= bytes)
      return age;
  return 0;
}

typedef struct wish {
  uint64_t bytes, found;
  uint32_t age; /* class: of this and older ones */
} wish;

static void choose_chunk(look *l, sh_use *use, uint64_t bytes, void *context) {
  wish *w = context;
  uint32_t age = age_class(l->now - use->used);
  if (age < w->age || w->found >= w->bytes)
    return;
  use->chosen = true;
  l->chunk_bytes[age] -= bytes < l->chunk_bytes[age] ? bytes : l->chunk_bytes[age];
  w->found += bytes;
}

/* -> bytes of the chosen ones: `bytes` or a little more, if there are so many. */
static uint64_t choose_chunks(look *l, uint64_t bytes) {
  wish w = {.bytes = bytes, .age = chunks_age(l, bytes)};
  each_chunk(l, choose_chunk, &w);
  return w.found;
}

static uint64_t spare_budget(const sh_repair *d) {
  uint64_t limit = sh_store_limit(&d->seg), used = sh_store_claimed(&d->seg);
  return limit > used ? limit - used : 0;
}

static bool is_unpaid(const sh_repair *d, uint32_t arena) {
  const sh_arena *arenas = sh_region(&d->seg, SH_REGION_ARENAS);
  return sh_arena_owner(sh_load_relaxed(&arenas[arena].x_word)) == 0;
}

/* Arenas for whoever looks: empty ones that are paid for, which pass on, and as many of the others as there is budget for. */
static uint32_t count_free(const sh_repair *d) {
  uint32_t n = 0, affordable = (uint32_t)(spare_budget(d) / SH_ARENA_BYTES);
  for (uint32_t a = 0; a < d->seg.fixed.n_arenas; a++) {
    if (d->spill.arenas[a].bytes || d->spill.arenas[a].stuck)
      continue;
    bool unpaid = is_unpaid(d, a);
    n += !unpaid || affordable > 0;
    affordable -= unpaid && affordable > 0;
  }
  return n;
}

/* The arena that was used longest ago. NULL: none is left that could be emptied. */
static sh_use *oldest_arena(const look *l) {
  sh_use *best = NULL;
  for (uint32_t a = 0; a < l->d->seg.fixed.n_arenas; a++) {
    sh_use *use = &l->d->spill.arenas[a];
    if (use->bytes && !use->stuck && !use->chosen && (!best || l->now - use->used > l->now - best->used))
      best = use;
  }
  return best;
}

/* `need` neighbours that are empty or could be, the set whose youngest was used longest ago, among those that `budget` bytes
 * can pay for. n_arenas: there are none. */
static uint32_t oldest_window(const look *l, uint32_t need, uint64_t budget, uint32_t *n_unpaid) {
  const sh_use *arenas = l->d->spill.arenas;
  uint32_t n = l->d->seg.fixed.n_arenas, best = n, best_age = 0;
  for (uint32_t first = 0; first + need <= n; first++) {
    uint32_t age = UINT32_MAX, a = first, unpaid = 0;
    for (; a < first + need && !arenas[a].stuck; a++) {
      unpaid += is_unpaid(l->d, a);
      if (arenas[a].bytes && l->now - arenas[a].used < age)
        age = l->now - arenas[a].used;
    }
    if (a < first + need) {
      first = a; /* a stuck one: no window has it */
      continue;
    }
    if (unpaid * SH_ARENA_BYTES <= budget && (best == n || age > best_age)) {
      best = first;
      best_age = age;
      *n_unpaid = unpaid;
    }
  }
  return best;
}

/* One piece of several arenas. True: there is such a piece. */
static bool choose_window(look *l, uint64_t largest) {
  uint32_t need = (uint32_t)((largest + SH_ARENA_BYTES - 1U) / SH_ARENA_BYTES), n_unpaid = 0;
  uint64_t spare = spare_budget(l->d), chunks = 0;
  for (uint32_t age = 0; age < AGES; age++)
    chunks += l->chunk_bytes[age];
  uint32_t first = oldest_window(l, need, spare + chunks, &n_unpaid);
  if (first == l->d->seg.fixed.n_arenas)
    return false;
  for (uint32_t a = first; a < first + need; a++)
    l->d->spill.arenas[a].chosen = l->d->spill.arenas[a].bytes != 0;
  if (n_unpaid * SH_ARENA_BYTES > spare)
    (void)choose_chunks(l, n_unpaid * SH_ARENA_BYTES - spare);
  return true;
}

/* Arenas, or as many chunks, whichever were used longer ago, until `total` bytes are found. -> bytes found. */
static uint64_t choose_oldest(look *l, uint64_t total, uint64_t group) {
  uint64_t found = 0;
  while (found < total) {
    sh_use *arena = oldest_arena(l);
    uint32_t chunks = chunks_age(l, group);
    if (arena && age_class(l->now - arena->used) >= chunks) {
      arena->chosen = true;
      found += SH_ARENA_BYTES;
    } else {
      uint64_t bytes = choose_chunks(l, group);
      if (bytes == 0)
        break;
      found += bytes;
    }
  }
  return found;
}

static void choose_whatever(look *l, sh_use *use) {
  (void)l;
  use->chosen = use->bytes != 0;
}

static void refuse_unlinked(void *context, uint64_t loc, uint64_t tag, uint64_t bytes) {
  look *l = context;
  if (sh_loc_kind_of(loc) != SH_LOC_RUN)
    return;
  const sh_entry *e = sh_tag_kind_of(tag) == SH_TAG_ENTRY ? sh_entry_checked(&l->d->seg, sh_tag_ref(tag)) : NULL;
  uint32_t a, last;
  for (arenas_of(loc, bytes, &a, &last); a <= last && a < l->d->seg.fixed.n_arenas; a++)
    l->d->spill.arenas[a].stuck |= !e || sh_load_relaxed(&e->loc) != loc;
}

/* Something in use lies in each arena, and whoever needs room may own none: a few large arguments of a few tasks do that to a
 * small store. The daemon owns what came back from disk; it passes one such arena on, without what is on its way. */
static bool pass_on(look *l, uint64_t largest) {
  sh_repair *d = l->d;
  for (uint32_t a = 0; a < d->seg.fixed.n_arenas; a++)
    d->spill.arenas[a].stuck = false;
  sh_heap_visit(&d->seg, 0, refuse_unlinked, l);
  for (uint32_t a = 0; a < d->seg.fixed.n_arenas; a++)
    if (!d->spill.arenas[a].stuck && sh_heap_offer(&d->seg, 0, a, largest))
      return true;
  return false;
}

/* Nothing can be emptied: single objects, which is of use to the owners of what they lie in. */
static void choose_all(look *l) {
  for (uint32_t a = 0; a < l->d->seg.fixed.n_arenas; a++)
    choose_whatever(l, &l->d->spill.arenas[a]);
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++)
    for (uint32_t chunk = 0; chunk < sh_pool_used_chunks(&l->d->seg, SH_POOL_BLOCK + c); chunk++)
      choose_whatever(l, &l->d->spill.chunks[c][chunk]);
}

static void collect(void *context, uint64_t loc, uint64_t tag, uint64_t bytes) {
  look *l = context;
  bool chosen = false;
  if (sh_loc_kind_of(loc) == SH_LOC_BLOCK) {
    chosen = chunk_use(l->d, loc)->chosen;
  } else {
    uint32_t a, last;
    for (arenas_of(loc, bytes, &a, &last); a <= last && a < l->d->seg.fixed.n_arenas; a++)
      chosen |= l->d->spill.arenas[a].chosen;
  }
  if (!chosen || l->n == l->max || !may_go(l, loc, tag))
    return;
  sh_ref r = sh_tag_ref(tag);
  l->out[l->n++] = (sh_victim){
      .ref = r,
      .bytes = sh_load_relaxed(&sh_entry_at(&l->d->seg, r.index)->size_flags) & SH_VALUE_SIZE_MASK,
      .place = sh_spill_place(&l->d->spill, r),
  };
}

uint32_t sh_spill_choose(sh_repair *d, uint64_t largest, uint64_t total, sh_victim *out, uint32_t max, bool *has_room) {
  pthread_mutex_lock(&d->lock);
  look l = {.d = d, .out = out, .max = max, .now = sh_load32_relaxed(&d->seg.header->x_clock)};
  begin_survey(&l);
  each_chunk(&l, count_chunk, NULL);
  if (largest > SH_ARENA_BYTES) {
    *has_room = choose_window(&l, largest);
  } else if (largest > SH_BLOCK_MAX) {
    uint64_t have = count_free(d) * SH_ARENA_BYTES;
    *has_room = have > 0;
    if (have < total && choose_oldest(&l, total - have, SH_ARENA_BYTES) == 0 && have == 0) {
      *has_room = pass_on(&l, largest);
      choose_all(&l);
    }
  } else {
    *has_room = spare_budget(d) >= total + SH_BLOCK_MAX * 16U; /* a chunk, of whatever class */
    if (!*has_room && choose_oldest(&l, total, 1U) == 0)
      choose_all(&l);
  }
  sh_heap_visit(&d->seg, SH_EVERYBODY, collect, &l);
  pthread_mutex_unlock(&d->lock);
  return l.n;
}

/* Add the arguments of `slot` that are away. It may become another's while we look: what comes of it is no more than a hint. */
static uint32_t add_arguments(sh_repair *d, sh_ref slot, sh_ref *out, uint32_t n, uint32_t max) {
  if (slot.index >= sh_pool_capacity(sh_pool_of(&d->seg, SH_POOL_SLOT)))
    return n;
  sh_slot *t = sh_slot_at(&d->seg, slot.index);
  uint64_t word = sh_load_acquire(&t->word);
  if (sh_word_generation(word) != slot.generation || sh_word_state(word) != SH_TASK_READY)
    return n;
  sh_call_view call;
  (void)sh_look_at_call(&d->seg, t, &call);
  uint32_t n_deps = sh_peek(&t->n_deps);
  for (uint32_t i = 0; i < call.n_rows && i < n_deps && i < PEEK_ROWS && n < max; i++) {
    sh_ref r = sh_look_at_row(&call.rows[i]);
    sh_entry *e = sh_entry_checked(&d->seg, r);
    if (e && sh_load_relaxed(&e->loc) == sh_loc_spilled(r.generation))
      out[n++] = r;
  }
  return n;
}

uint32_t sh_spill_next(sh_repair *d, sh_ref *out, uint32_t max) {
  uint32_t n = 0;
  pthread_mutex_lock(&d->lock);
  sh_ring_memory memory = sh_self_ring_memory(&d->self);
  for (uint32_t class_id = 0; class_id < d->classes_high && n < max; class_id++) {
    if (sh_word_state(sh_known_class(d, class_id)->word) != SH_CLASS_LIVE ||
        !sh_class_has_bits(&d->seg, sh_class_at(&d->seg, class_id)))
      continue;
    for (uint32_t client = 0; client < d->clients_high; client++) {
      sh_ring *ring = sh_ring_named(&d->seg, client, class_id);
      uint64_t hint;
      for (uint32_t i = 0; ring && i < PEEK_HINTS && sh_ring_peek(ring, &memory, i, &hint); i++)
        n = add_arguments(d, sh_ref_unpack(hint), out, n, max);
    }
  }
  pthread_mutex_unlock(&d->lock);
  return n;
}
