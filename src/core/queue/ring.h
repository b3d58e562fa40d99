/* SPDX-License-Identifier: Apache-2.0
 *
 * A ring of hints: one writer, many takers. Each client has one for each scheduling class it submits to.
 *
 * A hint is a packed slot reference. It says "this task may be ready"; the task's own word decides. Hints may be stale or
 * duplicate; they must not be lost. Head and tail are 64-bit and never reset, so a taker that slept through any amount of
 * reuse fails its CAS. Cells live in segments of SH_RING_SEGMENT hints, found through a directory indexed by segment number;
 * the writer recycles a segment only when head has passed it.
 *
 * Taking:  h = head; T = cell[h]; op = (POP, T); CAS(head, h, h+1); claim T; op = 0
 * `op` is the taker's intent word: a taker killed after its CAS has T named there, and its sweep hints T again.
 * Killed before the CAS: T is still in the ring, and the sweep's second hint is harmless.
 *
 * Capacity: SH_RING_DIRECTORY * SH_RING_SEGMENT hints (2,097,152). Memory: grows by 32 KiB segments, kept for reuse.
 */
#ifndef SH_QUEUE_RING_H
#define SH_QUEUE_RING_H

#include "base/atomic.h"
#include "base/status.h"

#ifndef SH_RING_SEGMENT /* smaller where a search must exhaust it: tests/core/explore */
#define SH_RING_SEGMENT 4096U
#define SH_RING_DIRECTORY 512U
#endif

typedef struct sh_ring {
  sh_a64 word; /* pool word; who = the client that writes */
  uint32_t writer, class_id;
  uint64_t pad0[14];
  sh_a64 x_head; /* takers */
  uint64_t pad1[15];
  sh_a64 x_tail;          /* writer */
  sh_a64 x_first_segment; /* writer: lowest segment number that still has memory */
  uint64_t pad2[14];
  sh_a64 directory[SH_RING_DIRECTORY]; /* segment number [0,32) | location id + 1 [32,64); 0 = none */
} sh_ring;
_Static_assert(sizeof(sh_ring) == 384 + 8 * SH_RING_DIRECTORY, "layout is an ABI: bump SH_LAYOUT_VERSION");

/* How a ring finds and gets memory for cells: ids are opaque to it. */
typedef struct sh_ring_memory {
  void *context;
  sh_a64 *(*cells)(void *context, uint32_t id);               /* NULL: no such id */
  sh_status (*grow)(void *context, sh_ring *r, uint32_t *id); /* writer only: SH_RING_SEGMENT new cells */
} sh_ring_memory;

/* Make sure that the next push has room. Writer only. SH_FULL when the ring or the segment has none; SH_INVALID when the ring
 * is damaged: it takes nothing any more, and the writer makes itself another one. */
sh_status sh_ring_reserve(sh_ring *r, const sh_ring_memory *m);

/* Append a hint. Writer only, never blocks. *was_empty tells whether takers may all have gone to sleep.
 * SH_FULL, SH_INVALID as above. */
sh_status sh_ring_push(sh_ring *r, const sh_ring_memory *m, uint64_t hint, bool *was_empty);

/* Take the oldest hint. Any client, never blocks. `op` is the taker's intent word and still holds the hint on SH_OK: the
 * caller clears it once the claim is decided. SH_EMPTY when there is none: the intent word is clear. */
sh_status sh_ring_pop(sh_ring *r, const sh_ring_memory *m, sh_a64 *op, uint64_t *hint);

/* The hint `ahead` places behind the oldest one; false when there is none. Takes nothing; may be wrong a moment later. */
bool sh_ring_peek(sh_ring *r, const sh_ring_memory *m, uint64_t ahead, uint64_t *hint);

static inline uint64_t sh_ring_length(const sh_ring *r) {
  uint64_t head = sh_load_relaxed(&r->x_head), tail = sh_load_relaxed(&r->x_tail);
  return tail > head ? tail - head : 0;
}

#endif
