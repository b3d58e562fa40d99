/* SPDX-License-Identifier: Apache-2.0
 *
 * What there is in a segment, for people: one record at a time, copied into a view. Any process that maps the segment, read-only
 * too; blocks not, writes nothing, and needs neither the daemon nor anybody else to move.
 *
 * A view is of one record at one instant: its word was the same before and after the rest was copied (G). Two views are of two
 * instants, so a reference in one may lead nowhere in the other. Numbers that a peer may have written over are bounds-checked
 * before they are used to find anything; what they say is repeated as it is. The readers may run at any time beside everyone.
 */
#ifndef SH_NODE_SURVEY_H
#define SH_NODE_SURVEY_H

#include "node/records.h"

/* A task that waits or runs. */
typedef struct sh_task_view {
  sh_ref task;
  uint32_t state; /* SH_TASK_* */
  uint32_t who;   /* the client that has it, from CLAIMED on; before, its class */
  uint32_t class_id, submitter, depth, flags, attempt, max_retries, root;
  uint32_t n_returns, n_deps;
  sh_ref awaits; /* WAITING: the argument it waits for; generation 0 = not known */
  sh_id128 id, parent, function;
  uint64_t spec_bytes;
} sh_task_view;

/* An object: a value, an error, or the promise of one. */
typedef struct sh_object_view {
  sh_ref object;
  sh_id128 id;
  uint32_t number;
  uint32_t owner, owner_flags; /* a client; SH_OWNER_* */
  bool closed, dropped;
  uint64_t size, value_flags; /* of a closed one; SH_VALUE_* */
  sh_loc_kind where;
  sh_ref producer; /* the task that resolves it; generation 0 = a put */
} sh_object_view;

/* Somebody who waits for an object. */
typedef struct sh_waiter_view {
  sh_ref object;
  sh_waiter_kind kind;
  uint32_t target; /* a slot, or a client */
} sh_waiter_view;

typedef struct sh_client_view {
  uint32_t state, epoch, pid, role, class_id, root;
  sh_run_state run_state;
  bool blocked; /* a worker that gave its CPU up, to wait */
  sh_ref current;
  uint64_t since_ns; /* when it claimed that one */
  uint64_t awaits;   /* SH_AWAITS_* or the packed reference of the object that get waits for */
  uint64_t waits; /* since when it is parked for that, and SH_WAIT_*; two looks that find the same found one wait (U) */
  uint64_t room_wanted, submitted, completed, busy_ns, parks, lease;
} sh_client_view;

typedef struct sh_class_view {
  uint32_t state, kind, root, cpu_milli, gpu_milli, taker; /* taker: client + 1 */
  bool unreferenced;
  uint32_t n_demands, kinds[SH_MAX_DEMANDS], milli[SH_MAX_DEMANDS];
} sh_class_view;

/* Records of a pool that were ever in use: where a scan ends. */
uint32_t sh_survey_end(const sh_segment *s, sh_pool_id pool);

/* False when there is no such record, it is still being made, or it did not keep still. */
bool sh_survey_task(const sh_segment *s, uint32_t slot, sh_task_view *out);
bool sh_survey_object(const sh_segment *s, uint32_t entry, sh_object_view *out);
bool sh_survey_waiter(const sh_segment *s, uint32_t waiter, sh_waiter_view *out);
bool sh_survey_client(const sh_segment *s, uint32_t client, sh_client_view *out);
bool sh_survey_class(const sh_segment *s, uint32_t class_id, sh_class_view *out);

/* How many tasks are in each state: counts[SH_TASK_*]. Millions take milliseconds. */
void sh_survey_count_tasks(const sh_segment *s, uint64_t counts[SH_TASK_LAST + 1]);

/* The objects that a task's arguments name, dependencies first, or that a value names: at most `most`. -> how many; 0 also when
 * it is gone, or its bytes are on disk. */
uint32_t sh_survey_arguments(const sh_segment *s, sh_ref task, sh_ref *out, uint32_t most);
uint32_t sh_survey_contents(const sh_segment *s, sh_ref object, sh_ref *out, uint32_t most);

/* Has this client a view of the object's bytes? */
bool sh_survey_is_pinned(const sh_segment *s, uint32_t client, uint32_t entry);

#endif
