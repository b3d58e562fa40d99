/* SPDX-License-Identifier: Apache-2.0
 * A task that is cancelled at the moment at which something else happens to it. */
#include "scenarios.h"

#include "node.h"
#include "node/cancel.h"

static struct {
  sh_ref out, inside, later[2];
  uint32_t slot, actor_class, ran;
  sh_self actor;
} *stage;

static void cancel(void) {
  sh_ref task = sh_ref_unpack(sh_load_relaxed(&sh_entry_at(&node->d.seg, stage->out.index)->producer));
  (void)sh_repair_cancel(&node->d, task, false, false);
}
/* The daemon's next rounds: the list of what is being ended gets empty. */
static void finish(void) {
  rig_rounds(node, 2);
  XP_EQUAL(node->d.n_endings, 0);
}
static void value_or_error(void) {
  finish();
  XP_CHECK(rig_is_closed(&node->driver, stage->out));
  uint32_t code = rig_error(&node->driver, stage->out);
  XP_CHECK(code == 0 || code == SH_ERR_CANCELLED);
  if (code == 0)
    XP_EQUAL(rig_value(&node->driver, stage->out), 5);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  node_check_valid();
}

/* ---- beside its claim, its run and its commit ---- */

static void setup_ready(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  stage->out = rig_submit_one(node, 5, NULL, 0);
}
static void run_it(void) {
  uint32_t slot;
  if (sh_next_try(&node->worker[0], &slot) != SH_OK)
    return;
  rig_fill(&node->worker[0], slot, 8);
  (void)sh_commit(&node->worker[0], slot);
}
const xp_scenario ending_beside_run = {
    .name = "O R task: it is cancelled while a worker claims, runs and commits it",
    .setup = setup_ready,
    .run = {run_it, cancel},
    .check = value_or_error,
};

static void sweep_worker(void) {
  if (xp_await_death(1U) != XP_NOBODY)
    sh_sweep_client(&node->d, node->worker[0].index);
}
static void swept(void) {
  if (xp_has_died(0)) {
    rig_attach(node, &node->worker[0], SH_ROLE_WORKER, -1, RIG_ROOT);
    while (rig_work(&node->worker[0])) {
    }
  }
  finish();
  XP_CHECK(rig_is_closed(&node->driver, stage->out));
  uint32_t code = rig_error(&node->driver, stage->out);
  XP_CHECK(code == 0 || code == SH_ERR_CANCELLED || code == SH_ERR_WORKER_DIED);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  node_check_valid();
}
const xp_scenario ending_beside_death = {
    .name = "O task: it is cancelled while its worker is killed anywhere",
    .setup = setup_ready,
    .run = {run_it, cancel, sweep_worker},
    .check = swept,
    .mortal = 1U,
    .crashes = 1,
    .preemptions = 4,
};

static void setup_repeatable(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  rig_call call = {.class_id = node->class_id, .n_returns = 1, .addend = 5, .max_retries = 1};
  rig_submit(&node->driver, &call, &stage->out);
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
}
static void repeat_and_run(void) {
  if (sh_retry(&node->worker[0], stage->slot))
    run_it();
}
const xp_scenario ending_beside_retry = {
    .name = "O P task: it is cancelled while its worker puts it back and runs it again",
    .setup = setup_repeatable,
    .run = {repeat_and_run, cancel},
    .check = value_or_error,
};

/* ---- its time, and that of the task before it ---- */

#define LIMIT_NS 100U
#define LONG_AGO_NS ((uint64_t)-1000) /* the clock stands at 0 */
static void setup_next(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  rig_call call = {.class_id = node->class_id, .n_returns = 1, .addend = 5, .timeout_ns = LIMIT_NS};
  rig_submit(&node->driver, &call, &stage->out);
  sh_client *me = node->worker[0].me; /* it was put back, long after it had begun */
  sh_store_relaxed(&me->x_current, sh_load_relaxed(&sh_entry_at(&node->d.seg, stage->out.index)->producer));
  sh_store_relaxed(&me->x_since_ns, LONG_AGO_NS);
}
static void look_at_its_time(void) {
  sh_cancel_overdue(&node->d, node->worker[0].index, LIMIT_NS / 2U);
}
static void in_time(void) {
  finish();
  XP_EQUAL(rig_value(&node->driver, stage->out), 5);
  node_check_valid();
}
const xp_scenario ending_in_time = {
    .name = "N task: it is looked at while a worker begins it for the second time",
    .setup = setup_next,
    .run = {run_it, look_at_its_time},
    .check = in_time,
};

/* ---- its value holds a reference, which is counted and given back ---- */

static void setup_container(void) {
  setup_ready();
  sh_self *worker = &node->worker[0];
  uint8_t *data;
  XP_EQUAL(sh_next_try(worker, &stage->slot), SH_OK);
  stage->inside = rig_put(worker, 6, 8);
  sh_ref_share(worker, stage->inside);
  XP_EQUAL(sh_fill(worker, stage->out, sizeof(sh_payload) + sizeof(sh_row), SH_VALUE_HAS_REFS, &data), SH_OK);
  sh_payload head = {.version = SH_PAYLOAD_VERSION, .n_rows = 1};
  sh_row row = {.index = stage->inside.index, .generation = stage->inside.generation};
  memcpy(data, &head, sizeof head);
  memcpy(data + sizeof head, &row, sizeof row);
}
static void contain_and_commit(void) {
  sh_log_append(&node->worker[0], SH_LOG_CONTAINS, stage->out);
  (void)sh_commit(&node->worker[0], stage->slot);
  sh_ref_drop(&node->worker[0], stage->inside);
}
static void cancel_and_look(void) {
  cancel();
  rig_rounds(node, 1);
}
static void nothing_left(void) {
  finish();
  XP_CHECK(rig_is_closed(&node->driver, stage->out));
  sh_ref_drop(&node->driver, stage->out);
  rig_rounds(node, 2);
  (void)sh_counts_work(&node->d.counts, SH_COUNTS_ALL);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
  node_check_valid();
}
const xp_scenario ending_of_container = {
    .name = "O L task: it is cancelled while it commits a value that holds a reference",
    .setup = setup_container,
    .run = {contain_and_commit, cancel_and_look},
    .check = nothing_left,
    .preemptions = 3,
};

/* ---- an actor's call that holds up the next one ---- */

static void setup_actor(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  stage->actor_class = rig_actor(node, &stage->actor);
  sh_ref arg = rig_submit_one(node, 1, NULL, 0);
  rig_call call = {.class_id = stage->actor_class, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL, .addend = 5};
  call.deps = &arg;
  call.n_deps = 1;
  rig_submit(&node->driver, &call, &stage->out);
  call.n_deps = 0;
  for (uint32_t i = 0; i < 2; i++) {
    call.addend = 6 + i;
    rig_submit(&node->driver, &call, &stage->later[i]);
  }
}
static void serve_two(void) {
  uint32_t slot;
  while (stage->ran < 2U) {
    if (sh_next_try(&stage->actor, &slot) == SH_OK) {
      rig_finish(&stage->actor, slot);
      stage->ran++;
      continue;
    }
    node_rest(&stage->actor);
  }
}
/* The call was between claim and wait when it was cancelled: the daemon looks again. */
static void next_round(void) {
  sh_cancel_run(&node->d, true, 0);
}
static void later_done(void) {
  finish();
  XP_EQUAL(rig_error(&node->driver, stage->out), SH_ERR_CANCELLED);
  XP_EQUAL(rig_value(&node->driver, stage->later[0]), 6);
  XP_EQUAL(rig_value(&node->driver, stage->later[1]), 7);
  node_check_valid();
}
const xp_scenario ending_of_stalled_call = {
    .name = "B D actor: a call that it puts aside is cancelled while it goes idle",
    .setup = setup_actor,
    .run = {serve_two, cancel},
    .check = later_done,
    .quiet = next_round,
};

/* ---- by force: its worker is killed for it, or not at all ---- */

static void setup_two(void) {
  setup_ready();
  stage->later[0] = rig_submit_one(node, 6, NULL, 0);
}
static void run_both(void) {
  run_it();
  run_it();
}
static void cancel_by_force(void) {
  (void)sh_repair_cancel(&node->d, rig_task_of(node, stage->out), true, false);
}
static void killed_for_it_alone(void) {
  bool killing = rig_state_of(node, stage->out) == SH_TASK_KILLING && !rig_is_closed(&node->driver, stage->out);
  uint32_t condemned = rig_condemned(node);
  XP_EQUAL(condemned, killing ? node->worker[0].index : 0);
  if (killing) {
    XP_CHECK(!rig_is_closed(&node->driver, stage->later[0])); /* it took no other */
    rig_replace(node, &node->worker[0]);
  }
  while (rig_work(&node->worker[0])) {
  }
  XP_EQUAL(rig_value(&node->driver, stage->later[0]), 6);
  value_or_error();
}
const xp_scenario ending_by_force = {
    .name = "O task: it is cancelled by force while a worker claims, runs and commits it",
    .setup = setup_two,
    .run = {run_both, cancel_by_force},
    .check = killed_for_it_alone,
};

/* ---- with what it submits: none of its children is left when it was cancelled, and none was touched when not ---- */

static void setup_claimed(void) {
  setup_ready();
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
  sh_magazine *m = &node->driver.mags[SH_POOL_SLOT];
  m->n = 0;
  m->fresh = m->fresh_end;
}
/* In the end the slot of what was cancelled is a stranger's. */
static void submit_and_commit(void) {
  sh_ref r = rig_submit_child(node, &node->worker[0], stage->slot);
  stage->inside = r;
  rig_fill(&node->worker[0], stage->slot, 8);
  (void)sh_commit(&node->worker[0], stage->slot);
  sh_ref stranger = rig_submit_one(node, 6, NULL, 0);
  stage->later[0] = stranger;
}
static void cancel_all(void) {
  (void)rig_cancel(node, stage->out);
  rig_rounds(node, 1);
}
static void all_or_none(void) {
  finish();
  bool cancelled = rig_error(&node->driver, stage->out) == SH_ERR_CANCELLED;
  XP_EQUAL(rig_is_closed(&node->worker[0], stage->inside), cancelled);
  while (rig_work(&node->worker[0])) {
  }
  XP_EQUAL(rig_value(&node->driver, stage->later[0]), 6);
  if (cancelled)
    XP_EQUAL(rig_error(&node->worker[0], stage->inside), SH_ERR_CANCELLED);
  else
    XP_EQUAL(rig_value(&node->worker[0], stage->inside), 0);
  value_or_error();
}
const xp_scenario ending_with_children = {
    .name = "O R task: it is cancelled with its children while it submits one and commits",
    .setup = setup_claimed,
    .run = {submit_and_commit, cancel_all},
    .check = all_or_none,
    .may_read_behind = true, /* of a task that is over its id is noted in vain */
};

/* ---- while it waits for an argument that comes ---- */

static void setup_waiting(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  stage->inside = rig_submit_one(node, 3, NULL, 0);
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
  rig_fill(&node->worker[0], stage->slot, 8);
  stage->out = rig_submit_one(node, 2, &stage->inside, 1);
  (void)sh_counts_read(&node->d.counts);
}
static void commit_argument(void) {
  XP_EQUAL(sh_commit(&node->worker[0], stage->slot), SH_OK);
}
static void waiting_gone(void) {
  XP_EQUAL(rig_value(&node->driver, stage->inside), 3);
  XP_EQUAL(rig_error(&node->driver, stage->out), SH_ERR_CANCELLED);
  XP_CHECK(!rig_work(&node->worker[0]));
  XP_EQUAL(node_live(SH_POOL_WAITER), 0);
  sh_ref_drop(&node->driver, stage->inside);
  nothing_left();
}
const xp_scenario ending_while_waiting = {
    .name = "T W task: it is cancelled while the argument comes that it waits for",
    .setup = setup_waiting,
    .run = {commit_argument, cancel},
    .check = waiting_gone,
};

/* ---- of work that waits for a lease: the hints of those that are not cancelled stay ---- */

static void setup_leased(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  uint32_t class_id = rig_define(node, 500, 0);
  stage->out = rig_submit_to(node, class_id);
  stage->later[0] = rig_submit_to(node, class_id);
  sh_idle_announce(&node->worker[0]);
  rig_rounds(node, 1);
  sh_idle_withdraw(&node->worker[0]);
  XP_EQUAL(sh_lease_state(sh_load_relaxed(&node->worker[0].me->x_lease)), SH_LEASE_GRANTED);
}
static void later_done_under_lease(void) {
  for (uint32_t i = 0; i < 3; i++) /* the lease may have been given back, and is granted again */
    rig_work_all(node);
  XP_EQUAL(rig_value(&node->driver, stage->later[0]), 0);
  finish();
  uint32_t code = rig_error(&node->driver, stage->out);
  XP_CHECK(code == 0 || code == SH_ERR_CANCELLED);
  sh_ref_drop(&node->driver, stage->later[0]);
  nothing_left();
}
const xp_scenario ending_under_lease = {
    .name = "B P task: one of two that wait for a lease is cancelled while a worker takes them",
    .setup = setup_leased,
    .run = {run_both, cancel},
    .check = later_done_under_lease,
};

/* ---- the first of an actor's calls: the others keep their order ---- */

static void setup_queue(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  stage->actor_class = rig_actor(node, &stage->actor);
  rig_call call = {.class_id = stage->actor_class, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL};
  sh_ref *out[] = {&stage->out, &stage->later[0], &stage->later[1]};
  for (uint32_t i = 0; i < 3; i++) {
    call.addend = 5 + i;
    rig_submit(&node->driver, &call, out[i]);
  }
}
static void serve_what_is_there(void) {
  uint32_t slot;
  while (sh_next_try(&stage->actor, &slot) == SH_OK) {
    bool last = slot == rig_task_of(node, stage->later[1]).index;
    XP_CHECK(!last || rig_is_closed(&node->driver, stage->later[0]));
    rig_fill(&stage->actor, slot, 8);
    (void)sh_commit(&stage->actor, slot);
  }
}
static void queue_done(void) {
  serve_what_is_there();
  finish();
  XP_EQUAL(rig_value(&node->driver, stage->later[0]), 6);
  XP_EQUAL(rig_value(&node->driver, stage->later[1]), 7);
  sh_ref_drop(&node->driver, stage->later[0]);
  sh_ref_drop(&node->driver, stage->later[1]);
  value_or_error();
}
const xp_scenario ending_of_queued_call = {
    .name = "P actor: the first of three calls is cancelled while it takes them",
    .setup = setup_queue,
    .run = {serve_what_is_there, cancel},
    .check = queue_done,
};

/* ---- its time is up as it commits: what it submitted is ended with it, or not at all ---- */

static void setup_overdue(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  rig_call call = {.class_id = node->class_id, .n_returns = 1, .addend = 5, .timeout_ns = LIMIT_NS};
  rig_submit(&node->driver, &call, &stage->out);
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
  sh_ref r = rig_submit_child(node, &node->worker[0], stage->slot);
  stage->inside = r;
}
static void fill_and_commit(void) {
  rig_fill(&node->worker[0], stage->slot, 8);
  (void)sh_commit(&node->worker[0], stage->slot);
}
static void time_is_up(void) {
  sh_cancel_overdue(&node->d, node->worker[0].index, LIMIT_NS + 1U);
}
static void late_with_its_child(void) {
  finish();
  uint32_t code = rig_error(&node->driver, stage->out);
  XP_CHECK(code == 0 || code == SH_ERR_TIMED_OUT);
  XP_EQUAL(rig_is_closed(&node->worker[0], stage->inside), code != 0);
  while (rig_work(&node->worker[0])) {
  }
  XP_EQUAL(rig_error(&node->worker[0], stage->inside), code ? SH_ERR_CANCELLED : 0);
  node_check_valid();
}
const xp_scenario ending_too_late = {
    .name = "N O task: its time is up while it commits",
    .setup = setup_overdue,
    .run = {fill_and_commit, time_is_up},
    .check = late_with_its_child,
};
