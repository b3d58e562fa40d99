/* SPDX-License-Identifier: Apache-2.0
 *
 * The records that the node layer adds to the segment: clients, classes, seats, roots, slots. Who writes each word is said
 * beside it; a word with one writer needs no CAS, any other names its owner.
 */
#ifndef SH_NODE_RECORDS_H
#define SH_NODE_RECORDS_H

#include "base/id.h"
#include "graph/waiter.h"
#include "queue/park.h"
#include "queue/ring.h"
#include "store/entry.h"
#include "store/payload.h"

/* ---- clients: any process attached to the segment; record 0 is the daemon ---- */

#define SH_CLIENT_FREE 0U
#define SH_CLIENT_LIVE 1U
#define SH_CLIENT_DYING 2U /* its pidfd fired; being swept */

typedef enum sh_role { SH_ROLE_DAEMON, SH_ROLE_DRIVER, SH_ROLE_WORKER, SH_ROLE_ACTOR } sh_role;

/* What a process does with its core, for the spin budget. Own byte, own writer. */
typedef enum sh_run_state { SH_RUN_NONE, SH_RUN_BUSY, SH_RUN_SPINNING, SH_RUN_PARKED } sh_run_state;

/* A lease: class + 1 [0,16) | state [16,20) | changes [20,32) | GPUs [32,64).
 *
 *   0 -> GRANTED -> BUSY -> GRANTED -> RETURNED -> 0      the client: each step by CAS, BUSY after the claim of a task and
 *   GRANTED or BUSY -> 0                                  before user code; the daemon: the first, the last, and this one
 *
 * The daemon takes a lease away from a client that is stopped and has no task of it. So a client that cannot make its claimed
 * task BUSY puts it back, and nobody runs on resources that were given to somebody else. */
#define SH_LEASE_GRANTED 1U
#define SH_LEASE_RETURNED 2U
#define SH_LEASE_BUSY 3U
static inline uint64_t sh_lease(uint32_t class_id, uint32_t state, uint32_t gpu_mask) {
  return (uint64_t)(class_id + 1U) | ((uint64_t)state << 16) | ((uint64_t)gpu_mask << 32);
}
static inline uint32_t sh_lease_state(uint64_t lease) {
  return (uint32_t)(lease >> 16) & 15U;
}
static inline uint64_t sh_lease_in(uint64_t lease, uint32_t state) {
  uint64_t changes = ((lease >> 20) + 1U) & 4095U;
  return (lease & ~0xFFFF0000ULL) | ((uint64_t)state << 16) | (changes << 20);
}

/* What a client waits for that does not wait in one get. No entry has these: generation 0 is no record's. */
#define SH_AWAITS_NOTHING 0U
#define SH_AWAITS_SEVERAL 1U /* wait, or several threads: whatever its waiters name */

/* What can end a wait, in the two low bits of x_waits; the rest is when it began, so no two waits of a client are alike. Only a
 * wait by the thread that runs the client's one task, which no clock ends, is told: from such waits a circle is made
 * (docs/design/035). */
#define SH_WAIT_ANYHOW 0U  /* something else too: a deadline, another thread */
#define SH_WAIT_SOLE 1U    /* only what x_awaits names */
#define SH_WAIT_LISTED 2U  /* that, or an error among the others of a list */
#define SH_WAIT_ALL 3U     /* only what its waiters name, all or some of it */
#define SH_WAIT_ENDS_BY 3U /* mask */

typedef struct sh_client {
  /* written by the daemon */
  sh_a32 x_state, x_epoch, x_pid, x_role;
  sh_a32 x_class;  /* actor: the class it serves */
  sh_a32 x_root;   /* its job: workers serve one job for life */
  sh_a32 x_fenced; /* no more work; see sh_should_exit */
  sh_a32 x_crew;   /* worker: the crew that it is of */
  sh_a64 x_lease;
  sh_a64 x_log_counted; /* log cells below are processed: the client may reuse them */
  uint64_t pad0[10];
  sh_park park;   /* wakers and the client */
  sh_a64 x_waits; /* by the client: since when it is parked in get or wait, and SH_WAIT_*; 0 = it is not */
  uint64_t pad1[13];
  /* written by the client */
  sh_a64 op; /* intent: the hint being taken from a ring; 0 = none */
  sh_a64 x_log_tail;
  sh_a32 x_depth;                            /* of the task it runs */
  sh_a32 x_buried;                           /* destructors have left references to flush */
  sh_a32 x_beat;                             /* changes while it spins: the tick tells a spinner from a stopped one */
  sh_a64 x_claimed_store, x_claimed_records; /* bytes of chunks and arenas it claimed, for the budget */
  sh_a64 x_submitted, x_completed, x_busy_ns, x_parks;
  sh_a64 x_current;               /* packed slot it executes (last claimed), for `why` and listings */
  sh_a64 x_since_ns;              /* when it claimed that one */
  sh_a64 x_allowance, x_baseline; /* private bytes it may hold now, 0 = any number; and held when that began to count */
  sh_a64 x_room_wanted;           /* bytes of the allocation that this client waits for; 0 = none */
  sh_a64 x_awaits;                /* packed entry that a parked get waits for, or SH_AWAITS_*: for `why` and listings */
} sh_client;
_Static_assert(sizeof(sh_client) == 384, "layout is an ABI: bump SH_LAYOUT_VERSION");

/* ---- the reference log of a client: one cell an event ---- */

#ifndef SH_LOG_CELLS /* smaller where a search must exhaust it: tests/core/explore */
#define SH_LOG_CELLS 16384U
#endif
#define SH_LOG_POKE 4096U /* unread events after which the daemon is woken */
typedef enum sh_log_kind {
  SH_LOG_HOLD = 1, /* this client now holds the entry */
  SH_LOG_DROP,
  SH_LOG_SUB,      /* the task's rows are referenced from now on */
  SH_LOG_DONE,     /* the task is over: release its rows, its spec and its slot */
  SH_LOG_CONTAINS, /* the entry's rows are referenced from now on */
  SH_LOG_FREE,     /* closed and dropped, has rows: the daemon frees it */
  SH_LOG_KEEP,     /* a child of a task that is repeated: the daemon holds it until that is over (children.h) */
} sh_log_kind;
static inline uint64_t sh_log_event(sh_log_kind kind, sh_ref r) {
  return (uint64_t)kind | ((uint64_t)r.index << 4) | ((uint64_t)r.generation << 32);
}
static inline sh_log_kind sh_log_kind_of(uint64_t e) {
  return (sh_log_kind)(e & 15U);
}
static inline sh_ref sh_log_ref(uint64_t e) {
  sh_ref r = {.index = (uint32_t)(e >> 4) & 0x0FFFFFFFU, .generation = (uint32_t)(e >> 32)};
  return r;
}

/* ---- scheduling classes: what may run where; an actor is a class with one taker ---- */

/* A crew is the workers of one job that have one environment. A task class names the crew that takes its tasks, a worker the
 * one that it is of, both for life: so no task runs in another environment than its own. The crew without an environment has
 * the number of its root; the others have numbers that no root has. */

#define SH_CLASS_LIVE 2U
#define SH_CLASS_CLOSED 3U /* an actor that is gone, or a root that ended: nothing of it may be claimed */
#define SH_MAX_DEMANDS 8U
#define SH_PRIORITY_USUAL 128U /* what a priority of 0 is stored as */
#define SH_KIND_MEMORY 1U      /* counted in MiB; a lease that is enforced: x_allowance */
typedef enum sh_class_kind {
  SH_CLASS_SEAT = 1,
  SH_CLASS_FREE_RUN,
  SH_CLASS_LEASE,
  SH_CLASS_ACTOR,
  SH_CLASS_GROUP, /* a placement group, which has no tasks: group.h */
} sh_class_kind;

typedef struct sh_class { /* written by the daemon, except the bits */
  sh_a64 word;
  sh_a32 kind, root;
  sh_a32 cpu_milli, gpu_milli;
  sh_a32 n_demands;
  sh_a32 priority;       /* + SH_PRIORITY_USUAL */
  sh_a32 x_taker;        /* actor: client + 1 of its process */
  sh_a32 x_unreferenced; /* actor: the last handle is gone; it ends when its calls are done */
  sh_a32 x_restarts;     /* actor: 1: when its process dies, another one follows; its calls wait for that */
  sh_a32 x_incarnation;  /* actor: processes that it had before the present one */
  sh_a32 crew;           /* task class: who takes its tasks */
  sh_a32 room;           /* whose resources it books: sh_room; 0 = the node's */
  sh_a32 tag;            /* the front end's: classes of different tags are never one */
  sh_a32 logs;           /* actor: its calls are LOGGED while it may be restarted (call_log.h) */
  struct {
    sh_a32 kind, milli;
  } demands[SH_MAX_DEMANDS];
  sh_system_error end;            /* why it was closed */
  sh_a64 x_bits[SH_CLIENT_WORDS]; /* hint: this client's ring of the class may hold something */
} sh_class;

/* A bundle of a placement group: class + 1 of the group, bundle + 1; 0 = none, any. */
static inline uint32_t sh_room(uint32_t group, uint32_t bundle) {
  return group | (bundle << 16);
}
#define SH_ROOM_GONE 0xFFFFU /* of a group that was removed: the number of none */
static inline uint32_t sh_room_group(uint32_t room) {
  return room & 0xFFFFU;
}
static inline uint32_t sh_room_bundle(uint32_t room) {
  return room >> 16;
}

/* ---- seats: one word a CPU ---- */

typedef enum sh_seat_state { SH_SEAT_FREE, SH_SEAT_IDLE, SH_SEAT_RUN, SH_SEAT_LEASED } sh_seat_state;
static inline uint64_t sh_seat_word(uint32_t client, sh_seat_state state, uint32_t seq) {
  return (uint64_t)client | ((uint64_t)state << 16) | ((uint64_t)seq << 32);
}
static inline uint32_t sh_seat_client(uint64_t w) {
  return (uint32_t)w & 0xFFFFU;
}
static inline sh_seat_state sh_seat_state_of(uint64_t w) {
  return (sh_seat_state)((w >> 16) & 15U);
}
typedef struct sh_seat {
  sh_a64 word;
  uint64_t pad[7];
} sh_seat;
typedef struct sh_seats {
  sh_a32 x_wanted;      /* daemon: seats it collects for leases; finishers give theirs up */
  sh_a32 x_turn;        /* daemon: the crew whose workers may take seats now, when several want them; 0 = all */
  sh_a32 x_lease_waits; /* daemon: 1 while work waits for a lease; whoever goes idle then pokes it */
  uint32_t pad[29];
  sh_seat seat[SH_MAX_SEATS];
} sh_seats;

/* ---- slots: a task while it waits or runs ---- */

#define SH_TASK_READY 2U   /* who = class */
#define SH_TASK_WAITING 3U /* who = class, tag = which wait */
#define SH_TASK_CLAIMED 4U /* who = client, from here on */
#define SH_TASK_RUNNING 5U
#define SH_TASK_COMMITTED 6U
#define SH_TASK_KILLING 7U
#define SH_TASK_CANCELLED 8U
#define SH_TASK_OVERDUE 9U
#define SH_TASK_LOGGED 10U /* who = class again */
#define SH_TASK_LAST SH_TASK_LOGGED

#define SH_SLOT_ACTOR_CALL 1U
#define SH_SLOT_CREATES_ACTOR 2U
#define SH_SLOT_HAS_ROWS 4U      /* its arguments name objects: the daemon frees it, after DONE */
#define SH_SLOT_RETRY_OVERDUE 8U /* an attempt that ran too long costs a retry, instead of the task */
#define SH_SLOT_STREAM 16U       /* its first return is the next item of a stream (stream.h) */
#define SH_SLOT_DYNAMIC 32U      /* for the front end: its one return is a list of what the call yields */

#define SH_SPEC_INLINE 96U

typedef enum sh_commit_state { SH_COMMIT_LOCAL, SH_COMMIT_LOGGED, SH_COMMIT_ACKED } sh_commit_state;

typedef struct sh_slot {
  sh_a64 word;
  sh_a32 x_class;            /* atomic: the daemon reads it of a task that may end meanwhile */
  uint16_t submitter, depth; /* client; nesting of the calling task + 1 */
  uint32_t flags;            /* SH_SLOT_* */
  sh_a32 x_attempt;          /* attempts that died or are repeated; written by who runs it, or the repair thread */
  uint32_t max_retries;
  uint32_t counter; /* n-th child of its parent */
  uint64_t id_lo, id_hi, parent_lo, parent_hi;
  uint64_t fn_lo, fn_hi; /* function by content, or method by name */
  uint32_t root, root_epoch;
  uint32_t n_returns, n_deps;
  uint64_t returns;    /* n_returns = 1: packed entry; more: in the spec, before the arguments; a stream's moves */
  sh_a64 loc;          /* of the spec: returns (if several), then the payload of the arguments */
  uint64_t spec_bytes; /* 0: no arguments */
  sh_a32 x_cursor;     /* claimer: arguments before it are resolved */
  uint32_t owner_node;
  sh_a64 deadline_left_ns;  /* that an attempt may run, never a clock value; 0 = any time */
  uint64_t rebuild_cost_ns; /* own duration + arguments' costs, filled at commit */
  uint8_t hops, commit_state, priority;
  sh_a8 x_pressed; /* attempts ended because the node ran out of memory; written by the repair thread */
  uint32_t order;  /* of an actor's call: where its hint lies in the caller's ring, which orders the caller's calls */
  union {
    uint32_t ahead; /* stream: items that may lie there before one is taken; 0 = any number */
    sh_a32
        x_position; /* call of an actor that logs: which one, and SH_POSITION_RAISED; 0 = not begun, or not to be logged */
  };
  sh_a32 x_made; /* SH_MADE_*: what its attempts have called; written by who runs it, or the repair thread */
  uint8_t inline_bytes[SH_SPEC_INLINE];
} sh_slot;
_Static_assert(sizeof(sh_slot) == 256, "layout is an ABI: bump SH_LAYOUT_VERSION");

#define SH_POSITION_RAISED 1U /* the rest counts in steps of two */

/* x_made: calls of actors with a smaller number have been made, even if nothing of them is left; the last attempt ended in an
 * exception. */
#define SH_MADE_BELOW 0x7FFFFFFFU
#define SH_MADE_FAILED 0x80000000U

/* Which call of which task an entry is a return of. Lies beside the entries, for only tasks that may have another attempt need
 * it (children.h). Written by the caller before the call is published, of the entry that has this generation. */
typedef struct sh_origin {
  uint64_t parent; /* packed slot of the calling task */
  uint64_t fn_lo, digest;
  uint32_t counter, class_id, class_generation, flags;
  sh_a32 x_generation;
  uint32_t spare;
} sh_origin;
_Static_assert(sizeof(sh_origin) == 48, "layout is an ABI: bump SH_LAYOUT_VERSION");

/* ---- addresses ---- */

static inline sh_client *sh_client_at(const sh_segment *s, uint32_t client) {
  return (sh_client *)sh_region(s, SH_REGION_CLIENTS) + client;
}
static inline sh_class *sh_class_at(const sh_segment *s, uint32_t class_id) {
  return (sh_class *)sh_region(s, SH_REGION_CLASSES) + class_id;
}
static inline sh_seats *sh_seats_of(const sh_segment *s) {
  return (sh_seats *)sh_region(s, SH_REGION_SEATS);
}
static inline sh_a8 *sh_run_state_of(const sh_segment *s, uint32_t client) {
  return (sh_a8 *)sh_region(s, SH_REGION_RUN_STATE) + client;
}
static inline sh_a64 *sh_log_cell(const sh_segment *s, uint32_t client, uint64_t at) {
  return (sh_a64 *)sh_region(s, SH_REGION_LOGS) + (uint64_t)client * SH_LOG_CELLS + at % SH_LOG_CELLS;
}
static inline sh_a32 *sh_ring_of(const sh_segment *s, uint32_t client, uint32_t class_id) {
  return (sh_a32 *)sh_region(s, SH_REGION_RING_OF) + (uint64_t)client * SH_MAX_CLASSES + class_id;
}
static inline sh_ring *sh_ring_at(const sh_segment *s, uint32_t ring) {
  return (sh_ring *)sh_pool_record(s, sh_pool_of(s, SH_POOL_RING), ring);
}
static inline sh_slot *sh_slot_at(const sh_segment *s, uint32_t slot) {
  return (sh_slot *)sh_pool_record(s, sh_pool_of(s, SH_POOL_SLOT), slot);
}
static inline uint32_t sh_slot_class(const sh_slot *t) {
  return sh_load32_relaxed(&t->x_class);
}
static inline bool sh_slot_known(const sh_segment *s, uint32_t slot) {
  return slot < sh_pool_capacity(sh_pool_of(s, SH_POOL_SLOT));
}
static inline sh_waiters sh_waiters_of(const sh_segment *s) {
  const sh_pool *p = sh_pool_of(s, SH_POOL_WAITER);
  sh_waiters ws = {.records = sh_pool_record(s, p, 0), .capacity = sh_pool_capacity(p)};
  return ws;
}
static inline sh_a64 *sh_fired_word(const sh_segment *s, uint32_t waiter) {
  return (sh_a64 *)sh_region(s, SH_REGION_FIRED) + waiter / 64U;
}
/* Pins of `client`: one bit an entry. */
static inline uint64_t sh_pins_bytes(const sh_segment *s) {
  return sh_pool_capacity(sh_pool_of(s, SH_POOL_ENTRY)) / 64U * sizeof(sh_a64);
}
static inline sh_a64 *sh_pins_word(const sh_segment *s, uint32_t client, uint32_t entry) {
  return (sh_a64 *)(void *)((uint8_t *)sh_region(s, SH_REGION_PINS) + client * sh_pins_bytes(s)) + entry / 64U;
}
/* Where `client` has claimed tasks: one bit a chunk of slots. Written by the client, and by the sweep once it is dead. */
static inline uint32_t sh_claims_words(const sh_segment *s) {
  return (sh_pool_of(s, SH_POOL_SLOT)->n_chunks + 63U) / 64U;
}
static inline sh_a64 *sh_claims_word(const sh_segment *s, uint32_t client, uint32_t chunk) {
  return (sh_a64 *)sh_region(s, SH_REGION_CLAIMS) + (uint64_t)client * sh_claims_words(s) + chunk / 64U;
}
/* Where calls of an actor lie or lay: one bit a chunk of slots. Set by who submits a call, before it is published; cleared by
 * the daemon when the class becomes another actor's. */
static inline sh_a64 *sh_called_word(const sh_segment *s, uint32_t class_id, uint32_t chunk) {
  return (sh_a64 *)sh_region(s, SH_REGION_CALLED) + (uint64_t)class_id * sh_claims_words(s) + chunk / 64U;
}
/* Where others have made objects that `client` owns (stream.h): one bit a chunk of entries. Set by who makes them, before they
 * are LIVE; cleared by the sweep of the client. */
static inline uint32_t sh_given_words(const sh_segment *s) {
  return (sh_pool_of(s, SH_POOL_ENTRY)->n_chunks + 63U) / 64U;
}
static inline sh_a64 *sh_given_word(const sh_segment *s, uint32_t client, uint32_t chunk) {
  return (sh_a64 *)sh_region(s, SH_REGION_GIVEN) + (uint64_t)client * sh_given_words(s) + chunk / 64U;
}
static inline sh_origin *sh_origin_at(const sh_segment *s, uint32_t entry) {
  return (sh_origin *)sh_region(s, SH_REGION_ORIGINS) + entry;
}
static inline uint32_t sh_clients_high(const sh_segment *s) {
  uint32_t high = sh_load32_acquire(&s->header->x_clients_high);
  return high < SH_MAX_CLIENTS ? high : SH_MAX_CLIENTS;
}
/* The ring of (client, class); NULL when there is none, or when what names it cannot be right. */
static inline sh_ring *sh_ring_named(const sh_segment *s, uint32_t client, uint32_t class_id) {
  uint32_t named = sh_load32_acquire(sh_ring_of(s, client, class_id));
  return named - 1U < sh_pool_capacity(sh_pool_of(s, SH_POOL_RING)) ? sh_ring_at(s, named - 1U) : NULL;
}

/* May some ring of the class hold something? Reads hints. */
static inline bool sh_class_has_bits(const sh_segment *s, const sh_class *c) {
  uint32_t words = (sh_clients_high(s) + 63U) / 64U;
  for (uint32_t w = 0; w < words; w++)
    if (sh_load_relaxed(&c->x_bits[w]))
      return true;
  return false;
}

/* Bytes of memory that a class demands, and may not exceed; 0: it demands none. */
static inline uint64_t sh_class_memory(const sh_segment *s, uint32_t class_id) {
  const sh_class *c = sh_class_at(s, class_id);
  uint32_t n = sh_load32_relaxed(&c->n_demands);
  for (uint32_t i = 0; i < n && i < SH_MAX_DEMANDS; i++)
    if (sh_load32_relaxed(&c->demands[i].kind) == SH_KIND_MEMORY)
      return ((uint64_t)sh_load32_relaxed(&c->demands[i].milli) * (1U << 20) + 999U) / 1000U;
  return 0;
}

/* Words of the task-class bitmap that may hold a bit. */
static inline uint32_t sh_class_words(const sh_segment *s) {
  uint32_t high = sh_load32_acquire(&s->header->x_classes_high);
  return ((high < SH_MAX_CLASSES ? high : SH_MAX_CLASSES) + 63U) / 64U;
}

/* The spec's bytes (returns, then payload); NULL: none or damaged. */
static inline uint8_t *sh_slot_spec(const sh_segment *s, sh_slot *t) {
  uint64_t loc = sh_load_relaxed(&t->loc);
  if (sh_loc_kind_of(loc) == SH_LOC_INLINE)
    return t->inline_bytes;
  return loc == SH_LOC_NONE ? NULL : sh_heap_at(s, loc);
}
/* The payload of the arguments, or NULL when the call has none. */
static inline const sh_payload *sh_slot_payload(const sh_segment *s, sh_slot *t) {
  uint64_t skip = t->n_returns > 1U ? 8ULL * t->n_returns : 0ULL;
  uint8_t *spec = sh_slot_spec(s, t);
  return spec && t->spec_bytes > skip ? (const sh_payload *)(const void *)(spec + skip) : NULL;
}
static inline sh_ref sh_slot_return(const sh_segment *s, sh_slot *t, uint32_t i) {
  if (t->n_returns == 1U)
    return sh_ref_unpack(t->returns);
  const sh_a64 *all = (const sh_a64 *)(const void *)sh_slot_spec(s, t);
  return sh_ref_unpack(all ? sh_load_relaxed(&all[i]) : 0);
}

#endif
