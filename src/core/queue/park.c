/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/park.h"

#include "base/os.h"

#include <errno.h>
#include <limits.h>

void sh_park_announce(sh_park *p, uint32_t seq) {
  sh_store32_relaxed(&p->x_seen, seq);
  (void)sh_fetch_add32(&p->x_parked, 1U);
  sh_fence(); /* (D) x_parked, then the caller's second look; against the condition, then a waker's look at x_parked */
}

void sh_park_cancel(sh_park *p) {
  (void)sh_fetch_add32(&p->x_parked, UINT32_MAX);
}

sh_status sh_park_sleep(sh_park *p, uint32_t seq, uint64_t timeout_ns) {
  int rc = sh_os_futex_wait(&p->x_wake, seq, timeout_ns);
  sh_park_cancel(p);
  if (rc == -ETIMEDOUT)
    return SH_TIMEOUT;
  return rc == -EINTR ? SH_AGAIN : SH_OK;
}

bool sh_park_wake(sh_park *p) {
  (void)sh_fetch_add32(&p->x_wake, 1U); /* (D) seq_cst: after the condition, before x_parked is read */
  if (sh_load32_seqcst(&p->x_parked) == 0)
    return false;
  sh_os_futex_wake(&p->x_wake, INT_MAX);
  return true;
}
