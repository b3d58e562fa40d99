/* SPDX-License-Identifier: Apache-2.0
 *
 * Spinning, parking and waking: most of the latency of a node is decided here.
 *
 * On a virtual machine a futex round trip costs two orders of magnitude more than a hand-over to a spinner, and a spinner
 * costs a core. So: spinning processes <= cores - busy ones, counted from everybody's own run-state byte when going idle; a
 * spinner that sees a gap in its own clock was preempted or throttled and stops spinning for a while; a spinner that finds
 * work wakes a successor only if work is left.
 */
#ifndef SH_NODE_IDLE_H
#define SH_NODE_IDLE_H

#include "node/self.h"

#define SH_SPIN_NS 150000U    /* how long an idle process spins before it parks */
#define SH_SPIN_GAP_NS 50000U /* a longer gap between two looks means that we were not running */
#define SH_SPIN_BACKOFF_NS 4000000U
#define SH_NO_DEADLINE UINT64_MAX

/* May this process spin now? Reads run states; any thread. */
bool sh_may_spin(const sh_self *self);
void sh_set_run_state(sh_self *self, sh_run_state state);

/* Something that `client` waits for may be true now. Any process. */
void sh_wake_client(const sh_segment *s, uint32_t client);
/* A task class of this crew has work: wake an idle worker of it, unless one of them spins and will find it
 * (was_empty: the ring was empty before). True if one was woken. */
bool sh_wake_worker_of(const sh_segment *s, uint32_t crew, bool was_empty);
/* A CPU came free, or work is left: wake an idle worker of a crew that has work. */
void sh_wake_worker(const sh_segment *s);

/* Spin until r is closed, at most `limit_ns`. True if it is closed. Reads shared words only: with or without the lock. */
bool sh_spin_closed(sh_self *self, sh_ref r, uint64_t limit_ns);

/* Put our waiter on r's list (once per entry, kept across time-outs). With the lock.
 * SH_OK: wait; SH_EMPTY: closed already; SH_FULL; SH_LOST: no such object. */
sh_status sh_watch(sh_self *self, sh_ref r);

/* Park until r is closed, deadline_ns (absolute, monotonic) or slice_ns pass, or the client is fenced. Without the lock;
 * sh_watch came before. With `errors` (else NULL; sh_mind_errors came before), also until sh_errors_sealed is not *errors.
 * SH_OK closed, SH_TIMEOUT, SH_AGAIN (slice over, signal or errors), SH_FENCED. */
sh_status sh_park_closed(sh_self *self, sh_ref r, const uint32_t *errors, uint64_t deadline_ns, uint64_t slice_ns);

/* Park until one of our watched objects fires or work arrives for an actor's loop; same rules. `seq` is sh_park_prepare's
 * result from before the caller looked. */
sh_status sh_park_any(sh_self *self, uint32_t seq, uint64_t deadline_ns, uint64_t slice_ns);

/* Who waits for all of many objects watches one of them, and gives up when any is an error. Errors are rare, and a waiter on
 * each object would cost every task of a job; so who seals an error tells all clients that mind (x_minding), and these look
 * through their objects again. (D) The count and the bit are each written before the other is read: either the client sees
 * a count that has grown, or the sealer sees the bit. The count grows after CLOSED: who has seen the new one finds the error.
 * A sealer killed in between seals again by its sweep, a stopped one is helped by the tick (help_commit), each repeated. */
uint32_t sh_errors_sealed(const sh_self *self);
/* Threads of this client begin, or have all ceased, to mind. With the lock. A death leaves the bit to the sweep. */
void sh_mind_errors(sh_self *self, bool minds);
/* An object that was closed just now is an error. Any process. */
void sh_tell_of_error(const sh_segment *s);

/* Report fired waiters: fn(context, ref) for each watched object that resolved since the last call. With the lock. */
typedef void (*sh_fired_fn)(void *context, sh_ref r);
void sh_drain_fired(sh_self *self, sh_fired_fn fn, void *context);

/* Is there something for sh_drain_fired to report? With the lock. */
bool sh_any_fired(const sh_self *self);

/* A slice of an event loop's spinning, between which it looks at its sockets: until a call may be there for this actor, at
 * most `limit_ns`. True if one may. Without the lock, as it reads shared words only. A gap ends the spinning. */
bool sh_spin_call(sh_self *self, uint64_t limit_ns);

#endif
