/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client waits for, told by itself in two words of its record: x_awaits says for what, x_waits since when and what can
 * end it (SH_AWAITS_*, SH_WAIT_*). `why` shows it; who looks for a circle of waits builds on it (docs/design/035).
 *
 *   0, nothing -> nothing told: for what, then since when -> perhaps a new kind, since the same time -> 0, then nothing
 *
 * (U) Each word is stored after all that it stands for, and read in the order since when, for what. So of two looks that find
 * the same two words, the same wait lasted from the end of the first to the beginning of the second, and it was for that.
 * One look alone may see the time of a wait with what the next one is for.
 *
 * Death: the words stay, and are nobody's: the client's state says that it is dying, and its next process begins with none
 * (registry.c). All with the lock.
 */
#ifndef SH_NODE_WAITS_H
#define SH_NODE_WAITS_H

#include "node/self.h"

/* This client waits from now on. `awaits`: a packed entry, or SH_AWAITS_SEVERAL. `waits`: when the wait began, a time that no
 * wait of this client had, with SH_WAIT_*; 0: since when is not told, so that nobody builds on it. */
void sh_waits_tell(sh_self *self, uint64_t awaits, uint64_t waits);

/* The same wait can be ended by something else from now on, which others see by now. */
void sh_waits_change(sh_self *self, uint64_t waits);

/* It waits no more. */
void sh_waits_end(sh_self *self);

#endif
