/* SPDX-License-Identifier: Apache-2.0
 *
 * The counts of shared objects, in the repair thread's private memory, fed by the clients' logs (refs.h).
 *
 * A round takes two snapshots of all log tails, S1 then S2, and counts every increment up to S2 before any decrement up to
 * S1. An increment that a decrement in S1 relies on was logged before it (refs.h says in which order), so it is in S2:
 * counts never pass through zero while somebody holds. Hence no cut, no epoch, no audit.
 *
 * What follows from a decrement (an object freed, its rows released, and so on down a tree of containers) is put on a work
 * list and done in slices, so that a container of a million references does not keep the thread from logs, deaths and
 * tick. A unit that waits on the list still counts: whatever looks meanwhile sees the object held.
 */
#ifndef SH_NODE_COUNTS_H
#define SH_NODE_COUNTS_H

#include "base/table.h"
#include "node/self.h"

typedef struct sh_count {
  uint32_t generation;
  int32_t n;
  uint16_t contains; /* 1: its rows have been counted */
  uint16_t kept;     /* 1: it is on the list of kept ones */
} sh_count;

typedef struct sh_kept { /* a child of a task that is repeated, held until the task is over: children.h */
  uint64_t parent;       /* packed slot of the task */
  sh_ref r;
} sh_kept;

typedef struct sh_counts {
  sh_self *self;
  sh_count *entries;    /* by entry */
  uint32_t *submitted;  /* by slot: generation whose SUB was counted and whose DONE was not */
  uint64_t *increments; /* by client: log position up to which increments are counted */
  uint64_t *decrements; /* and decrements; what the client reads of it is a copy */
  sh_table *holds;      /* by client: packed reference -> holds logged */
  sh_ref *work;         /* references to be decremented; nobody recurses */
  uint32_t n_work, cap_work;
  sh_kept *kept;
  uint32_t n_kept, cap_kept;
  void (*unreferenced)(void *context, uint32_t class_id); /* an actor's handle reached zero */
  void (*damaged)(void *context, uint32_t client);        /* a log's tail cannot be right: asked at each round */
  /* The rows of a value whose bytes are on disk. */
  uint32_t (*rows_away)(void *context, sh_ref r, const sh_row **rows);
  void *context;
} sh_counts;

sh_status sh_counts_open(sh_counts *c, sh_self *self);
void sh_counts_close(sh_counts *c);

/* Read all logs once. -> events counted. What they release is left to sh_counts_work. */
uint64_t sh_counts_read(sh_counts *c);

/* Release what is on the work list, for about `budget_ns` (SH_COUNTS_ALL: to the end). True if something is left. */
#define SH_COUNTS_ALL UINT64_MAX
bool sh_counts_work(sh_counts *c, uint64_t budget_ns);

/* Hold and drop on behalf of the daemon (exported references). False: the object is gone. The caller has read the logs:
 * what others hold is counted before our unit comes or goes. */
bool sh_counts_hold(sh_counts *c, sh_ref r);
void sh_counts_drop(sh_counts *c, sh_ref r);
/* Hold on behalf of a client that is about to receive the reference from the daemon: as if it had logged HOLD itself.
 * False: the object is gone, or there is no memory to note it. */
bool sh_counts_hold_for(sh_counts *c, uint32_t client, sh_ref r);

/* A task is over: its rows, its spec, its slot. `word` is its final word. */
void sh_counts_done(sh_counts *c, uint32_t slot, uint64_t word);
/* The rows of an object's value, and whether they have been counted (true for a value without any). */
uint32_t sh_counts_rows(sh_counts *c, sh_ref r, const sh_row **rows);
bool sh_counts_knows(sh_counts *c, sh_ref r);
/* Forget a value that was filled but will not be published: its rows, if they were counted. */
void sh_counts_unfill(sh_counts *c, sh_ref r);
/* Nobody holds it (found by a sweep): to be dropped and freed. */
void sh_counts_abandon(sh_counts *c, sh_ref r);
/* Hold a child on behalf of its parent's next attempt. Once: idempotent. */
void sh_counts_keep(sh_counts *c, sh_ref r);
/* Let go of the children of tasks that are over. */
void sh_counts_settle(sh_counts *c);
/* A dead client's holds end. Its log was read to the end before. */
void sh_counts_forget(sh_counts *c, uint32_t client);

#endif
