/* SPDX-License-Identifier: Apache-2.0
 *
 * Who waits for an object. This list, with the cursor in each waiting task, is the whole dependency-graph tracker.
 *
 * It works on two words only: the promise's `head` (generation | flags | top waiter + 1, see SH_LIST_*) and the waiter's
 * own. A waiter is a record of its own, pushed once and never relinked. Setting CLOSED in the head stops pushes; the list
 * stays reachable while it is walked, and every delivery is idempotent, so the closer, a helper and a sweep may walk it at
 * the same time. Only after a full walk is the list detached (one CAS) and its waiters freed.
 *
 * Guarantee: every waiter pushed before CLOSED is delivered to at least once, though the closer may die or stop anywhere:
 *   killed before detaching: the list is still there for the next walker
 *   killed after detaching : everybody was served; the leftovers are LIVE waiters of a closed, empty list, which an audit frees
 * A walker that reads a waiter freed under it may stray into another list; that delivers early at worst, and whoever freed
 * it had served the rest first. Walks are bounded.
 * Models: closed bit, separate nodes, non-destructive walk; two kills, a stopped sealer and a concurrent helper.
 */
#ifndef SH_GRAPH_WAITER_H
#define SH_GRAPH_WAITER_H

#include "base/atomic.h"
#include "base/status.h"

#include <stddef.h>

#define SH_WAITER_LIVE 2U

#define SH_LIST_TOP_MASK 0x0FFFFFFFU
#define SH_LIST_CLOSED (1ULL << 28)

typedef enum sh_waiter_kind { SH_WAITS_TASK = 1, SH_WAITS_CLIENT } sh_waiter_kind;

typedef struct sh_waiter {
  sh_a64 word;    /* who = the client that made it */
  sh_a64 promise; /* packed reference of the entry it waits for */
  sh_a64 expect;  /* task: the exact WAITING word; client: its epoch */
  sh_a32 target;  /* task: slot index; client: client index */
  sh_a32 kind;
  sh_a32 next;     /* waiter + 1; written before the push, immutable while listed */
  sh_a32 x_listed; /* its maker, after the push: a sweep must look for those that died in between */
  uint64_t pad[3];
} sh_waiter;
_Static_assert(sizeof(sh_waiter) == 64, "layout is an ABI: bump SH_LAYOUT_VERSION");

/* A way along a list that may be damaged: it ends at a record that is not there, or where it has been before. */
typedef struct sh_waiter_path {
  uint32_t seen, steps, until;
} sh_waiter_path;
/* May the waiter `at` - 1 be looked at? Ask once for each step. */
static inline bool sh_waiter_goes_on(sh_waiter_path *path, uint32_t at, uint32_t capacity) {
  if (at == 0 || at > capacity || at == path->seen)
    return false;
  if (path->steps++ == path->until) { /* where it was at steps 0, 1, 3, 7, ...: a circle comes back there */
    path->seen = at;
    path->until = 2U * path->until + 1U;
  }
  return true;
}

/* Where waiters are: a pool seen from here as an array. */
typedef struct sh_waiters {
  sh_waiter *records;
  uint32_t capacity;
} sh_waiters;

/* Push waiter `index` onto the list of `head`. SH_OK; SH_EMPTY if it was closed before (the caller goes on itself);
 * SH_LOST if the generation has passed. Lock-free; a kill before the CAS leaves an unlisted waiter for the audit. */
sh_status sh_waiter_push(sh_waiters ws, sh_a64 *head, uint32_t generation, uint32_t index);

/* Deliver to every waiter of a closed list. Any process; repeatable. `top` is the head's value when it was closed. */
typedef void (*sh_deliver_fn)(void *context, uint32_t index, const sh_waiter *w);
void sh_waiter_walk(sh_waiters ws, uint64_t head, uint64_t promise, sh_deliver_fn deliver, void *context);

/* After a full walk: empty the list. -> its first waiter + 1 for the caller to free along `next`, or 0. */
uint32_t sh_waiter_detach(sh_a64 *head, uint32_t generation);

#endif
