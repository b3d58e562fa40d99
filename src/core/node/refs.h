/* SPDX-License-Identifier: Apache-2.0
 *
 * References. There is no count in shared memory.
 *
 * Unshared: an object whose reference never left the process that made it is freed by that process (entry.h: DROPPED meets
 * CLOSED). Nearly every small result ends like this, without a single event.
 * Shared: each client appends hold, drop, sub, done, contains to its own log; the repair thread keeps the counts in private
 * memory (counts.h) and frees at zero. Order that makes it right, whatever lags or dies:
 *   - HOLD of the owner before the reference leaves it; SUB or CONTAINS before the giver's DROP
 *   - the receiver's HOLD before its DONE or DROP of what it received it through
 * An event is one cell, published by one store of the tail: a killed client has logged it or not.
 * A log that is full waits for the daemon to read it, and in that wait other threads of the process may run (self.h:
 * wait_hook). So whatever an increment makes true is written after there is room for it: no other thread may rely on a HOLD
 * that is not logged yet. A decrement may come late.
 */
#ifndef SH_NODE_REFS_H
#define SH_NODE_REFS_H

#include "node/self.h"

/* The reference of an object this process just made: owned, unshared, counted once. */
void sh_ref_own(sh_self *self, sh_ref r);
/* A reference that came from elsewhere (unpickled): held from now on. SH_LOST if the object is gone. */
sh_status sh_ref_take(sh_self *self, sh_ref r);
/* A reference that the daemon told us of after it had counted it for us (sh_repair_hold_for). */
sh_status sh_ref_adopt(sh_self *self, sh_ref r);
/* One more, one less reference in this process. Dropping the last one frees or logs. */
void sh_ref_again(sh_self *self, sh_ref r);
void sh_ref_drop(sh_self *self, sh_ref r);
/* The reference is about to leave this process (in a call, a value or a pickle). */
void sh_ref_share(sh_self *self, sh_ref r);

/* A view of the object's bytes exists in this process: they must stay where they are. A bit in this client's own bitmap, one
 * writer, which whoever moves bytes reads (PINS region). A pin keeps no object alive: who pins holds a reference, or runs a
 * task that was given one. */
void sh_pin(sh_self *self, sh_ref r);
void sh_unpin(sh_self *self, sh_ref r);

/* From destructors: remember, free nothing. Flushed by the next core call. Never fails visibly (a lost one is a leak until
 * this process ends). */
void sh_ref_bury(sh_self *self, sh_ref r);
void sh_ref_flush(sh_self *self);
/* This process goes on without the node: drop all that it holds, except what views look at. No reference may be used
 * afterwards. */
void sh_ref_leave(sh_self *self);

void sh_log_append(sh_self *self, sh_log_kind kind, sh_ref r);
/* Wait until `n` more events fit. The next `n` appends do not wait, as long as no other thread makes one. */
void sh_log_reserve(sh_self *self, uint32_t n);

#endif
