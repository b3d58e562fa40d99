/* SPDX-License-Identifier: Apache-2.0
 *
 * Ending a task before it has a result: cancel, and attempts that run too long. Sole writer: the daemon, which keeps a private list of what it is ending and
 * goes on with it at each round, until the slot is somebody else's. Why this way: docs/design/026.
 *
 * Guarantees: the CAS from RUNNING to CANCELLED and the commit's exclude each other, so an object becomes its value
 * or its error and never both; no step hits a task of another generation; a worker is killed for the task that it was
 * condemned for, and for no other.
 */
#ifndef SH_NODE_CANCEL_H
#define SH_NODE_CANCEL_H

#include "node/repair.h"

#define SH_NEVER_NS UINT64_MAX
#define SH_GRACE_NS 1000000000U /* in which an overdue task may clean up, before its worker is killed */

/* End a task whatever it is doing; with `recursive` also what it submitted, and so on. `force`: kill the worker that runs
 * it; of an actor's call only what waits is ended by force. SH_LOST: it is over, nothing was done. SH_INVALID: no such
 * slot. The lock is taken. */
sh_status sh_repair_cancel(sh_repair *d, sh_ref task, bool force, bool recursive);

/* -- the lock is held -- */

/* Go on with everything that is being ended. With `tick` whoever was told and does not end it is told again. */
void sh_cancel_run(sh_repair *d, bool tick, uint64_t now_ns);

/* Is it on the list? */
bool sh_is_being_ended(const sh_repair *d, sh_ref task);

/* Take hints that are about nothing out of the rings of a task class. */
void sh_drop_stale_hints(sh_repair *d, uint32_t class_id);

/* The placement group of this class was removed: end all that was to run in it, and what runs with its workers. */
void sh_cancel_group(sh_repair *d, uint32_t group, uint64_t now_ns);

/* Is the task that this worker runs overdue? Then its attempt is ended like a cancelled one; it may be repeated. Of tasks that
 * a worker runs one in the place of the other, the inner one is looked at, and the outer one when it goes on. */
void sh_cancel_overdue(sh_repair *d, uint32_t client, uint64_t now_ns);

#endif
