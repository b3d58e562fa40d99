/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams: what a generator yields, as a chain of promises. docs/design/028-streams.md has the reasons and the attacks.
 *
 * A call with SH_SLOT_STREAM has two returns. Return 1 is resolved when the task ends. Return 0 is the tail: the one item that
 * is not resolved yet, and whose number is the count of those that are. The producer makes item k+1, owned by the client that
 * owns item k, names it in k's link, fills k, closes it, and stores k+1 as return 0. What ends the task resolves the tail,
 * like any return: with SH_VALUE_END, or with an error, which is then the last item.
 *
 *   return 0 -> [k+1]           closed items: [k] -> [k+1] by k's link, until the consumer takes k, which clears it
 *
 * Invariant, while no step is in progress: of a running stream's items exactly one is unresolved, return 0; each closed item
 * that was not taken leads to the one after it. Who frees an item that was not taken drops the next one first.
 * A bounded stream (slot's `ahead`) gives each item a permit: a promise of the producer's own, closed by who takes or frees
 * the item.
 *
 * All functions with the lock; none blocks.
 */
#ifndef SH_NODE_STREAM_H
#define SH_NODE_STREAM_H

#include "node/self.h"

/* Which returns of the task they are. The tail is sealed first: who has seen the end of the task finds the end of the stream. */
#define SH_STREAM_TAIL 0U
#define SH_STREAM_DONE 1U

#define SH_STREAM_MOST (SH_NUMBER_PERMIT - 1U) /* items that can be counted */

/* A new item leads nowhere. Its maker, before it is LIVE; or who closes it as the last one. */
void sh_stream_unlink(const sh_segment *s, uint32_t entry);

/* The items that were delivered before this attempt, and by it. */
uint32_t sh_stream_delivered(const sh_self *self, uint32_t slot);
/* Does anybody still want items of this running task? False for ever after it was false once. */
bool sh_stream_is_wanted(const sh_self *self, uint32_t slot);

/* Before the tail is filled: make the item after it, and if the stream is bounded the tail's permit, at *permit (else
 * generation 0), held by this client. Repeated without sh_stream_seal, it goes on with what was made.
 * SH_OK; SH_FULL: no record to be had; SH_EMPTY: not wanted any more; SH_INVALID: it has SH_STREAM_MOST items. */
sh_status sh_stream_begin(sh_self *self, uint32_t slot, sh_ref *permit);
/* The tail is filled: publish it, and make the next item the tail. */
void sh_stream_seal(sh_self *self, uint32_t slot);
/* Before the task's returns are filled for good: what sh_stream_begin made is taken back; the tail will be the last item. */
void sh_stream_withdraw(sh_self *self, uint32_t slot);
/* Fill the tail with the end. */
void sh_stream_fill_end(sh_self *self, uint32_t slot);

/* The consumer takes item `r`, closed, which it holds and nobody else does.
 * SH_OK: *next is the item after it, held from now on, and owned. SH_EMPTY: `r` is the end, not an item. SH_LOST: `r` is the
 * last item, an error. */
sh_status sh_stream_take(sh_self *self, sh_ref r, sh_ref *next);

/* An item is about to be freed (any other object: nothing). If it was not taken, drop the next one; true if that one, *next,
 * is to be freed now too. Closes its permit. Idempotent. */
bool sh_stream_cut(sh_self *self, sh_ref r, sh_ref *next);

/* The repair thread, before it looks at the tasks of a dead client: each of its running streams becomes one that names its
 * tail and has no item beyond; no permit of its is left unresolved. Idempotent; looks at what the client had allocated. */
void sh_stream_settle(sh_self *self, uint32_t client);
/* Then, for each such task: its tail leads nowhere. Any other task: nothing. */
void sh_stream_rest(sh_self *self, uint32_t slot);

#endif
