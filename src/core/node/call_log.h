/* SPDX-License-Identifier: Apache-2.0
 *
 * The log of an actor that has checkpoints (docs/design/034-calls-after-a-checkpoint.md): the slots of its calls since the last
 * one. A call that the class logs is not freed when it is over but LOGGED, with its arguments and what they name; its position says
 * which of the actor's calls it was. The actor's next process runs them once more, in that order. A checkpoint cuts the log.
 *
 * Who writes: the actor's process, whose own calls these are, and the repair thread once it is dead. Position and outcome are
 * written while the call is RUNNING and read by the next process, which is started after the sweep.
 * Death: what is private here (self->logged) is the order of slots that the next process finds by a scan.
 */
#ifndef SH_NODE_CALL_LOG_H
#define SH_NODE_CALL_LOG_H

#include "node/repair.h"
#include "node/task.h"

#define SH_LOGGED_PART 64U /* a log may take this part of the node's slots, then a checkpoint is due */

/* May a call with these SH_SLOT_* be logged? What a generator yields goes to somebody while it runs. */
static inline bool sh_log_takes(uint32_t flags) {
  return (flags & SH_SLOT_ACTOR_CALL) && !(flags & (SH_SLOT_CREATES_ACTOR | SH_SLOT_STREAM));
}
/* The call in this slot comes to an error without having been applied: it is not to be logged. Before its COMMITTED. */
static inline void sh_log_forget(sh_slot *t) {
  if (sh_log_takes(sh_peek(&t->flags)))
    sh_store32_relaxed(&t->x_position, 0);
}

/* -- the actor's process -- */

/* Before the first claim: find out whether this actor logs, and what it has logged. A checkpoint covers what is up to
 * `position`, and is cut off. False: no memory. */
bool sh_log_open(sh_self *self, uint32_t position);

/* The method is about to be entered: the call gets its position. */
void sh_log_begin(sh_self *self, uint32_t slot);
/* The method has raised. Before the call is committed. */
void sh_log_raised(sh_self *self, uint32_t slot);
/* Of a call that is LOGGED: how it ended. */
bool sh_log_has_raised(const sh_self *self, uint32_t slot);

/* A call was committed and all its returns are sealed. True: it is LOGGED, and its slot stays. */
bool sh_log_keep(sh_self *self, uint32_t slot, uint64_t committed);

/* Does another process follow this one, if it dies? Else nothing is logged. */
bool sh_log_is_kept(const sh_self *self);
/* Is a checkpoint due, which is after `every` calls, or earlier: the log grows large, or must not be relied upon? */
bool sh_log_is_due(const sh_self *self, uint32_t every);

/* A checkpoint covers the calls up to `position`: let them go, with what they have called. */
void sh_log_cut(sh_self *self, uint32_t position);

/* Is this the word of a call that the class of this actor has logged? */
static inline bool sh_log_is_ours(const sh_self *self, uint64_t word) {
  return self->logs && sh_word_state(word) == SH_TASK_LOGGED &&
         sh_word_who(word) == sh_load32_relaxed(&self->me->x_class);
}

/* -- the repair thread; the lock is held -- */

/* A task of a dead process is committed and sealed. True: it is LOGGED for the process that follows. */
bool sh_log_take_over(sh_repair *d, uint32_t slot, uint64_t committed);
/* Nobody will run the logged calls of this class again: let them go. While it has a process that may, nothing is done. */
void sh_log_end(sh_repair *d, uint32_t slot, uint64_t word);
void sh_log_end_all(sh_repair *d, uint32_t class_id);

#endif
