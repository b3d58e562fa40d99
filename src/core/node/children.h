/* SPDX-License-Identifier: Apache-2.0
 *
 * Children: what a task has called that may have another attempt. The next attempt finds the calls of the ones before by their
 * place, and adopts them instead of making them again (docs/design/033-what-a-retried-task-adopts.md).
 *
 * Each return of such a call has an origin (records.h). What is said of a task that runs holds for a call that its actor has
 * logged, too: it may be run again (call_log.h). While an attempt runs, its process keeps what it made, also that whose
 * last reference is gone. When the attempt ends and another one follows, the daemon holds it all until the task is over: from a
 * process that lives it learns of it by KEEP events, of one that died it finds it by a scan for its name.
 *
 * Death: kept results are entries that their dead owner's sweep finds. `x_made` is written before a result is let go.
 */
#ifndef SH_NODE_CHILDREN_H
#define SH_NODE_CHILDREN_H

#include "node/repair.h"
#include "node/task.h"

#ifndef SH_KEPT_MAX /* of one process; smaller where a test must reach it */
#define SH_KEPT_MAX 16384U
#endif
#define SH_KEPT_BYTES (16ULL << 20) /* of the heap, likewise; but no more than this part of the store */
#define SH_KEPT_PART 64U

/* The origin of an entry's present generation; NULL: it has none. */
static inline const sh_origin *sh_origin_of(const sh_segment *s, sh_ref r) {
  if (r.index >= sh_pool_capacity(sh_pool_of(s, SH_POOL_ENTRY)))
    return NULL;
  const sh_origin *o = sh_origin_at(s, r.index);
  /* (V) pairs with the release in sh_child_made: what it says is of this entry. */
  return sh_load32_acquire(&o->x_generation) == r.generation ? o : NULL;
}

/* The structural digest of a call: begin with the call, then add each dependency. The function is compared apart, by name. */
uint64_t sh_digest_begin(uint32_t flags, uint32_t n_returns, uint32_t n_deps);
uint64_t sh_digest_add(uint64_t digest, sh_id128 id, uint32_t number);

/* -- the process that runs the task -- */

/* A call of the task self->parent is about to be published: write the origins of its returns. */
void sh_child_made(sh_self *self, uint32_t slot, const sh_ref *returns);

/* Bytes of the heap that this process keeps at most. */
static inline uint64_t sh_kept_limit(const sh_self *self) {
  uint64_t part = self->seg.fixed.store_bytes / SH_KEPT_PART;
  return part < SH_KEPT_BYTES ? part : SH_KEPT_BYTES;
}

/* The last reference in this process of a return of such a call is gone. True: it is kept until the task is over. */
bool sh_child_keep(sh_self *self, sh_ref r);

/* The attempt is over: hand over its children before the slot is given up, if there is another attempt. `any`: it has made
 * calls. `failed`: it ended in an exception, or ran too long. */
void sh_children_hand_over(sh_self *self, uint32_t slot, bool any, bool failed);

/* This process has done with the task: let go of what it keeps for it. */
void sh_children_end(sh_self *self, uint64_t parent);

/* The log of this actor was cut: let go of what it keeps for calls that are gone. */
void sh_children_cut(sh_self *self);

/* Number of places below which calls of actors by this task have been made for certain. */
static inline uint32_t sh_made_below(const sh_slot *t) {
  return sh_load32_relaxed(&t->x_made) & SH_MADE_BELOW;
}

/* -- the repair thread; the lock is held -- */

/* A client has died: hold the children of the tasks that it ran. Before their slots are swept. Idempotent. */
void sh_children_collect(sh_repair *d, uint32_t client);

/* -- the daemon -- */

typedef struct sh_child {
  sh_ref r;
  uint64_t fn_lo, digest;
  uint32_t counter, class_id, class_generation, flags, number;
} sh_child;

/* The children that earlier attempts of a task left, counted for the client that runs it now; a later one of a place comes after
 * an earlier one. What was cancelled with an attempt that ran too long is none of them, unless it ended before that could happen.
 * -> how many there are; `max` of them at *out. 0 if this client does not run the task. */
uint32_t sh_repair_children(sh_repair *d, uint32_t client, uint32_t epoch, sh_ref task, sh_child *out, uint32_t max);

#endif
