/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools of fixed-size records in the segment. A record is free or taken because its own word says so, never because it
 * is on or off a list.
 *
 * Chunks of records are owned by clients; only the owner of a chunk allocates from it. Free-hint bits and the private
 * magazine only say where to look: a lost, stale or duplicate hint costs a look, never a record. So anybody may rebuild
 * hints at any time beside everyone (sh_pool_rehint), and a dead client's chunks are simply released.
 *
 *   alloc: CAS(word, FREE(g) -> BUILDING(g+1, me))      killed before: nothing; after: its sweep frees BUILDING(me)
 *   free : CAS(word, expected -> FREE(g)), then the hint  killed between: the record is free, found by rehint
 *
 * Two kinds of words: *generational* (entries, slots, waiters, rings) as in segment.h; *tagged* (blocks), where the word
 * names the record that the block belongs to and is 0 when free (see heap.h).
 */
#ifndef SH_STORE_POOL_H
#define SH_STORE_POOL_H

#include "store/segment.h"

#define SH_MAGAZINE 256U
#define SH_CHUNK_RELEASED 0xFFFFFFFFU /* used before, owned by nobody; 0 = never used; else client index + 1 */
#define SH_CHUNK_RETURNED 0xFFFFFFFEU /* likewise, but its memory was given back: whoever claims it pays for it */

typedef struct sh_magazine { /* private to one client, one per pool */
  uint32_t n;
  uint32_t fresh, fresh_end; /* never-used records of the newest chunk */
  uint32_t n_chunks, cap_chunks, cursor;
  uint32_t *chunks;
  uint32_t items[SH_MAGAZINE];
} sh_magazine;

static inline const sh_pool *sh_pool_of(const sh_segment *s, uint32_t id) {
  return &s->fixed.pools[id];
}
static inline uint32_t sh_pool_capacity(const sh_pool *p) {
  return p->chunk_records * p->n_chunks;
}
static inline sh_a64 *sh_pool_word(const sh_segment *s, const sh_pool *p, uint32_t index) {
  return (sh_a64 *)(void *)(s->base + p->words + (uint64_t)index * p->word_stride);
}
static inline void *sh_pool_record(const sh_segment *s, const sh_pool *p, uint32_t index) {
  return s->base + p->data + (uint64_t)index * p->record_bytes;
}
static inline sh_a32 *sh_pool_owner(const sh_segment *s, const sh_pool *p, uint32_t chunk) {
  return (sh_a32 *)(void *)(s->base + p->owners) + chunk;
}

/* Take a record. `client` owns the magazine; owner thread only, never blocks. `tagged` is the word to install, or 0 for
 * BUILDING(generation + 1, client). `budget` is asked for the bytes of a new chunk before it is claimed, and may refuse. If
 * somebody else was first to claim it, the bytes are given back: `budget` is called with them as a negative number.
 * SH_OK fills *index and *word; SH_FULL when the pool or the budget is exhausted. */
typedef bool (*sh_budget_fn)(void *context, uint64_t bytes);
sh_status sh_pool_alloc(const sh_segment *s, uint32_t pool, sh_magazine *m, uint32_t client, uint64_t tagged,
                        sh_budget_fn budget, void *context, uint32_t *index, uint64_t *word);

/* Free a record whose word is `expected`; false if it is not (then somebody freed it before). Any thread, never blocks.
 * `m` is the caller's magazine of this pool, or NULL. */
bool sh_pool_free(const sh_segment *s, uint32_t pool, sh_magazine *m, uint32_t client, uint32_t index,
                  uint64_t expected);

/* Set the hint of every free record of a chunk. Any thread, any time. */
void sh_pool_rehint(const sh_segment *s, uint32_t pool, uint32_t chunk);

/* Number of chunks ever claimed: they are claimed in order, so scans stop here. */
uint32_t sh_pool_used_chunks(const sh_segment *s, uint32_t pool);

/* Give the memory of a chunk of tagged records that is wholly free back to the system: it has no owner then. Every record is
 * taken under `tag` first, so nobody can be allocating in it. False: something of it is in use. Repair thread only.
 * Killed half-way, the node ends. */
bool sh_pool_return_chunk(const sh_segment *s, uint32_t pool, uint32_t chunk, uint64_t tag);

/* Does the client own the chunk? All that it allocated and nobody has freed lies in its chunks. */
static inline bool sh_pool_is_of(const sh_segment *s, const sh_pool *p, uint32_t chunk, uint32_t client) {
  return sh_load32_relaxed(sh_pool_owner(s, p, chunk)) == client + 1U;
}

/* Does a bitmap over the chunks of a pool name this one? */
static inline bool sh_pool_is_marked(const sh_a64 *marks, uint32_t chunk) {
  return sh_load_relaxed(&marks[chunk / 64U]) >> (chunk % 64U) & 1U;
}

/* Release every chunk of a dead client: the next owner tries each record in turn. Repair thread only. */
void sh_pool_release_chunks(const sh_segment *s, uint32_t pool, uint32_t client);

void sh_magazine_destroy(sh_magazine *m);

#endif
