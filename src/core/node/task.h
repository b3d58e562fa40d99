/* SPDX-License-Identifier: Apache-2.0
 *
 * A task from submission to commit. Its slot's word decides:
 *
 *   FREE -> BUILDING(submitter) -> READY(class) <-> WAITING(class, n-th wait)
 *                                   READY -> CLAIMED(worker) -> RUNNING(worker) -> COMMITTED(worker) -> FREE
 *                                            CLAIMED -> WAITING (an argument is missing)
 *                                            CLAIMED(submitter) -> COMMITTED (its class was closed: an error)
 *                                   of an actor that logs: COMMITTED(actor) -> LOGGED(class) -> COMMITTED(actor) -> FREE
 *   RUNNING(worker) -> CANCELLED(worker) -> CANCELLED(daemon) -> COMMITTED(daemon)    and OVERDUE, likewise
 *   RUNNING, CANCELLED, OVERDUE(worker) -> KILLING(worker)
 *   (put off, or cancelled in the queue: CLAIMED(daemon), until it is READY again or resolved)
 *
 *   BUILDING   only the submitter knows it; dies with it
 *   READY      some ring holds a hint for it, or somebody's intent word names it
 *   WAITING    on exactly one argument (x_cursor); a waiter with this very word is, or is about to be, on that entry's list
 *   CLAIMED    arguments are being looked at; no user code has run: a death puts it back with the same attempt
 *   RUNNING    user code may have run: a death costs an attempt
 *   COMMITTED  the values are final: whoever finds it finishes the seals
 *   LOGGED     sealed, and over for everybody else: the actor's next process may run it again (call_log.h)
 *   CANCELLED  its worker is to end it and cannot commit it (cancel.h); when it has let go the daemon resolves it
 *   OVERDUE    the same, because it ran longer than it may
 *   KILLING    the daemon ends the worker for this task: it cannot commit, and the worker takes no other
 */
#ifndef SH_NODE_TASK_H
#define SH_NODE_TASK_H

#include "node/self.h"

/* Workers parked in get before awaited tasks are run inline: processes stay few however deep tasks nest. */
#define SH_BLOCKED_SPARE 8U
#define SH_BLOCKED_PER_SEAT 4U

/* What a caller says about a call; constant between calls of one function. */
typedef struct sh_call {
  uint64_t fn_lo, fn_hi;
  uint32_t class_id, n_returns, max_retries, flags; /* SH_SLOT_*, but HAS_ROWS; a STREAM has two returns */
  uint64_t timeout_ns;                              /* that an attempt may run; 0: any time */
  uint8_t priority;
  uint32_t ahead; /* SH_SLOT_STREAM: items that may lie there before one is taken; 0 = any number */
} sh_call;

/* Begin a submission: the slot, `n_returns` promises owned by this client, and room for `payload_bytes` of arguments at
 * *payload (NULL if 0). All or nothing. `returns` has room for n_returns references. */
sh_status sh_submit_begin(sh_self *self, const sh_call *call, uint64_t payload_bytes, uint32_t n_deps, uint32_t *slot,
                          uint8_t **payload, sh_ref *returns);
/* Publish it. With rows in the payload, their references must have been shared before. SH_FULL undoes everything. */
sh_status sh_submit_commit(sh_self *self, uint32_t slot, bool has_rows, const sh_ref *returns);

/* Take back what sh_submit_begin built: nobody else knows of it. */
void sh_submit_abort(sh_self *self, uint32_t slot, const sh_ref *returns);

/* Wait on the first unresolved argument at or after the cursor. Owner of the slot's word only (BUILDING or CLAIMED).
 * SH_EMPTY: all are resolved, *word is the slot's word. SH_OK: it waits, hands off. SH_FULL: no waiter to be had. */
sh_status sh_task_wait(sh_self *self, uint32_t slot, uint64_t *word);

/* Claim one task that this worker or actor may run now. Never blocks. SH_OK: the slot is RUNNING for this client, all its
 * dependencies are resolved. SH_EMPTY: nothing to do. */
sh_status sh_next_try(sh_self *self, uint32_t *slot);
/* Too many workers are parked in get: rather than park too, a worker may run the task that it waits for itself. Claims the
 * producer of `r` if nobody has and this worker may run it. SH_OK: *slot is RUNNING for this client. */
bool sh_should_run_awaited(const sh_self *self);
sh_status sh_next_awaited(sh_self *self, sh_ref r, uint32_t *slot);
/* Back in the task that was interrupted by an awaited one, and that began at `since_ns`. */
void sh_resume(sh_self *self, uint32_t slot, uint64_t since_ns);

/* Is there something that sh_next_try might return? Reads shared words only; may be wrong for a moment. */
bool sh_next_possible(const sh_self *self);
/* Announce that this worker or actor sleeps until there is work: sets its idle bit. Then look once more (sh_next_possible) before sleeping. */
void sh_idle_announce(sh_self *self);
void sh_idle_withdraw(sh_self *self);
/* Spin for work, at most SH_SPIN_NS. True if there may be some. Without the lock. */
bool sh_spin_next(sh_self *self);

/* Commit a task whose returns are filled, and that is RUNNING, or was CLAIMED to be refused; seal them and let the slot go.
 * SH_LOST: it was cancelled, and is the daemon's from here on; or its process is being killed for it, and takes no more work.
 * Nothing is sealed here. */
sh_status sh_commit(sh_self *self, uint32_t slot);

/* Has user code of a task in this state begun, and not been committed? Also when it is to be ended. */
static inline bool sh_task_has_begun(uint32_t state) {
  return state == SH_TASK_RUNNING || (state >= SH_TASK_KILLING && state <= SH_TASK_OVERDUE);
}
/* Is there nothing left to do for a task in this state, or to end? */
static inline bool sh_task_is_over(uint32_t state) {
  return state < SH_TASK_READY || state == SH_TASK_COMMITTED || state >= SH_TASK_LOGGED;
}
/* Is user code of the task running in this client, as far as its word says? Also when the client is to end it. */
static inline bool sh_is_run_by(uint64_t word, uint32_t client) {
  uint32_t state = sh_word_state(word);
  return (state == SH_TASK_RUNNING || state == SH_TASK_CANCELLED || state == SH_TASK_OVERDUE) &&
         sh_word_who(word) == client;
}
/* Is this process, which runs the task, to end it? Reads one shared word. */
bool sh_is_ending(const sh_self *self, uint32_t slot);
/* Let go of a task that this process runs and is to end: the daemon resolves it. False: it is not to be ended, or this
 * process is to be killed for it. */
bool sh_surrender(sh_self *self, uint32_t slot);

/* May a task that this process runs have another attempt? A crash, or an attempt that ended in an error, costs one. */
bool sh_may_retry(const sh_self *self, uint32_t slot);
/* The attempt ended in an error that is worth another one: put the task back, with its arguments. False: it was cancelled, and
 * is the daemon's; or its process is being killed for it. */
bool sh_retry(sh_self *self, uint32_t slot);
/* The same for a call of an actor, whose next attempt is this process's as well, before any other call: it stays RUNNING, which is
 * what a death, a cancel or a kill finds whatever attempt it is. Not for streams. */
bool sh_repeat_here(sh_self *self, uint32_t slot);

/* Put a claimed task back, as if it had never been claimed (worker exits, inline run refused). */
void sh_unclaim(sh_self *self, uint32_t slot);

/* About to park in get: free the CPU and make sure that somebody works on. And back. */
void sh_block(sh_self *self);
void sh_unblock(sh_self *self);

/* Called for a task whose awaited entry was resolved. Idempotent. */
void sh_task_deliver(sh_self *self, uint32_t slot, uint64_t waiting_word);
/* Make sure that a READY task is hinted, and wake somebody for it. */
void sh_task_hint(sh_self *self, uint32_t slot);

/* Fenced, node stopping, or an actor without handles and calls. */
bool sh_should_exit(const sh_self *self);

#endif
