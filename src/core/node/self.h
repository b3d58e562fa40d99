/* SPDX-License-Identifier: Apache-2.0
 *
 * This process as a client: its view of the segment and everything private to it (magazines, arenas, reference counts).
 *
 * Threads: all functions of the node layer that take an sh_self are called with one lock held (the GIL), except the waits in
 * idle.h that say so. Nothing here is shared with other processes; a kill loses it, and nothing in it decides.
 * fork: the child must call sh_self_forked before anything else; from then on every call is refused.
 */
#ifndef SH_NODE_SELF_H
#define SH_NODE_SELF_H

#include "node/records.h"

/* What this process knows of an entry it holds. Indexed by entry; pages appear as they are used. */
#define SH_LOCAL_OWNED 1U      /* made here: while unshared it is freed here */
#define SH_LOCAL_SHARED 2U     /* counted by the daemon: HOLD was logged */
#define SH_LOCAL_CLOSED 4U     /* seen resolved: never look again */
#define SH_LOCAL_WATCHED 8U    /* its resolution is to be reported by sh_drain_fired */
#define SH_LOCAL_MARKED 16U    /* the binding's, while it goes through a list */
#define SH_LOCAL_CHILD 32U     /* a return of a call of a task that may be repeated (children.h) */
#define SH_LOCAL_PINS_SHIFT 6U /* flags above: looks at its bytes, and views of them, in this process */
#define SH_LOCAL_PINS (~0U << SH_LOCAL_PINS_SHIFT)
typedef struct sh_local {
  uint32_t generation;
  uint32_t count;  /* references in this process */
  uint32_t waiter; /* our waiter on its list + 1; at most one */
  uint32_t flags;
} sh_local;

/* A child whose last reference in this process is gone (children.h). */
typedef struct sh_keep {
  sh_ref r;
  uint64_t parent;
  uint64_t bytes; /* of the heap; 0: in its entry, or not resolved when last looked at */
  bool open;
} sh_keep;

/* A call that this actor has logged (call_log.h). */
typedef struct sh_logged {
  uint32_t slot, position;
  uint64_t bytes;
} sh_logged;

typedef struct sh_self {
  sh_segment seg;
  sh_client *me;
  uint32_t index, epoch, role;
  int poke_fd;
  bool forked, open;
  bool lacks_room;                 /* the last SH_FULL was about bytes of values, not about records */
  bool owns_seg;                   /* unmap at close; false: the mapping is somebody else's in this process */
  sh_magazine mags[SH_POOL_BLOCK]; /* entries, slots, waiters, rings */
  sh_heap heap;
  sh_local *local;
  uint8_t *touched;        /* by heap unit: this process has written to it, its pages are mapped */
  uint32_t *watched_entry; /* by waiter: the entry it was made for */
  uint32_t seat;           /* our seat + 1 */
  bool seated_run;         /* the seat was in state RUN when we left it, with the word seat_word */
  uint64_t seat_word;
  uint64_t lease; /* the lease that we claim under now; 0 = none */
  bool unseated;  /* runs user code without a seat */
  uint32_t rotor; /* where the search for work starts */
  uint32_t n_dead, cap_dead;
  sh_ref *dead; /* references dropped by destructors, flushed by the next call */
  uint32_t n_overtaken, cap_overtaken;
  uint32_t *overtaken; /* entries that resolved and whose waiter serves another entry by now: to be reported (idle.c) */
  sh_id128 task_id;    /* whom this process's main thread acts for */
  uint32_t task_counter, put_counter, depth, root, crew;
  uint64_t parent; /* packed slot of that task, if it may have another attempt; 0 = it may not, or there is none */
  sh_keep *kept;
  uint32_t n_kept, cap_kept, kept_turn;
  uint64_t kept_bytes;
  bool logs;              /* actor: its calls are logged (call_log.h) */
  bool checkpoint_is_due; /* its log cannot be relied upon, or grows too large */
  uint32_t position;      /* of the last call whose method was entered */
  sh_logged *logged;      /* since the last cut, in their order */
  uint32_t n_logged, cap_logged;
  uint64_t logged_bytes;                                       /* of their arguments */
  void (*log_sink)(void *context, sh_log_kind kind, sh_ref r); /* the repair thread counts its own events at once */
  void *log_context;
  /* How to sleep in the middle of a call, on a word, for at most `ns`: by default the futex itself. A front end with a lock
   * of its own gives it up meanwhile. */
  void (*wait_hook)(sh_a32 *word, uint32_t seq, uint64_t ns);
  atomic_bool leaving;     /* this process wants to end: set by any of its threads */
  atomic_bool lost;        /* the daemon is gone: set by any thread of this process */
  struct sh_stall *late;   /* actor: hints from others' rings, until the caller's own ring is empty */
  struct sh_stall *stalls; /* actor: callers whose next call waits for an argument, by client */
  bool recovered;          /* actor: it has the calls that a process before it had taken */
  uint64_t busy_since_ns;  /* when the last task was claimed; overlapping calls of an actor count once */
  uint64_t no_spin_before_ns;
} sh_self;

sh_status sh_self_open(sh_self *self, int segment_fd, int poke_fd, uint32_t index, uint32_t epoch);
/* The same over a mapping that this process has already and keeps until after sh_self_close: N clients run as N threads. */
sh_status sh_self_open_over(sh_self *self, const sh_segment *seg, int poke_fd, uint32_t index, uint32_t epoch);
/* Unmap and forget. Does not tell anybody: the daemon learns it from the pidfd. */
void sh_self_close(sh_self *self);
void sh_self_forked(sh_self *self);

/* SH_FENCED when this client may not work any more; SH_INVALID after close or in a forked child. */
sh_status sh_self_usable(const sh_self *self);

/* The daemon died, and the segment with it: every wait of this process ends. Any thread. */
void sh_self_lost(sh_self *self);

/* This process will take no more work: its loop sees it by sh_should_exit. Any thread. */
void sh_self_leave(sh_self *self);

/* Wake the repair thread. */
void sh_self_poke(sh_self *self);

/* What the store may claim, and what it has claimed: bytes of blocks and arenas. */
uint64_t sh_store_limit(const sh_segment *s);
uint64_t sh_store_claimed(const sh_segment *s);

/* Budget callbacks for pools and heap: refuse to claim what would exceed the node's limits. A negative number of bytes was granted
 * and not claimed. */
bool sh_budget_store(void *self, uint64_t bytes);
bool sh_budget_records(void *self, uint64_t bytes);

/* Allocate a record of a generational pool for this client. */
static inline sh_status sh_self_alloc(sh_self *self, sh_pool_id pool, uint32_t *index, uint64_t *word) {
  return sh_pool_alloc(&self->seg, pool, &self->mags[pool], self->index, 0, sh_budget_records, self, index, word);
}
/* Allocate payload memory. SH_FULL has raised the node's pressure: the same call may succeed a little later. */
sh_status sh_self_room(sh_self *self, uint64_t tag, uint64_t bytes, uint64_t *loc);

/* Is this the first time that this process writes to [data, data + bytes) of the heap? Asked once: it is marked written. */
bool sh_self_first_touch(sh_self *self, const uint8_t *data, uint64_t bytes);

/* This client's ring for a class, made at first use. */
sh_status sh_self_ring(sh_self *self, uint32_t class_id, sh_ring **ring);
/* The same, with room for one more hint; another ring in place of one that is damaged. */
sh_status sh_self_ready_ring(sh_self *self, uint32_t class_id, sh_ring **ring);
sh_ring_memory sh_self_ring_memory(sh_self *self);

#endif
