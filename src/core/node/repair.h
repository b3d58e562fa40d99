/* SPDX-License-Identifier: Apache-2.0
 *
 * The one process that repairs: the daemon, by one C thread without the GIL. It holds the pidfds, sweeps the dead, reads the
 * reference logs, grants leases, and every SH_TICK_NS repeats any step that has not moved since the last tick, so that a
 * stopped process delays only its own claimed task. Only a pidfd says that a client is dead.
 *
 * Locking: one private mutex of the daemon process. Every function below takes it; the thread holds it while it works.
 */
#ifndef SH_NODE_REPAIR_H
#define SH_NODE_REPAIR_H

#include "node/counts.h"
#include "node/ledger.h"
#include "node/lineup.h"
#include "node/spill.h"
#include "node/warm.h"

#include <pthread.h>

#define SH_TICK_NS 40000000U /* two of them and what they set in motion fit into 100 ms */
#define SH_WORK_NS 5000000U  /* for releases in one round */
#define SH_CPU_MILLI 1000U

typedef enum sh_event_kind {
  SH_EVENT_CLIENT_SWEPT = 1, /* a = client, b = epoch, c = 0 */
  SH_EVENT_NEED_WORKERS, /* a = how many, b = -1, c = crew; or b = class id of an actor that was granted, c = root */
  SH_EVENT_ACTOR_UNREFERENCED, /* a = class id */
  SH_EVENT_STARVED,            /* a = class id, b = milliseconds its oldest task has waited for resources */
  SH_EVENT_QUARANTINED,        /* a = pool or SH_DAMAGED_*, b = index */
  SH_EVENT_FLUSH,              /* a = a client that sits on references it dropped; 0 = all: the store is full */
  SH_EVENT_LIMITED,            /* processes under a memory limit may have grown: measure them */
  SH_EVENT_CONDEMNED,          /* a = client, b = epoch: kill it, its task was ended by force; c = sh_verdict */
  SH_EVENT_GRANTED,            /* a = class id of a placement group that has its resources */
} sh_event_kind;
typedef struct sh_event {
  int64_t kind, a, b, c;
} sh_event;

typedef struct sh_claims { /* what a lease or an actor holds */
  uint32_t class_id;       /* + 1; 0 = nothing */
  uint32_t cpu_milli;      /* 0 once given back by a parked get */
  uint32_t gpu_mask;
  uint32_t group, bundle; /* where it is booked: class + 1 of a placement group, 0 = the node */
  sh_demand demand;       /* as it was booked: the class may be another one by the time that this ends */
} sh_claims;

/* Why the daemon kills a worker: decides what becomes of the task in it. */
typedef enum sh_verdict {
  SH_VERDICT_NONE,
  SH_VERDICT_LIMIT,    /* it holds more memory than it may: it fails, for it would do so again */
  SH_VERDICT_PRESSURE, /* the node runs out of memory: it is retried later, not at once, and has a count of its own */
  SH_VERDICT_CANCEL,   /* it was cancelled by force; about no other task of the worker */
  SH_VERDICT_OVERDUE,  /* it ran too long and does not end by itself; likewise */
  SH_VERDICT_REMOVED   /* its placement group was removed; likewise */
} sh_verdict;

typedef struct sh_put_off { /* a task that waits for its next attempt; its word is CLAIMED by client 0 */
  uint32_t slot, generation;
  uint64_t due_ns;
} sh_put_off;

typedef struct sh_ending { /* a task that is being ended: cancel.h */
  uint32_t slot, generation;
  sh_id128 id;
  uint64_t kill_ns; /* when its worker is killed for it */
  bool cancelled;   /* else only this attempt is ended, which is overdue */
  bool removed;     /* cancelled, because its placement group was removed */
  bool recursive, began;
} sh_ending;

typedef struct sh_progress {            /* what the last tick saw of a client */
  uint64_t op, committed, told;         /* told: of the errors of which committed task */
  uint64_t seatless, seatless_since_ns; /* the task that it runs without a seat, and since when we know; 0 = none */
  uint32_t beat, wake, buried;
} sh_progress;

typedef struct sh_backlog {
  uint64_t heads, waiting; /* over the rings of a class: hints ever taken, and hints that lie there */
} sh_backlog;

typedef struct sh_group sh_group;

struct sh_repair {
  sh_segment seg;
  sh_self self; /* client 0 */
  sh_counts counts;
  sh_spill spill;
  sh_warm warm;
  pthread_mutex_t lock;
  pthread_t thread;
  bool running;
  sh_a32 stop;
  int poke_fd, event_fd, epoll_fd;
  int *pidfds;              /* by client, -1 = none */
  sh_client *known_clients; /* what we wrote into the segment: known.h */
  sh_class *known_classes;
  uint32_t clients_high, classes_high; /* ever registered, ever defined */
  bool ranked;                         /* a task class has been defined whose priority is not the usual one */
  bool stopped;
  sh_lineup *lineup;       /* of classes that wait for resources */
  uint64_t *starved_since; /* by class: first look at its unserved work; 0 = none */
  uint64_t *starved_told;
  uint64_t *lacking_since; /* by class: no idle worker was seen since; 0 = one was */
  uint64_t *lacking_taken; /* by class: hints taken when last looked */
  sh_claims *leases;       /* by client */
  sh_claims *actors;       /* by class */
  uint8_t *actor_waits;    /* by class: an actor or a group was refused its resources, and waits */
  sh_group **groups;       /* by class; NULL = it is none */
  uint8_t *verdicts;       /* by client: sh_verdict, until it is swept */
  sh_put_off *put_off;
  uint32_t n_put_off, cap_put_off;
  sh_ending *endings;
  uint32_t n_endings, cap_endings;
  uint32_t pressed_max;      /* attempts that pressure may cost a task */
  uint64_t pressed_pause_ns; /* before the first attempt after one; doubles with each further */
  uint32_t n_ticks;
  sh_ledger ledger;         /* of the node */
  uint32_t seat_pool_milli; /* CPU milli handed out from seats that the daemon holds */
  uint32_t collector;       /* class + 1 for which it holds seats beyond those; 0 = nobody */
  sh_progress *progress;    /* by client */
  sh_backlog *backlog;      /* by class: the sums of one tick */
  uint64_t *ring_heads;     /* by class with work at the last tick: sum of its ring heads then, + 1 */
  uint32_t seen_rescan, seen_orphans, seen_pressure, turn_at;
  bool rescan_failed;                   /* hints found no room: once a tick is enough */
  bool *damaged_logs;                   /* by client: told already */
  uint32_t heal_class, heal_record;     /* where the next look begins */
  uint64_t *entry_doubts, *slot_doubts; /* by record: its word, if it looked odd at the last look */
  uint64_t last_tick_ns;
  bool short_of_leases; /* somebody waited for resources at the last round */
  sh_event *events;
  uint32_t n_events, cap_events;
  uint64_t sweeps, repairs, quarantined, log_events;
};

sh_status sh_repair_open(sh_repair *d, const sh_segment_config *config);
sh_status sh_repair_start(sh_repair *d);
/* Stop the thread; marks the segment STOPPED and wakes everybody, so that clients see it. */
void sh_repair_stop(sh_repair *d);
void sh_repair_close(sh_repair *d);

/* A fresh client record; the pidfd is duplicated. `crew`: of a worker, 0 = the root's. SH_FULL when all records are taken. */
sh_status sh_repair_register(sh_repair *d, uint32_t pid, int pidfd, uint32_t role, int32_t class_id, uint32_t root,
                             uint32_t crew, uint32_t *index, uint32_t *epoch);
void sh_repair_fence(sh_repair *d, uint32_t index, uint32_t epoch);

/* Classes. `demands` are pairs of kind and milli. */
typedef struct sh_shape {
  uint32_t root, cpu_milli, gpu_milli, n_demands;
  int32_t priority; /* of task classes: higher first, within the job */
  uint32_t crew;    /* of task classes: 0 = the root's */
  uint32_t kinds[SH_MAX_DEMANDS], milli[SH_MAX_DEMANDS];
  uint32_t group, bundle, tag; /* group and bundle as in sh_room; tag as in sh_class */
  bool logs;                   /* of an actor: as in sh_class */
} sh_shape;
sh_status sh_repair_define_class(sh_repair *d, const sh_shape *shape, uint32_t *class_id);
sh_status sh_repair_define_actor(sh_repair *d, const sh_shape *shape, uint32_t *class_id);
/* What becomes of an actor's calls when its process dies: with `restarts` they wait for the next one, and those that it was
 * running are put back as far as their max_retries allow. To be said before the first process is registered, and again before
 * each further one, with the number of those before it. */
void sh_repair_set_restarts(sh_repair *d, uint32_t class_id, bool restarts, uint32_t incarnation);
bool sh_repair_reserve_actor(sh_repair *d, uint32_t class_id, uint32_t *gpu_mask);
void sh_repair_close_class(sh_repair *d, uint32_t class_id, const sh_system_error *end);
/* Resolve with `end` what waits in a task class whose workers cannot be made. The class stays open for what comes later. */
void sh_repair_fail_class(sh_repair *d, uint32_t class_id, const sh_system_error *end);
void sh_repair_end_root(sh_repair *d, uint32_t root);
sh_status sh_repair_set_capacity(sh_repair *d, uint32_t kind, uint32_t milli);

/* The task that this worker runs cannot commit any more: kill the worker. SH_LOST: it does not run that task (now). */
sh_status sh_repair_condemn(sh_repair *d, uint32_t index, uint32_t epoch, sh_ref task, sh_verdict verdict);

/* Keep an object on behalf of the daemon, and let it go. False: it is gone. */
bool sh_repair_hold(sh_repair *d, sh_ref r);
void sh_repair_drop(sh_repair *d, sh_ref r);
/* Before the daemon tells a client of an object: count a hold of it by that client, which then takes it by sh_ref_adopt. So
 * nothing can free it between the telling and the taking. False: the object is gone, or the client is. */
bool sh_repair_hold_for(sh_repair *d, uint32_t client, uint32_t epoch, sh_ref r);
/* Who holds which shared object: up to `max` of them. -> how many. An unshared object is held by its owner alone. */
typedef struct sh_holding {
  sh_ref object;
  uint32_t client, count;
} sh_holding;
uint32_t sh_repair_holdings(sh_repair *d, sh_holding *out, uint32_t max);
/* Move up to `max` events out. */
uint32_t sh_repair_events(sh_repair *d, sh_event *out, uint32_t max);

/* One round by hand (tests; the thread must not run): logs, deaths of `dead` (or -1), leases, tick. */
void sh_repair_round(sh_repair *d, int32_t dead_client);

typedef struct sh_stats {
  uint64_t live_entries, live_slots, live_waiters, live_bytes, claimed_bytes;
  uint64_t submitted, completed, busy_ns, parks;
  uint64_t repairs, sweeps, quarantined, log_events;
  uint64_t free_seats, leased_seats, clients; /* seats free or idle; held by the daemon for leases */
} sh_stats;
void sh_repair_stats(sh_repair *d, sh_stats *out);
bool sh_repair_is_valid(sh_repair *d);

/* -- between the files of the repair thread; the lock is held -- */
void sh_event_add(sh_repair *d, sh_event_kind kind, int64_t a, int64_t b, int64_t c);
void sh_sweep_client(sh_repair *d, uint32_t client);
/* Resolve every task that `match` accepts and that has not begun with `error`. `where`: a bit for each chunk of slots in which
 * there may be some; NULL: anywhere. */
void sh_sweep_fail(sh_repair *d, bool (*match)(const sh_slot *t, uint32_t arg), uint32_t arg, const sh_a64 *where,
                   const sh_system_error *error);
/* Resolve a READY or WAITING task with an error. False: it is not what `word` says any more. */
bool sh_sweep_refuse(sh_repair *d, uint32_t slot, uint64_t word, const sh_system_error *error);
/* The values of a task are final, and its word names the daemon or a dead client: close the returns, then let the slot go. */
void sh_sweep_finish(sh_repair *d, uint32_t slot, uint64_t committed);
/* Resolve a task with an error; its word names the daemon, or a dead client: nobody else may decide. */
void sh_sweep_resolve(sh_repair *d, uint32_t slot, uint64_t word, const sh_system_error *error);
/* The next attempt of a task whose word names the daemon. False: it has none left. */
bool sh_sweep_repeat(sh_repair *d, uint32_t slot, uint64_t word);
/* Put tasks back whose pause is over. */
void sh_sweep_put_back(sh_repair *d, uint64_t now_ns);
/* Hint every READY task; resolve those of closed classes. */
void sh_sweep_rescan(sh_repair *d);
void sh_sweep_orphans(sh_repair *d);
/* A class that is not there yet, or one of the same shape. */
sh_status sh_define(sh_repair *d, const sh_shape *shape, sh_class_kind kind, uint32_t *class_id);
void sh_lease_run(sh_repair *d, uint64_t now_ns);
/* Hints in the rings of an open class. */
uint64_t sh_work_of(sh_repair *d, uint32_t class_id);
/* The next crew's turn, if several have ready one-CPU work. Who cannot move is left out. */
void sh_turns_take(sh_repair *d);
/* CPUs of the node, all or none: seats may be collected towards them although the answer is no. And back. */
bool sh_lease_take_cpu(sh_repair *d, uint32_t milli);
void sh_lease_give_cpu(sh_repair *d, uint32_t milli);
void sh_lease_end(sh_repair *d, uint32_t client);
/* Take leases away from processes that are stopped without a task of it; the CPUs of those that have one. -> how many. */
uint32_t sh_lease_revoke(sh_repair *d);
void sh_lease_end_actor(sh_repair *d, uint32_t class_id);
bool sh_lease_actor(sh_repair *d, uint32_t class_id, uint32_t *gpu_mask);
void sh_tick(sh_repair *d);
/* A damaged record: counted and told. `what` is a pool, or one of these. */
#define SH_DAMAGED_CLIENT SH_POOL_COUNT
#define SH_DAMAGED_CLASS (SH_POOL_COUNT + 1U)
#define SH_DAMAGED_SEAT (SH_POOL_COUNT + 2U)
#define SH_DAMAGED_HEADER (SH_POOL_COUNT + 3U)
#define SH_DAMAGED_LOG (SH_POOL_COUNT + 4U)
void sh_quarantine(sh_repair *d, uint32_t what, uint32_t index);
/* Take a task that cannot be right out of use, and resolve what it should have made with SH_ERR_DAMAGED. */
void sh_quarantine_slot(sh_repair *d, uint32_t slot, uint64_t word);
/* Resolve one promise with an error. */
void sh_fail_promise(sh_repair *d, sh_ref r, uint32_t code);

#endif
