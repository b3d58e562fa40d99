/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/waiter.h"

static bool is_generation(uint64_t head, uint32_t generation) {
  return (uint32_t)(head >> 32) == generation;
}

sh_status sh_waiter_push(sh_waiters ws, sh_a64 *head, uint32_t generation, uint32_t index) {
  uint64_t seen = sh_load_acquire(head);
  for (;;) {
    if (!is_generation(seen, generation))
      return SH_LOST;
    if (seen & SH_LIST_CLOSED)
      return SH_EMPTY;
    sh_store32_relaxed(&ws.records[index].next, (uint32_t)seen & SH_LIST_TOP_MASK);
    /* (W) publishes the waiter; pairs with the acquire of head by whoever closes and walks. */
    if (sh_cas(head, &seen, (seen & ~(uint64_t)SH_LIST_TOP_MASK) | (index + 1U))) {
      /* It may have been served and freed meanwhile; but only we can make it a waiter again. */
      sh_store32_relaxed(&ws.records[index].x_listed, 1U);
      return SH_OK;
    }
  }
}

void sh_waiter_walk(sh_waiters ws, uint64_t head, uint64_t promise, sh_deliver_fn deliver, void *context) {
  uint32_t at = (uint32_t)head & SH_LIST_TOP_MASK;
  for (sh_waiter_path path = {0}; sh_waiter_goes_on(&path, at, ws.capacity);) {
    const sh_waiter *w = &ws.records[at - 1U];
    uint32_t next = sh_load32_relaxed(&w->next);
    if (sh_load_relaxed(&w->promise) == promise)
      deliver(context, at - 1U, w);
    at = next;
  }
}

uint32_t sh_waiter_detach(sh_a64 *head, uint32_t generation) {
  uint64_t seen = sh_load_acquire(head);
  while (is_generation(seen, generation) && (seen & SH_LIST_CLOSED)) {
    uint32_t top = (uint32_t)seen & SH_LIST_TOP_MASK;
    if (top == 0)
      return 0;
    if (sh_cas(head, &seen, seen & ~(uint64_t)SH_LIST_TOP_MASK))
      return top;
  }
  return 0;
}
