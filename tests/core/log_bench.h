/* SPDX-License-Identifier: Apache-2.0
 *
 * An actor that logs its calls, on the test bench: two callers, the actor, and what the daemon does around it. The class has the
 * number of the second caller's record, which no sweep may take it for. */
#ifndef TESTS_CORE_LOG_BENCH_H
#define TESTS_CORE_LOG_BENCH_H

#include "node/call_log.h"
#include "rig.h"

#define LOG_BENCH_ROOT 9U /* the second caller's job */
#define LOG_BENCH_EVER 4U /* as max_retries: more than any test kills */

typedef struct log_bench {
  rig r;
  sh_self actor, other; /* the actor; a caller of another job */
  uint32_t class_id, incarnation;
} log_bench;

void log_bench_open(log_bench *b);
/* The actor and its class end as they may: nothing is left. `refs` are the driver's. */
void log_bench_close(log_bench *b, const sh_ref *refs, uint32_t n);
/* The class is closed: the actor is gone for good. */
void log_bench_end(log_bench *b);
/* The process dies, another one follows and opens the log; the checkpoint that it restores covers what is up to `position`. */
void log_bench_restart(log_bench *b, uint32_t position);

/* A call like this one, by `by`; of the actor and with one return unless it says otherwise. */
sh_ref log_bench_call(log_bench *b, sh_self *by, const rig_call *like);
/* The driver's n-th call, with nothing but its addend. */
sh_ref log_bench_submit(log_bench *b, uint64_t addend);
/* The actor claims the next call, which must be the one that makes `out`. -> its slot */
uint32_t log_bench_claim(log_bench *b, sh_ref out);
/* The same, and enters the method; and runs it to its end. */
uint32_t log_bench_begin(log_bench *b, sh_ref out);
uint32_t log_bench_run(log_bench *b, sh_ref out);
/* The driver calls, the actor runs it. */
sh_ref log_bench_do(log_bench *b, uint64_t addend);

sh_slot *log_bench_slot(const log_bench *b, uint32_t slot);
uint32_t log_bench_state(const log_bench *b, uint32_t slot);
/* Its word says that `who` has committed it: as a death leaves it, between two stores. */
void log_bench_set_committed(log_bench *b, uint32_t slot, uint32_t who);
/* What the actor's log holds is just the calls that make these, in this order; each is LOGGED. */
void log_bench_expect(const log_bench *b, const sh_ref *outs, uint32_t n);
uint64_t log_bench_live_slots(log_bench *b);

#endif
