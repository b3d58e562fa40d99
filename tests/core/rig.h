/* SPDX-License-Identifier: Apache-2.0
 *
 * A node on the test bench: one segment, its repair state driven by hand, and clients that are plain structures of this
 * process (or, after a fork, of a child: the mapping is shared). Tasks have known answers: the i-th return of a call is
 * its addend + i + the sum of its arguments' values.
 */
#ifndef TESTS_CORE_RIG_H
#define TESTS_CORE_RIG_H

#include "node/idle.h"
#include "node/object.h"
#include "node/refs.h"
#include "node/repair.h"
#include "node/seat.h"
#include "node/stream.h"
#include "node/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fails the program and says where. */
#define EXPECT(x)                                          \
  do {                                                     \
    if (!(x))                                              \
      rig_fail(__FILE__, __LINE__, "not true: " #x, 0, 0); \
  } while (0)
/* Equality of unsigned integers, with both values in the message. */
#define EXPECT_EQ(a, b)                                       \
  do {                                                        \
    uint64_t a_ = (uint64_t)(a), b_ = (uint64_t)(b);          \
    if (a_ != b_)                                             \
      rig_fail(__FILE__, __LINE__, #a " is not " #b, a_, b_); \
  } while (0)
_Noreturn void rig_fail(const char *file, int line, const char *what, uint64_t a, uint64_t b);
/* Runs one test function and names it if it is the one that fails. */
#define RUN(test)       \
  do {                  \
    rig_running(#test); \
    test();             \
  } while (0)
void rig_running(const char *test);

#define RIG_WORKERS 4U
#define RIG_ROOT 7U

typedef struct rig {
  sh_repair d;
  sh_self driver, worker[RIG_WORKERS];
  uint32_t n_workers, class_id; /* class_id: one CPU, no other demands */
} rig;

/* A small node with one driver and `n_workers` workers of one job. Aborts on failure, like everything here. */
void rig_open(rig *r, uint32_t n_workers, uint32_t n_seats);
/* The same with a store of `store_bytes`; an arena for each client that makes large values. */
void rig_open_sized(rig *r, uint32_t n_workers, uint32_t n_seats, uint64_t store_bytes);
/* Checks that the node is valid and closes it. */
void rig_close(rig *r);
/* Register and open one more client. Its view of the segment is the daemon's. */
void rig_attach(rig *r, sh_self *self, uint32_t role, int32_t class_id, uint32_t root);
/* The client dies in good order, is swept and forgotten. */
void rig_detach(rig *r, sh_self *self);
/* An actor class with a client that serves it. */
uint32_t rig_actor(rig *r, sh_self *self);
/* One whose calls are logged (call_log.h), and that may be restarted. */
uint32_t rig_logging_actor(rig *r, sh_self *self);
/* The process of an actor dies, and another one takes its place: the `incarnation`-th after the first. It has looked at nothing. */
void rig_restart_actor(rig *r, sh_self *self, uint32_t class_id, uint32_t incarnation);
/* Read the logs and serve leases, `n` times; with rig_tick also repeat what has not moved since the last tick. */
void rig_rounds(rig *r, uint32_t n);
void rig_tick(rig *r);
/* One look of the daemon at every record: for damage, and for what deaths leave in chunks of others. */
void rig_look_at_everything(rig *r);
/* Everything was given back: no record, payload or seat is in use. Workers are made to leave their seats first. */
void rig_expect_empty(rig *r);

/* Values. */
sh_ref rig_put(sh_self *self, uint64_t value, uint64_t bytes);
sh_ref rig_put_container(sh_self *self, const sh_ref *children, uint32_t n);
bool rig_is_closed(const sh_self *self, sh_ref r);
/* The value of a closed object; aborts if it is an error, or was damaged. */
uint64_t rig_value(const sh_self *self, sh_ref r);
/* 0, or the sh_error_code of a closed object that is an error. */
uint32_t rig_error(const sh_self *self, sh_ref r);

/* Calls. */
typedef struct rig_call {
  uint32_t class_id, n_returns, n_deps, max_retries, flags, ahead;
  const sh_ref *deps;
  uint64_t timeout_ns;
  uint64_t function;        /* for tests that tell calls apart */
  uint64_t addend, padding; /* padding: more argument bytes, to make the spec large */
} rig_call;
sh_status rig_try_submit(sh_self *self, const rig_call *call, sh_ref *returns);
void rig_submit(sh_self *self, const rig_call *call, sh_ref *returns);
/* A call of the rig's class with one return. */
sh_ref rig_submit_one(rig *r, uint64_t addend, const sh_ref *deps, uint32_t n_deps);
/* Compute and fill all returns of a RUNNING task, values of `bytes` each; then commit. */
void rig_fill(sh_self *worker, uint32_t slot, uint64_t bytes);
void rig_fill_plus(sh_self *worker, uint32_t slot, uint64_t bytes, uint64_t plus);
void rig_finish(sh_self *worker, uint32_t slot);
/* Fill `out`, a return or the tail of a running task, with a value that names `inside`, which the worker holds. */
void rig_fill_container(sh_self *worker, sh_ref out, sh_ref inside);
/* The task whose return this is, and the state of its slot. */
sh_ref rig_task_of(const rig *r, sh_ref out);
uint32_t rig_state_of(const rig *r, sh_ref out);
/* Claim a task; there must be one. -> its slot */
uint32_t rig_claim(sh_self *worker);
/* Submit a call with one return as the task in `slot`, which `self` runs, would do it. */
sh_ref rig_submit_child(rig *r, sh_self *self, uint32_t slot);
/* The worker dies, and another one takes its place. */
void rig_replace(rig *r, sh_self *worker);
/* The client that was condemned last since the last look; 0: none. Takes all events. */
uint32_t rig_condemned(rig *r);
/* A running stream, one at a time: deliver one item, without its permit being waited for; and end it. False: nobody wants it. */
bool rig_yield(sh_self *worker, uint32_t slot, uint64_t value, uint64_t bytes);
void rig_end_stream(sh_self *worker, uint32_t slot);
/* Its permits are the business of who takes the items. */
void rig_drop_permits(sh_self *worker);
/* Claim one task and finish it. False if there was none. */
bool rig_work(sh_self *worker);
/* Let all workers work until none finds anything; rounds in between. */
void rig_work_all(rig *r);

/* A class of tasks with this demand: so much of a CPU, and, unless it is 0, one of this kind of resource. */
uint32_t rig_define(rig *r, uint32_t cpu_milli, uint32_t demanded_kind);
/* A call of that class with one return and no arguments, by the driver. */
sh_ref rig_submit_to(rig *r, uint32_t class_id);

/* The driver lets go of all: nothing is in use, no ending is under way, nothing was repaired. Closes the node. */
void rig_close_empty(rig *r, const sh_ref *refs, uint32_t n);
/* Cancel the task that returns `out`, with its children. */
sh_status rig_cancel(rig *r, sh_ref out);

#endif
