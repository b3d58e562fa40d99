/* SPDX-License-Identifier: Apache-2.0 */
#include "store/heap.h"

#include "base/check.h"
#include "base/grow.h"
#include "base/os.h"

#include <stdlib.h>

static sh_arena *arena_at(const sh_segment *s, uint32_t arena) {
  return (sh_arena *)sh_region(s, SH_REGION_ARENAS) + arena;
}
static sh_a64 *unit_at(const sh_segment *s, uint64_t unit) {
  return (sh_a64 *)sh_region(s, SH_REGION_UNITS) + unit;
}
static sh_a32 *len_at(const sh_segment *s, uint64_t unit) {
  return (sh_a32 *)sh_region(s, SH_REGION_UNIT_LENS) + unit;
}
static uint64_t n_units(const sh_segment *s) {
  return (uint64_t)s->fixed.n_arenas * SH_ARENA_UNITS;
}
static uint32_t block_class(uint64_t bytes) {
  uint32_t c = 0;
  while (((uint64_t)SH_BLOCK_MIN << c) < bytes)
    c++;
  return c;
}

/* Units at the start of `arena` that a run from an earlier arena still covers. */
static uint32_t covered_units(const sh_segment *s, uint32_t arena) {
  uint32_t by = sh_load32_relaxed(&arena_at(s, arena)->x_covered_by);
  if (by == 0)
    return 0;
  uint64_t first = by - 1U;
  if (first >= n_units(s) || sh_load_acquire(unit_at(s, first)) == 0)
    return 0;
  /* (H) It may be the length of the next run there already. Then the acquire brings the free of the one before, so that who
   * allocates behind it comes after its last user. */
  uint64_t end = first + sh_load32_acquire(len_at(s, first));
  uint64_t base = (uint64_t)arena * SH_ARENA_UNITS;
  if (end <= base)
    return 0;
  return end - base < SH_ARENA_UNITS ? (uint32_t)(end - base) : SH_ARENA_UNITS;
}

/* Units to pass over at a run: at least one, and no further than the arena's end, whatever its length says. */
static uint32_t run_length(const sh_segment *s, uint64_t unit) {
  uint32_t len = sh_load32_relaxed(len_at(s, unit));
  return len == 0 ? 1U : len < SH_ARENA_UNITS ? len : SH_ARENA_UNITS;
}

/* First fit for `units` in an own arena; SH_ARENA_UNITS when there is none. */
static uint32_t find_gap(const sh_segment *s, uint32_t arena, uint32_t units) {
  uint64_t base = (uint64_t)arena * SH_ARENA_UNITS;
  uint32_t i = covered_units(s, arena), gap = 0;
  while (i < SH_ARENA_UNITS) {
    if (sh_load_acquire(unit_at(s, base + i)) != 0) {
      i += run_length(s, base + i);
      gap = 0;
      continue;
    }
    i++;
    if (++gap == units)
      return i - units;
  }
  return SH_ARENA_UNITS;
}

static bool remember_arena(sh_heap *h, uint32_t arena) {
  if (!SH_HAS_ROOM(h->arenas, h->n_arenas, h->cap_arenas, 8U))
    return false;
  h->arenas[h->n_arenas++] = (struct sh_own_arena){.arena = arena};
  return true;
}

static uint64_t arena_word(uint32_t owner, uint64_t active, uint64_t before) {
  return (uint64_t)owner | active | (((before >> 32) + 1U) << 32);
}

/* Make an own arena ACTIVE. False when somebody has taken it over. */
static bool enter_arena(const sh_segment *s, uint32_t arena, uint32_t client) {
  sh_a64 *word = &arena_at(s, arena)->x_word;
  uint64_t seen = sh_load_acquire(word);
  return sh_arena_owner(seen) == client + 1U && sh_cas(word, &seen, arena_word(client + 1U, SH_ARENA_ACTIVE, seen));
}

static void leave_arena(const sh_segment *s, uint32_t arena, uint32_t client) {
  sh_a64 *word = &arena_at(s, arena)->x_word;
  sh_store_release(word, arena_word(client + 1U, 0, sh_load_relaxed(word)));
}

/* Become the owner of an unowned arena, or of one that is wholly free while nobody allocates in it. It is ACTIVE then. */
static bool claim_arena(const sh_segment *s, sh_heap *h, uint32_t arena, uint32_t client, bool take_over,
                        sh_budget_fn budget, void *context) {
  sh_a64 *word = &arena_at(s, arena)->x_word;
  uint64_t seen = sh_load_acquire(word);
  uint32_t owner = sh_arena_owner(seen);
  bool passes_on = owner == SH_ARENA_RELEASED || (take_over && owner != client + 1U && !(seen & SH_ARENA_ACTIVE) &&
                                                  find_gap(s, arena, SH_ARENA_UNITS) == 0);
  if (owner == 0 ? budget && !budget(context, 0) : !passes_on)
    return false;
  if (!remember_arena(h, arena))
    return false;
  /* (A) after the look: an allocation in between has changed the sequence number. */
  if (sh_cas(word, &seen, arena_word(client + 1U, SH_ARENA_ACTIVE, seen)))
    return true;
  h->n_arenas--;
  return false;
}

/* Publish a run. The length is visible to whoever sees the word. */
static uint64_t place(const sh_segment *s, uint64_t unit, uint32_t units, uint64_t tag) {
  sh_store32_release(len_at(s, unit), units); /* (H) pairs with the acquire in covered_units */
  sh_store_release(unit_at(s, unit), tag);    /* (H) pairs with the acquire loads of unit words */
  sh_fence_release();                         /* (G) the tag, then the bytes; as in sh_pool_alloc */
  return (uint64_t)SH_LOC_RUN | (unit << 8);
}

static bool run_in(const sh_segment *s, struct sh_own_arena *own, uint32_t units, uint64_t tag, uint64_t *loc) {
  uint32_t frees = sh_load32_acquire(&arena_at(s, own->arena)->x_frees);
  if (own->failed_units && own->failed_units <= units && own->seen_frees == frees)
    return false;
  uint32_t at = find_gap(s, own->arena, units);
  if (at == SH_ARENA_UNITS) {
    own->failed_units = units;
    own->seen_frees = frees;
    return false;
  }
  *loc = place(s, (uint64_t)own->arena * SH_ARENA_UNITS + at, units, tag);
  return true;
}

/* A run in an arena that this client has just claimed. */
static bool run_in_last(const sh_segment *s, sh_heap *h, uint32_t client, uint32_t units, uint64_t tag, uint64_t *loc) {
  h->cursor = h->n_arenas - 1U;
  struct sh_own_arena *own = &h->arenas[h->cursor];
  bool found = run_in(s, own, units, tag, loc); /* an adopted arena may be full */
  leave_arena(s, own->arena, client);
  return found;
}

static sh_status small_run(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t tag, uint32_t units,
                           sh_budget_fn budget, void *context, uint64_t *loc) {
  for (uint32_t left = h->n_arenas; left > 0; left--) {
    if (h->cursor >= h->n_arenas)
      h->cursor = 0;
    struct sh_own_arena *own = &h->arenas[h->cursor];
    if (!enter_arena(s, own->arena, client)) {
      *own = h->arenas[--h->n_arenas]; /* taken over while it was empty */
      continue;
    }
    bool found = run_in(s, own, units, tag, loc);
    leave_arena(s, own->arena, client);
    if (found)
      return SH_OK;
    h->cursor++;
  }
  for (uint32_t take_over = 0; take_over <= 1U; take_over++)
    for (uint32_t arena = 0; arena < s->fixed.n_arenas; arena++)
      if (claim_arena(s, h, arena, client, take_over != 0, budget, context) &&
          run_in_last(s, h, client, units, tag, loc))
        return SH_OK;
  return SH_FULL;
}

/* Make `arena` ACTIVE if it is ours; forget it if it was, and somebody has taken it over. */
static bool enter_own(const sh_segment *s, sh_heap *h, uint32_t arena, uint32_t client) {
  for (uint32_t i = 0; i < h->n_arenas; i++) {
    if (h->arenas[i].arena != arena)
      continue;
    if (enter_arena(s, arena, client))
      return true;
    h->arenas[i] = h->arenas[--h->n_arenas];
    return false;
  }
  return false;
}

/* A run over consecutive arenas, each wholly free: ours, claimable, or to be taken over. All of them are ACTIVE until it is
 * placed. */
static sh_status large_run(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t tag, uint32_t units,
                           sh_budget_fn budget, void *context, uint64_t *loc) {
  uint32_t need = (units + SH_ARENA_UNITS - 1U) / SH_ARENA_UNITS, have = 0;
  for (uint32_t arena = 0; arena < s->fixed.n_arenas; arena++) {
    bool ours = enter_own(s, h, arena, client) || claim_arena(s, h, arena, client, true, budget, context);
    bool usable = ours && find_gap(s, arena, SH_ARENA_UNITS) == 0;
    if (ours && !usable)
      leave_arena(s, arena, client);
    for (; !usable && have > 0; have--)
      leave_arena(s, arena - have, client);
    if (!usable || ++have < need)
      continue;
    uint32_t first = arena + 1U - need;
    uint64_t unit = (uint64_t)first * SH_ARENA_UNITS;
    for (uint32_t a = first + 1U; a <= arena; a++)
      sh_store32_relaxed(&arena_at(s, a)->x_covered_by, (uint32_t)unit + 1U);
    sh_store32_relaxed(&arena_at(s, first)->x_covered_by, 0);
    *loc = place(s, unit, units, tag);
    for (uint32_t a = first; a <= arena; a++)
      leave_arena(s, a, client);
    return SH_OK;
  }
  for (; have > 0; have--)
    leave_arena(s, s->fixed.n_arenas - have, client);
  return SH_FULL;
}

sh_status sh_heap_alloc(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t tag, uint64_t bytes,
                        sh_budget_fn budget, void *context, uint64_t *loc) {
  if (bytes <= SH_BLOCK_MAX) {
    uint32_t c = block_class(bytes), index;
    uint64_t word;
    sh_status status = sh_pool_alloc(s, SH_POOL_BLOCK + c, &h->blocks[c], client, tag, budget, context, &index, &word);
    if (status == SH_OK)
      *loc = (uint64_t)SH_LOC_BLOCK | ((uint64_t)c << 4) | ((uint64_t)index << 8);
    return status;
  }
  uint64_t units = (bytes + SH_UNIT_BYTES - 1U) / SH_UNIT_BYTES;
  if (units > n_units(s))
    return SH_FULL;
  if (units <= SH_ARENA_UNITS)
    return small_run(s, h, client, tag, (uint32_t)units, budget, context, loc);
  return large_run(s, h, client, tag, (uint32_t)units, budget, context, loc);
}

uint8_t *sh_heap_at(const sh_segment *s, uint64_t loc) {
  uint64_t index = loc >> 8;
  if (sh_loc_kind_of(loc) == SH_LOC_BLOCK) {
    uint32_t c = (uint32_t)(loc >> 4) & 15U;
    if (c >= SH_BLOCK_CLASSES || index >= sh_pool_capacity(sh_pool_of(s, SH_POOL_BLOCK + c)))
      return NULL;
    return sh_pool_record(s, sh_pool_of(s, SH_POOL_BLOCK + c), (uint32_t)index);
  }
  if (sh_loc_kind_of(loc) != SH_LOC_RUN || index >= n_units(s))
    return NULL;
  return (uint8_t *)sh_region(s, SH_REGION_HEAP) + index * SH_UNIT_BYTES;
}

uint64_t sh_heap_capacity(const sh_segment *s, uint64_t loc) {
  if (sh_loc_kind_of(loc) == SH_LOC_BLOCK)
    return sh_heap_at(s, loc) ? (uint64_t)SH_BLOCK_MIN << ((loc >> 4) & 15U) : 0;
  if (sh_loc_kind_of(loc) != SH_LOC_RUN || (loc >> 8) >= n_units(s))
    return 0;
  uint64_t units = sh_load32_relaxed(len_at(s, loc >> 8));
  uint64_t room = n_units(s) - (loc >> 8);
  return (units < room ? units : room) * SH_UNIT_BYTES;
}

bool sh_heap_holds(const sh_segment *s, uint64_t loc, uint64_t tag) {
  if (!sh_heap_at(s, loc))
    return false;
  sh_fence_acquire(); /* (G) what the caller read, then the word */
  if (sh_loc_kind_of(loc) == SH_LOC_BLOCK)
    return sh_load_acquire(sh_pool_word(s, sh_pool_of(s, SH_POOL_BLOCK + ((uint32_t)(loc >> 4) & 15U)),
                                        (uint32_t)(loc >> 8))) == tag;
  return sh_load_acquire(unit_at(s, loc >> 8)) == tag;
}

bool sh_heap_free(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t loc, uint64_t tag) {
  if (!sh_heap_at(s, loc))
    return false;
  if (sh_loc_kind_of(loc) == SH_LOC_BLOCK) {
    uint32_t c = (uint32_t)(loc >> 4) & 15U;
    return sh_pool_free(s, SH_POOL_BLOCK + c, h ? &h->blocks[c] : NULL, client, (uint32_t)(loc >> 8), tag);
  }
  uint64_t unit = loc >> 8, seen = tag;
  if (!sh_cas(unit_at(s, unit), &seen, 0))
    return false;
  uint32_t first = (uint32_t)(unit / SH_ARENA_UNITS);
  uint32_t last = (uint32_t)((unit + sh_load32_relaxed(len_at(s, unit)) - 1U) / SH_ARENA_UNITS);
  for (uint32_t a = first; a <= last && a < s->fixed.n_arenas; a++)
    (void)sh_fetch_add32(&arena_at(s, a)->x_frees, 1U);
  return true;
}

#if SH_CHECK >= 1
static const char *name_of(uint64_t tag) {
  switch (sh_tag_kind_of(tag)) {
  case SH_TAG_ENTRY:
    return "entry";
  case SH_TAG_SLOT:
    return "slot";
  case SH_TAG_RING:
    return "ring";
  default:
    return "nothing known";
  }
}

static bool is_inside_a_run(const sh_segment *s, uint64_t unit) {
  for (uint64_t first = unit; first-- > 0;)
    if (sh_load_acquire(unit_at(s, first)) != 0)
      return first + sh_load32_relaxed(len_at(s, first)) > unit;
  return false;
}

static _Noreturn void tell_misuse(const sh_segment *s, uint64_t loc, uint64_t tag) {
  char why[96];
  sh_loc_kind kind = sh_loc_kind_of(loc);
  uint64_t found = 0;
  if (kind == SH_LOC_BLOCK && sh_heap_at(s, loc))
    found = sh_load_acquire(
        sh_pool_word(s, sh_pool_of(s, SH_POOL_BLOCK + ((uint32_t)(loc >> 4) & 15U)), (uint32_t)(loc >> 8)));
  else if (kind == SH_LOC_RUN && sh_heap_at(s, loc))
    found = sh_load_acquire(unit_at(s, loc >> 8));
  if (kind != SH_LOC_BLOCK && kind != SH_LOC_RUN)
    (void)snprintf(why, sizeof why, "this is not a location");
  else if (!sh_heap_at(s, loc))
    (void)snprintf(why, sizeof why, "this is outside the heap");
  else if (found)
    (void)snprintf(why, sizeof why, "it belongs to %s %u", name_of(found), sh_tag_ref(found).index);
  else if (kind == SH_LOC_RUN && is_inside_a_run(s, loc >> 8))
    (void)snprintf(why, sizeof why, "this is in the middle of a run");
  else
    (void)snprintf(why, sizeof why, "it is free already");
  fprintf(stderr, "shoal core: %s %u gave back location %#llx, but %s\n", name_of(tag), sh_tag_ref(tag).index,
          (unsigned long long)loc, why);
  abort();
}
#endif

void sh_heap_give_back(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t loc, uint64_t tag) {
  bool freed = sh_heap_free(s, h, client, loc, tag);
#if SH_CHECK >= 1
  if (!freed)
    tell_misuse(s, loc, tag);
#else
  (void)freed;
#endif
}

bool sh_heap_seize(const sh_segment *s, uint64_t loc, uint64_t tag, uint64_t other) {
  if (!sh_heap_at(s, loc))
    return false;
  uint64_t seen = tag;
  if (sh_loc_kind_of(loc) == SH_LOC_BLOCK)
    return sh_cas(sh_pool_word(s, sh_pool_of(s, SH_POOL_BLOCK + ((uint32_t)(loc >> 4) & 15U)), (uint32_t)(loc >> 8)),
                  &seen, other);
  return sh_cas(unit_at(s, loc >> 8), &seen, other);
}

uint32_t sh_heap_trim(const sh_segment *s, uint32_t client, uint32_t max) {
  uint32_t n = 0;
  for (uint32_t a = 0; a < s->fixed.n_arenas && n < max; a++) {
    sh_a64 *word = &arena_at(s, a)->x_word;
    uint64_t seen = sh_load_acquire(word);
    uint32_t owner = sh_arena_owner(seen);
    if (owner == 0 || (seen & SH_ARENA_ACTIVE) || find_gap(s, a, SH_ARENA_UNITS) != 0)
      continue;
    uint64_t mine = arena_word(client + 1U, SH_ARENA_ACTIVE, seen);
    if (!sh_cas(word, &seen, mine)) /* (A) */
      continue;
    /* Ours and ACTIVE: nobody writes into it while its pages go. */
    (void)sh_os_punch(s->fd, s->fixed.regions[SH_REGION_HEAP] + a * SH_ARENA_BYTES, SH_ARENA_BYTES);
    sh_store_release(word, arena_word(0, 0, mine));
    n++;
  }
  return n;
}

uint32_t sh_heap_arenas_claimed(const sh_segment *s) {
  uint32_t n = 0;
  for (uint32_t a = 0; a < s->fixed.n_arenas; a++) {
    n += sh_arena_owner(sh_load_relaxed(&arena_at(s, a)->x_word)) != 0;
  }
  return n;
}

bool sh_heap_offer(const sh_segment *s, uint32_t client, uint32_t arena, uint64_t bytes) {
  uint64_t units = (bytes + SH_UNIT_BYTES - 1U) / SH_UNIT_BYTES;
  sh_a64 *word = &arena_at(s, arena)->x_word;
  uint64_t seen = sh_load_acquire(word);
  if (sh_arena_owner(seen) != client + 1U || (seen & SH_ARENA_ACTIVE) || units > SH_ARENA_UNITS ||
      find_gap(s, arena, (uint32_t)units) == SH_ARENA_UNITS)
    return false;
  return sh_cas(word, &seen, arena_word(SH_ARENA_RELEASED, 0, seen)); /* (A) or a thief was first */
}

void sh_heap_release(const sh_segment *s, uint32_t client) {
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++)
    sh_pool_release_chunks(s, SH_POOL_BLOCK + c, client);
  for (uint32_t a = 0; a < s->fixed.n_arenas; a++) {
    uint64_t word = sh_load_acquire(&arena_at(s, a)->x_word);
    if (sh_arena_owner(word) == client + 1U)
      (void)sh_cas(&arena_at(s, a)->x_word, &word, arena_word(SH_ARENA_RELEASED, 0, word)); /* or a thief was first */
  }
}

void sh_heap_visit(const sh_segment *s, uint32_t client, sh_heap_visit_fn fn, void *context) {
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++) {
    const sh_pool *p = sh_pool_of(s, SH_POOL_BLOCK + c);
    uint32_t end = sh_pool_used_chunks(s, SH_POOL_BLOCK + c) * p->chunk_records;
    for (uint32_t i = 0; i < end; i++) {
      if (client != SH_EVERYBODY && sh_load32_relaxed(sh_pool_owner(s, p, i / p->chunk_records)) != client + 1U) {
        i |= p->chunk_records - 1U; /* on to the next chunk */
        continue;
      }
      uint64_t tag = sh_load_acquire(sh_pool_word(s, p, i));
      if (tag)
        fn(context, (uint64_t)SH_LOC_BLOCK | ((uint64_t)c << 4) | ((uint64_t)i << 8), tag, (uint64_t)SH_BLOCK_MIN << c);
    }
  }
  for (uint32_t a = 0; a < s->fixed.n_arenas; a++) {
    uint32_t owner = sh_arena_owner(sh_load_relaxed(&arena_at(s, a)->x_word));
    if (owner == 0 || (client != SH_EVERYBODY && owner != client + 1U))
      continue;
    uint64_t base = (uint64_t)a * SH_ARENA_UNITS;
    for (uint32_t i = covered_units(s, a); i < SH_ARENA_UNITS;) {
      uint64_t tag = sh_load_acquire(unit_at(s, base + i));
      uint64_t loc = (uint64_t)SH_LOC_RUN | ((base + i) << 8);
      if (tag)
        fn(context, loc, tag, sh_heap_capacity(s, loc));
      i += tag ? run_length(s, base + i) : 1U;
    }
  }
}

bool sh_heap_is_valid(const sh_segment *s) {
  uint64_t covered_to = 0;
  for (uint64_t unit = 0; unit < n_units(s); unit++) {
    if (unit % SH_ARENA_UNITS == 0 &&
        sh_arena_owner(sh_load_relaxed(&arena_at(s, (uint32_t)(unit / SH_ARENA_UNITS))->x_word)) == 0) {
      unit += SH_ARENA_UNITS - 1U;
      continue;
    }
    if (unit < covered_to || sh_load_acquire(unit_at(s, unit)) == 0)
      continue;
    uint64_t end = unit + sh_load32_relaxed(len_at(s, unit));
    if (end <= unit || end > n_units(s))
      return false;
    for (uint64_t inside = unit + 1U; inside < end; inside++)
      if (sh_load_acquire(unit_at(s, inside)) != 0)
        return false;
    covered_to = end;
  }
  return true;
}

void sh_heap_destroy(sh_heap *h) {
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++)
    sh_magazine_destroy(&h->blocks[c]);
  free(h->arenas);
  h->arenas = NULL;
  h->n_arenas = h->cap_arenas = 0;
}
