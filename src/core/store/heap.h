/* SPDX-License-Identifier: Apache-2.0
 *
 * Where payloads live: blocks (up to 32 KiB, pool.h) and runs of 64 KiB units inside 32 MiB arenas.
 *
 * Every allocation carries a *tag*: kind, index and generation of the record it belongs to. The tag is the allocation's
 * word, so a sweep can ask that record whether it points back, and freeing is one CAS (tag -> 0) that only the first of
 * several freers wins.
 *
 * Runs. An arena is owned by one client, the only one that allocates in it; anybody frees. A run is published by one
 * store of its first unit's word after its length was written; the words of its other units are never looked at. A run
 * longer than an arena starts at unit 0 of consecutive arenas of one owner; each of them names the run's first unit in
 * x_covered_by, so that a scan of a later arena knows what covers it. A freed run stays with its arena's owner, whose page
 * tables already map it.
 *
 * Waste. Inside: a block is less than twice as large as what it holds, once that is over 64 bytes; a run exceeds it by less
 * than 64 KiB, so by less than a half, and less than a sixteenth from 1 MiB on. Between: blocks of one size leave no gaps
 * that another one of that size cannot fill; runs are placed first fit, which needs at most the live bytes times log2 of the
 * longest run in units. Apart: each client keeps up to 512 KiB of each block size that it used, and the arenas that it used.
 *
 * An owner allocates only while the arena's word says ACTIVE, which it sets and clears by its own CAS. So an arena that is
 * wholly free and not ACTIVE may be taken over by whoever needs room, also from an owner that sleeps or is stopped: the
 * thief looks, then CASes the word it saw before looking, whose sequence number any allocation in between has changed.
 */
#ifndef SH_STORE_HEAP_H
#define SH_STORE_HEAP_H

#include "store/pool.h"

#define SH_UNIT_BYTES 65536U
#ifndef SH_ARENA_UNITS /* smaller where a search must exhaust it: tests/core/explore */
#define SH_ARENA_UNITS 512U
#endif
#define SH_ARENA_BYTES ((uint64_t)SH_UNIT_BYTES * SH_ARENA_UNITS)
#define SH_BLOCK_MAX (SH_BLOCK_MIN << (SH_BLOCK_CLASSES - 1U))

/* An arena's word: owner [0,16) (0 never used, client + 1, or released) | ACTIVE | sequence number [32,64). */
#define SH_ARENA_RELEASED 0xFFFFU
#define SH_ARENA_ACTIVE (1ULL << 16)
static inline uint32_t sh_arena_owner(uint64_t word) {
  return (uint32_t)word & 0xFFFFU;
}

typedef struct sh_arena {
  sh_a64 x_word;
  sh_a32 x_frees;      /* hint: changes whenever a run of this arena is freed */
  sh_a32 x_covered_by; /* owner: first unit + 1 of the run that started in an earlier arena */
  uint64_t spare;
} sh_arena;

/* Tags: generation of the record | kind | its index. MOVING: the daemon is taking an entry's bytes away (sh_heap_seize). */
typedef enum sh_tag_kind { SH_TAG_ENTRY = 1, SH_TAG_SLOT, SH_TAG_RING, SH_TAG_MOVING } sh_tag_kind;
static inline uint64_t sh_tag(sh_tag_kind kind, sh_ref r) {
  return (uint64_t)r.generation | ((uint64_t)kind << SH_STATE_SHIFT) | ((uint64_t)r.index << SH_WHO_SHIFT);
}
static inline sh_tag_kind sh_tag_kind_of(uint64_t tag) {
  return (sh_tag_kind)((tag >> SH_STATE_SHIFT) & 15U);
}
static inline sh_ref sh_tag_ref(uint64_t tag) {
  sh_ref r = {.index = (uint32_t)(tag >> SH_WHO_SHIFT), .generation = (uint32_t)tag};
  return r;
}

/* A location: kind [0,4) | block class [4,8) | index of the block or of the first unit, or for SPILLED the generation of the
 * entry [8,64). 0 = no payload. SPILLED: the bytes are on disk (node/spill.h). */
typedef enum sh_loc_kind { SH_LOC_NONE, SH_LOC_INLINE, SH_LOC_BLOCK, SH_LOC_RUN, SH_LOC_SPILLED } sh_loc_kind;
static inline sh_loc_kind sh_loc_kind_of(uint64_t loc) {
  return (sh_loc_kind)(loc & 15U);
}
static inline bool sh_loc_in_heap(uint64_t loc) {
  return sh_loc_kind_of(loc) == SH_LOC_BLOCK || sh_loc_kind_of(loc) == SH_LOC_RUN;
}
static inline uint64_t sh_loc_spilled(uint32_t generation) {
  return (uint64_t)SH_LOC_SPILLED | ((uint64_t)generation << 8);
}

typedef struct sh_heap { /* private to one client */
  sh_magazine blocks[SH_BLOCK_CLASSES];
  uint32_t n_arenas, cap_arenas, cursor;
  struct sh_own_arena {
    uint32_t arena;
    uint32_t failed_units; /* no run of this many units was found ... */
    uint32_t seen_frees;   /* ... when x_frees was this; 0 units = look */
  } *arenas;
} sh_heap;

/* Room for `bytes` under `tag`. Owner of the heap only, never blocks. `budget` is asked before the heap grows: with the bytes
 * of a chunk of blocks, or with 0 for one more arena (those are counted by their words). SH_FULL when there is no room in own
 * arenas, none may be claimed and none can be taken over. Contents are undefined. */
sh_status sh_heap_alloc(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t tag, uint64_t bytes,
                        sh_budget_fn budget, void *context, uint64_t *loc);

/* Address of a location in the writable map; NULL if it is not inside the heap (damaged). */
uint8_t *sh_heap_at(const sh_segment *s, uint64_t loc);
/* Bytes that the allocation at `loc` can hold. */
uint64_t sh_heap_capacity(const sh_segment *s, uint64_t loc);

/* Does what lies at `loc` still belong to `tag`? (G) Bytes read before it was asked, with true for an answer, were the
 * tag's own. */
bool sh_heap_holds(const sh_segment *s, uint64_t loc, uint64_t tag);

/* Free what lies at `loc` if it still belongs to `tag`. Any client (h may be NULL), any time, idempotent. */
bool sh_heap_free(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t loc, uint64_t tag);

/* The same for memory that is certainly ours and was never published. In a build with checks whatever else is found there,
 * or a location that is none, is told and ends the process: it is a bug of the caller, not of a peer. */
void sh_heap_give_back(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t loc, uint64_t tag);

/* Turn the tag of what lies at `loc` from `tag` into `other`; false if it is not `tag`. While it is MOVING nobody else frees it
 * and nobody allocates it: the one who seized it gives it back or frees it under that tag. Repair thread only. */
bool sh_heap_seize(const sh_segment *s, uint64_t loc, uint64_t tag, uint64_t other);

/* Give up to `max` arenas that are wholly free back to the system, pages and all: they are as if never used, and their bytes
 * may be claimed as anything. -> arenas given back. `client` does it. */
uint32_t sh_heap_trim(const sh_segment *s, uint32_t client, uint32_t max);

/* Arenas that somebody has paid for, dead owners' included: what the store has claimed beside blocks. */
uint32_t sh_heap_arenas_claimed(const sh_segment *s);
/* Let go of an own arena with a gap of `bytes`, together with what lies in it: whoever next looks for room becomes its owner, as
 * of a dead owner's. Every run in it is where its record says, or a sweep of the next owner takes it for an orphan. False:
 * it is not the client's, or has no such gap. */
bool sh_heap_offer(const sh_segment *s, uint32_t client, uint32_t arena, uint64_t bytes);
/* Release everything a dead client owned (its chunks and arenas); live runs stay. Repair thread only. */
void sh_heap_release(const sh_segment *s, uint32_t client);

/* Call fn(context, loc, tag, bytes) for every live allocation in the chunks and arenas of `client`, or of everybody
 * (SH_EVERYBODY). Repair thread and tests. */
#define SH_EVERYBODY 0xFFFFFFFFU
typedef void (*sh_heap_visit_fn)(void *context, uint64_t loc, uint64_t tag, uint64_t bytes);
void sh_heap_visit(const sh_segment *s, uint32_t client, sh_heap_visit_fn fn, void *context);

/* Every run ends inside the heap and no two overlap; lengths match. O(units). */
bool sh_heap_is_valid(const sh_segment *s);
void sh_heap_destroy(sh_heap *h);

#endif
