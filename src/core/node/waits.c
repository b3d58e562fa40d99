/* SPDX-License-Identifier: Apache-2.0 */
#include "node/waits.h"

void sh_waits_tell(sh_self *self, uint64_t awaits, uint64_t waits) {
  sh_store_release(&self->me->x_awaits, awaits); /* (U) after the 0 of the wait before */
  sh_store_release(&self->me->x_waits, waits);   /* (U) after what it is for */
}

void sh_waits_change(sh_self *self, uint64_t waits) {
  sh_store_release(&self->me->x_waits, waits); /* (U) after the waiters that it is about now */
}

void sh_waits_end(sh_self *self) {
  sh_store_relaxed(&self->me->x_waits, 0); /* what is told next is stored after it, by a release */
  sh_store_relaxed(&self->me->x_awaits, SH_AWAITS_NOTHING);
}
