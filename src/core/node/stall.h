/* SPDX-License-Identifier: Apache-2.0
 *
 * Order of an actor's calls. A caller's calls start in the order of its ring; one whose argument is missing stalls the later
 * calls of that caller only. The queues here are private to the actor's process: hints it took but may not start yet; those of
 * cancelled calls are forgotten before a queue grows. If the process dies they are found by the sweep like every claimed or
 * ready call of the class; so a process that has no memory for them dies.
 */
#ifndef SH_NODE_STALL_H
#define SH_NODE_STALL_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct sh_stall {
  uint64_t *hints; /* hints[first] is the one that waits */
  uint32_t first, n, cap;
  bool runnable; /* the first one was answered: go on from here */
} sh_stall;

static inline bool sh_stall_empty(const sh_stall *q) {
  return q->n == 0;
}
static inline uint64_t sh_stall_front(const sh_stall *q) {
  return q->hints[q->first];
}
/* Would one more hint at its end cost memory? */
static inline bool sh_stall_must_grow(const sh_stall *q) {
  return q->first + q->n == q->cap;
}
/* Append a hint; false when memory is exhausted. */
bool sh_stall_push(sh_stall *q, uint64_t hint);
/* Put a hint before all others. */
bool sh_stall_push_front(sh_stall *q, uint64_t hint);
void sh_stall_pop(sh_stall *q);
void sh_stall_destroy(sh_stall *q);

#endif
