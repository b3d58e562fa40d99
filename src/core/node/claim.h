/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the files that find work, take it and give it back: claim.c (workers), order.c and recover.c (actors), commit.c,
 * call_log.c, and cancel.c, which takes hints that are about nothing. Nobody else includes it. */
#ifndef SH_NODE_CLAIM_H
#define SH_NODE_CLAIM_H

#include "node/stall.h"
#include "node/task.h"

/* Before a slot's word names this client, so that its sweep looks there. It finds what we hold by a look at few chunks, however
 * many there are. */
void sh_tell_where(sh_self *self, uint32_t slot);
/* All returns of a task are sealed, and its word names this client: give the slot back. */
void sh_let_slot_go(sh_self *self, uint32_t slot, uint64_t committed);

/* Try to get the hinted task to RUNNING. SH_OK; SH_EMPTY: it waits for an argument now; SH_LOST: the hint was stale;
 * SH_FENCED: the lease that we claim under was taken away, the task is put back. */
sh_status sh_claim_hint(sh_self *self, uint64_t hint, uint32_t class_id);
/* Take from the ring of (client, class). SH_OK with *hint and the intent word set. Clears the hint bit of an empty ring. */
sh_status sh_claim_take(sh_self *self, uint32_t client, uint32_t class_id, uint64_t *hint);
/* The next client at or after `from` (cyclic) whose ring may hold something. */
bool sh_claim_next_client(const sh_segment *s, const sh_class *c, uint32_t from, uint32_t *client);

/* The calls of this caller that are put aside; NULL when memory is exhausted. */
sh_stall *sh_stall_of(sh_self *self, uint32_t caller);
/* The next call of this actor that may start. */
sh_status sh_claim_as_actor(sh_self *self, uint32_t *slot);
/* Before the first claim of an actor: take over what the process before this one had taken from the callers' rings and not
 * ended. False: no memory, to be called again. */
bool sh_actor_recover(sh_self *self);
/* Is there a call that was kept back until its caller's own ring is empty, which it is now? */
bool sh_actor_has_late(const sh_self *self, uint32_t class_id);
/* Does it keep any call that it took from a ring and has not started? */
bool sh_actor_keeps_calls(const sh_self *self);

#endif
