/* SPDX-License-Identifier: Apache-2.0
 *
 * An entry: an object's record in the segment. It is a promise that is resolved once.
 *
 *     FREE -> BUILDING(creator) -> LIVE(owner) -> FREE
 *
 * `head` carries the waiter list and the two bits that decide the end of the entry's life:
 *   CLOSED  set by whoever resolves the promise, after the value (loc, size_flags) was filled
 *   DROPPED set by whoever finds that nobody references it: its owner while it is unshared, else the daemon
 * Each is set by one fetch_or; the one that comes second frees the entry. Both are idempotent, so a sweep repeats them.
 *
 * Invariant: CLOSED => the value and size_flags are final; loc says where the bytes are, and only the daemon changes it any
 * more (node/spill.h). LIVE => head's generation == word's generation.
 */
#ifndef SH_STORE_ENTRY_H
#define SH_STORE_ENTRY_H

#include "base/id.h"
#include "store/heap.h"

#define SH_ENTRY_LIVE 2U

#define SH_HEAD_TOP_MASK 0x0FFFFFFFU /* waiter index + 1 */
#define SH_HEAD_CLOSED (1ULL << 28)
#define SH_HEAD_DROPPED (1ULL << 29)

#define SH_VALUE_SIZE_MASK 0x0000FFFFFFFFFFFFU
#define SH_VALUE_HAS_REFS (1ULL << 48)   /* its payload names other objects: the daemon frees it */
#define SH_VALUE_ERROR (1ULL << 49)      /* its payload is an error */
#define SH_VALUE_END (1ULL << 50)        /* no value: the end of a stream */
#define SH_VALUE_NO_LINEAGE (1ULL << 51) /* a put: cannot be rebuilt by re-execution */

/* Numbers of objects: returns from 0, puts from 2^31; an actor's handle carries its class: at zero references the actor ends.
 * Items of a stream, and the permits of a bounded one, are counted from 0 (node/stream.h). */
#define SH_NUMBER_PERMIT 0x10000000U
#define SH_NUMBER_ITEM 0x20000000U
#define SH_NUMBER_ACTOR 0x40000000U
#define SH_NUMBER_PUT 0x80000000U

#define SH_OWNER_SHARED 1U   /* the reference has left its owner: counts decide (refs.h) */
#define SH_OWNER_EXPORTED 2U /* it has left the node */
#define SH_OWNER_FOREIGN 4U  /* the value was made on another node */
#define SH_OWNER_PRIMARY 8U  /* this node keeps the primary copy */

#define SH_INLINE_BYTES 64U

typedef struct sh_entry {
  sh_a64 word;       /* who = owner */
  sh_a64 head;       /* generation [32,64) | DROPPED | CLOSED | top waiter + 1 */
  sh_a64 loc;        /* where the payload is; written by the one who will close */
  sh_a64 size_flags; /* SH_VALUE_*; likewise */
  sh_a64 producer;   /* packed slot reference of the task that resolves it; 0 = a put */
  uint64_t id_lo, id_hi;
  uint32_t number;      /* return or put number */
  sh_a32 x_owner_flags; /* SH_OWNER_*; written by the owner only */
  union {
    uint8_t inline_bytes[SH_INLINE_BYTES];
    sh_a32 x_used; /* of bytes in the heap: x_clock when somebody last looked at them; a hint */
  };
} sh_entry;
_Static_assert(sizeof(sh_entry) == 128, "layout is an ABI: bump SH_LAYOUT_VERSION");

static inline sh_entry *sh_entry_at(const sh_segment *s, uint32_t index) {
  return (sh_entry *)sh_pool_record(s, sh_pool_of(s, SH_POOL_ENTRY), index);
}
/* What kind of object: also of an entry that may be another's by now, as far as it is asked about the same one afterwards (G). */
static inline bool sh_entry_is_actor(const sh_entry *e) {
  return (sh_peek(&e->number) & (SH_NUMBER_PUT | SH_NUMBER_ACTOR)) == SH_NUMBER_ACTOR;
}
static inline bool sh_entry_is_item(const sh_entry *e) {
  return (sh_peek(&e->number) & (SH_NUMBER_PUT | SH_NUMBER_ACTOR | SH_NUMBER_ITEM)) == SH_NUMBER_ITEM;
}

/* What an item leads to: packed references, 0 = none. Lies beside the entries, for few of them are items. Written by the
 * producer before the item is closed, by who takes or frees it afterwards. */
typedef struct sh_link {
  sh_a64 next;   /* the item after it */
  sh_a64 permit; /* of a bounded stream: closed when the item is taken or freed */
} sh_link;
static inline sh_link *sh_link_of(const sh_segment *s, uint32_t entry) {
  return (sh_link *)sh_region(s, SH_REGION_LINKS) + entry;
}

/* The entry if `r` is in range and still of its generation, else NULL. For references that came from a peer. */
sh_entry *sh_entry_checked(const sh_segment *s, sh_ref r);

static inline bool sh_head_is(uint64_t head, uint32_t generation) {
  return (uint32_t)(head >> 32) == generation;
}
/* (C) pairs with the fetch_or in sh_entry_close: what was filled before closing is visible after this says true. */
static inline bool sh_entry_is_closed(const sh_entry *e, uint32_t generation) {
  uint64_t head = sh_load_acquire(&e->head);
  return (head & SH_HEAD_CLOSED) && sh_head_is(head, generation);
}

/* What a new entry starts with. A put is born closed: producer 0, loc and size_flags final. */
typedef struct sh_entry_birth {
  sh_id128 id;
  uint32_t number;
  bool closed;
  uint64_t producer, loc, size_flags;
} sh_entry_birth;

/* Make a BUILDING entry LIVE. Creator only; inline bytes were written before. */
void sh_entry_open(sh_entry *e, uint64_t building_word, const sh_entry_birth *birth);

/* Resolve: set CLOSED. -> the head before; the caller walks its waiters, detaches them, and if DROPPED was set releases
 * the entry. 0 when the generation has passed (stale). Idempotent. */
uint64_t sh_entry_close(sh_entry *e, uint32_t generation);

/* Nobody references it any more: set DROPPED. True when the caller must release it (it was closed). Idempotent. */
bool sh_entry_drop(sh_entry *e, uint32_t generation);

/* Its bytes were looked at just now. */
static inline void sh_entry_touch(const sh_segment *s, sh_entry *e) {
  uint32_t now = sh_load32_relaxed(&s->header->x_clock);
  if (sh_load32_relaxed(&e->x_used) != now)
    sh_store32_relaxed(&e->x_used, now);
}

/* Address of the payload in the writable map (NULL: none, on disk, or damaged). */
uint8_t *sh_entry_bytes(const sh_segment *s, sh_entry *e);

/* Free payload and record of a closed and dropped entry. Any client; idempotent; false if somebody else did it. */
bool sh_entry_release(const sh_segment *s, sh_heap *h, sh_magazine *m, uint32_t client, sh_ref r);

/* Throw away a value that was filled but not published (its filler lost or died). */
void sh_entry_unfill(const sh_segment *s, sh_heap *h, uint32_t client, sh_ref r);

#endif
