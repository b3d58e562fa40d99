/* SPDX-License-Identifier: Apache-2.0
 * A task from submission to commit: hints and bits, idle workers, waiting tasks, closed classes, deaths and stops. */
#include "scenarios.h"

#include "node.h"

static struct {
  sh_ref first, second;
  uint32_t slot;
  uint32_t ran[XP_PROCESSES];
  uint32_t actor_class;
  sh_self actor;
} *stage;

static void setup_with(uint32_t n_workers) {
  node_open(n_workers, n_workers);
  stage = xp_room(sizeof *stage);
  /* The ring, chunks and bits are there, as after any other task. */
  sh_ref r = rig_submit_one(node, 1, NULL, 0);
  XP_CHECK(rig_work(&node->worker[0]));
  sh_ref_drop(&node->driver, r);
  while (rig_work(&node->worker[0])) {
  }
  sh_seat_leave(&node->worker[0]);
  rig_rounds(node, 2);
}
static void setup(void) {
  setup_with(1);
}
static void setup_two(void) {
  setup_with(2);
}

/* A worker's loop, as in the front end: until it has run `n` tasks, or is told to leave. */
static void serve(sh_self *self, uint32_t n) {
  uint32_t slot, me = xp_me();
  while (stage->ran[me] < n) {
    if (sh_next_try(self, &slot) == SH_OK) {
      rig_finish(self, slot);
      stage->ran[me]++;
      continue;
    }
    if (sh_should_exit(self))
      return;
    node_rest(self);
  }
}
static void serve_one(void) {
  serve(&node->worker[0], 1);
}
static void serve_two(void) {
  serve(&node->worker[0], 2);
}
static void serve_all(void) {
  serve(&node->worker[0], UINT32_MAX);
}

/* Through a variable: gcc does not instrument a structure that a call writes to memory. */
static void submit_one(void) {
  sh_ref r = rig_submit_one(node, 5, NULL, 0);
  stage->first = r;
}
static void submit_two(void) {
  submit_one();
  sh_ref r = rig_submit_one(node, 6, NULL, 0);
  stage->second = r;
}

static void one_done(void) {
  XP_EQUAL(rig_value(&node->driver, stage->first), 5);
  node_check_valid();
}
static void two_done(void) {
  one_done();
  XP_EQUAL(rig_value(&node->driver, stage->second), 6);
}

/* The first task of a client: its ring is made, and named, while a worker looks. */
static void setup_first(void) {
  node_open(2, 2);
  stage = xp_room(sizeof *stage);
}
const xp_scenario task_first = {
    .name = "B R D task: the first one of a client, an idle worker runs it",
    .setup = setup_first,
    .run = {submit_one, serve_one},
    .check = one_done,
};
/* The same with an actor, which looks for rings by their bits alone. */
static void setup_first_call(void) {
  setup_first();
  stage->actor_class = rig_actor(node, &stage->actor);
}
static void submit_call(void) {
  sh_ref r;
  rig_call call = {.class_id = stage->actor_class, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL, .addend = 5};
  rig_submit(&node->driver, &call, &r);
  stage->first = r;
}
static void serve_call(void) {
  serve(&stage->actor, 1);
}
const xp_scenario task_first_call = {
    .name = "B R D task: the first call of a client to an actor",
    .setup = setup_first_call,
    .run = {submit_call, serve_call},
    .check = one_done,
};
/* The same by a worker who is about to park in get: his tasks come before others, and are looked for by two bits. */
static void submit_and_block(void) {
  sh_ref r;
  rig_call call = {.class_id = node->class_id, .n_returns = 1, .addend = 5};
  rig_submit(&node->worker[1], &call, &r);
  stage->first = r;
  sh_block(&node->worker[1]);
}
const xp_scenario task_first_blocked = {
    .name = "B D task: the first one of a worker who parks in get, another runs it",
    .setup = setup_two,
    .run = {submit_and_block, serve_one},
    .check = one_done,
};

const xp_scenario task_idle = {
    .name = "R B D task: one submits, an idle worker runs it",
    .setup = setup,
    .run = {submit_one, serve_one},
    .check = one_done,
};
static void tell_to_leave(void) {
  sh_self_leave(&node->worker[0]);
}
const xp_scenario task_leave = {
    .name = "D task: a worker is told to leave while it goes idle",
    .setup = setup,
    .run = {tell_to_leave, serve_all},
};

const xp_scenario task_two = {
    .name = "R B D task: two tasks for an idle worker",
    .setup = setup,
    .run = {submit_two, serve_two},
    .check = two_done,
};

static void second_serves_one(void) {
  serve(&node->worker[1], 1);
}
const xp_scenario task_two_workers = {
    .name = "R B D task: two tasks for two idle workers",
    .setup = setup_two,
    .run = {submit_two, serve_one, second_serves_one},
    .check = two_done,
    .preemptions = 3,
};

/* ---- the same with a spinner ---- */

static void spin_one(void) {
  uint32_t slot;
  while (sh_next_try(&node->worker[0], &slot) != SH_OK)
    if (!sh_spin_next(&node->worker[0])) {
      serve(&node->worker[0], 1);
      return;
    }
  rig_finish(&node->worker[0], slot);
}
const xp_scenario task_spinner = {
    .name = "D task: one submits, a worker spins, then parks",
    .setup = setup,
    .run = {submit_one, spin_one},
    .check = one_done,
    .time_passes = true,
};

/* ---- an argument that is not there yet ---- */

static void setup_argument(void) {
  setup_with(2);
  stage->first = rig_submit_one(node, 5, NULL, 0);
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
  rig_fill(&node->worker[0], stage->slot, 8);
  (void)sh_counts_read(&node->d.counts);
}
static void submit_waiting(void) {
  sh_ref r = rig_submit_one(node, 10, &stage->first, 1);
  stage->second = r;
}
static void commit(void) {
  XP_EQUAL(sh_commit(&node->worker[0], stage->slot), SH_OK);
}
static void waited_done(void) {
  one_done();
  XP_EQUAL(rig_value(&node->driver, stage->second), 15);
  XP_EQUAL(node_live(SH_POOL_WAITER), 0);
}
static void run_the_rest(void) {
  while (rig_work(&node->worker[1])) {
  }
  waited_done();
}
const xp_scenario task_waits = {
    .name = "T W task: it waits for an argument that is sealed",
    .setup = setup_argument,
    .run = {submit_waiting, commit},
    .check = run_the_rest,
};
const xp_scenario task_waits_idle = {
    .name = "T W D task: it waits for an argument; an idle worker runs it",
    .setup = setup_argument,
    .run = {submit_waiting, commit, second_serves_one},
    .check = waited_done,
    .preemptions = 4,
};

/* ---- a worker that dies with a hint in its hand ---- */

static void setup_ready(void) {
  setup_with(2);
  submit_one();
}
static void sweep_worker(void) {
  node_sweep_dead(2U);
}
static void sweep_again(void) {
  if (xp_await_death(4U) != XP_NOBODY && xp_has_died(1))
    sh_sweep_client(&node->d, node->worker[0].index);
}
static void nobody(void) {}
static void found_or_failed(void) {
  if (xp_has_died(2))
    (void)sh_counts_read(&node->d.counts);
  while (rig_work(&node->worker[1])) {
  }
  XP_CHECK(rig_is_closed(&node->driver, stage->first));
  if (rig_error(&node->driver, stage->first) == 0)
    XP_EQUAL(rig_value(&node->driver, stage->first), 5);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  node_check_valid();
}
const xp_scenario task_killed_worker = {
    .name = "P K task: its worker is killed anywhere, and the sweep too",
    .setup = setup_ready,
    .run = {nobody, serve_one, sweep_worker, sweep_again},
    .check = found_or_failed,
    .mortal = 6U,
    .crashes = 2,
};

/* Nobody else may sleep on work that a stopped worker does not have. */
static void excused(void) {
  sh_ref r = sh_ref_unpack(sh_load_relaxed(&sh_entry_at(&node->d.seg, stage->first.index)->producer));
  uint64_t word = sh_load_relaxed(&sh_slot_at(&node->d.seg, r.index)->word);
  uint32_t state = sh_word_state(word);
  bool his = (state == SH_TASK_CLAIMED || state == SH_TASK_RUNNING) && sh_word_who(word) == node->worker[0].index;
  XP_CHECK(his || rig_is_closed(&node->driver, stage->first));
}
static void second_serves(void) {
  serve(&node->worker[1], UINT32_MAX);
}
static void let_all_go(void) {
  node_tick();
  if (rig_is_closed(&node->driver, stage->first)) {
    sh_self_leave(&node->worker[0]);
    sh_self_leave(&node->worker[1]);
  }
}
const xp_scenario task_stopped_worker = {
    .name = "P task: a worker is stopped anywhere, another one runs what it has not claimed",
    .setup = setup_ready,
    .run = {serve_all, second_serves},
    .check = one_done,
    .quiet = let_all_go,
    .stopped = excused,
    .stoppable = 1U,
    .preemptions = 4,
};

/* ---- a submitter that dies ---- */

static void sweep_submitter(void) {
  node_sweep_dead(1U);
  sh_self_leave(&node->worker[0]);
}
static void nothing_left(void) {
  if (!xp_has_died(0))
    sh_ref_drop(&node->driver, stage->first);
  atomic_store(&node->worker[0].leaving, false); /* it stays, after all */
  while (rig_work(&node->worker[0])) {
  }
  rig_rounds(node, 2);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
  node_check_valid();
}
const xp_scenario task_killed_submitter = {
    .name = "P task: its submitter is killed anywhere",
    .setup = setup,
    .run = {submit_one, serve_all, sweep_submitter},
    .check = nothing_left,
    .mortal = 1U,
    .crashes = 1,
    .preemptions = 4,
};

/* ---- a class that is closed ---- */

static void end_job(void) {
  sh_system_error end = {.code = SH_ERR_ROOT_ENDED, .wait_status = -1};
  sh_repair_close_class(&node->d, node->class_id, &end);
}
static void end_job_and_look(void) {
  end_job();
  rig_rounds(node, 1);
}
static void resolved(void) {
  rig_rounds(node, 1);
  XP_CHECK(rig_is_closed(&node->driver, stage->first));
  uint32_t code = rig_error(&node->driver, stage->first);
  XP_CHECK(code == 0 || code == SH_ERR_ROOT_ENDED);
  node_check_valid();
}
/* The same with the class of an actor, which is closed by a look where calls of it lie. */
static void end_actor(void) {
  sh_system_error end = {.code = SH_ERR_ROOT_ENDED, .wait_status = -1};
  sh_repair_close_class(&node->d, stage->actor_class, &end);
}
static void refused(void) {
  rig_rounds(node, 1);
  XP_EQUAL(rig_error(&node->driver, stage->first), SH_ERR_ROOT_ENDED);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  node_check_valid();
}
const xp_scenario task_closed_actor = {
    .name = "task: a call's READY against the class of its actor that is closed",
    .setup = setup_first_call,
    .run = {submit_call, end_actor},
    .check = refused,
};

static void serve_if_there_is(void) {
  uint32_t slot;
  if (sh_next_try(&node->worker[0], &slot) == SH_OK)
    rig_finish(&node->worker[0], slot);
}
const xp_scenario task_closed_class = {
    .name = "task: READY against a class that is closed",
    .setup = setup,
    .run = {submit_one, end_job, NULL},
    .check = resolved,
};
const xp_scenario task_closed_class_claimed = {
    .name = "task: READY against a class that is closed, and a claim",
    .setup = setup_ready,
    .run = {serve_if_there_is, end_job_and_look},
    .check = resolved,
};

/* ---- the bits of an empty ring ---- */

static void take_what_is_there(void) {
  serve_if_there_is();
  serve_if_there_is();
}
static void not_forgotten(void) {
  while (rig_work(&node->worker[1])) {
  }
  one_done();
}
const xp_scenario task_bits = {
    .name = "B task: a hint is pushed while a taker finds the ring empty",
    .setup = setup_two,
    .run = {submit_one, take_what_is_there},
    .check = not_forgotten,
};
