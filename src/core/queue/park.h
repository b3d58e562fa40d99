/* SPDX-License-Identifier: Apache-2.0
 *
 * Sleeping and waking: an event count of one client. Waiters and wakers meet without a lock and without a lost wake.
 *
 *   waiter: seq = x_wake; look; x_parked += 1; fence; look again; futex_wait(x_wake, seq); x_parked -= 1
 *   waker : make it true; fence; x_wake += 1; if x_parked: futex_wake
 *
 * (D) Dekker: the waiter's x_parked and the waker's condition are each written before the other's is read. So either the
 * waiter's second look sees the condition, or the waker sees x_parked; and the futex compares x_wake, so a wake between the
 * second look and the sleep is not lost. A waker killed between x_wake and futex_wake leaves x_wake != x_seen with somebody
 * parked: the repair tick wakes again (sh_park_is_stuck).
 */
#ifndef SH_QUEUE_PARK_H
#define SH_QUEUE_PARK_H

#include "base/atomic.h"
#include "base/status.h"

typedef struct sh_park {
  sh_a32 x_wake;   /* wakers add */
  sh_a32 x_parked; /* threads of the client that sleep or are about to */
  sh_a32 x_seen;   /* client: x_wake as its last parker saw it */
  sh_a32 spare;
} sh_park;

static inline uint32_t sh_park_prepare(sh_park *p) {
  return sh_load32_acquire(&p->x_wake);
}
/* Announce; afterwards the caller must look at its condition once more, then sleep or cancel. */
void sh_park_announce(sh_park *p, uint32_t seq);
void sh_park_cancel(sh_park *p);
/* Sleep until woken after `seq`, or timeout_ns. SH_OK, SH_TIMEOUT, SH_AGAIN (signal). Announced before; withdraws itself. */
sh_status sh_park_sleep(sh_park *p, uint32_t seq, uint64_t timeout_ns);
/* Wake every parked thread of the client. -> whether a system call was needed. */
bool sh_park_wake(sh_park *p);
static inline bool sh_park_is_stuck(const sh_park *p) {
  return sh_load32_acquire(&p->x_parked) != 0 && sh_load32_relaxed(&p->x_wake) != sh_load32_relaxed(&p->x_seen);
}

#endif
