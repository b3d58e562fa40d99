/* SPDX-License-Identifier: Apache-2.0
 * An actor's next process takes over the calls of one that died (node/recover.c), while callers call, arguments come, calls are
 * cancelled, the class is closed, and it dies itself. No call is lost, none is run twice, none overtakes another. */
#include "scenarios.h"

#include "node.h"
#include "node/cancel.h"

#define CALLS 3U /* of the driver; their addends are 1, 2, 3 in the order in which they are made */
#define MORE 8U

static struct {
  sh_ref argument, out[CALLS];
  uint32_t n_calls, class_id, slot; /* slot: what makes the argument, claimed and filled */
  sh_self actor, next;
  uint64_t begun[MORE]; /* addends, in the order in which the calls were begun */
  uint32_t n_begun;
} *stage;

static void call(const sh_ref *dep) {
  sh_ref r;
  rig_call c = {
      .class_id = stage->class_id, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL, .addend = stage->n_calls + 1U};
  c.max_retries = 2;
  c.deps = dep;
  c.n_deps = dep != NULL;
  rig_submit(&node->driver, &c, &r);
  stage->out[stage->n_calls++] = r;
}

static void open(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  stage->class_id = rig_actor(node, &stage->actor);
  sh_repair_set_restarts(&node->d, stage->class_id, true, 0);
}

/* The process dies, and another one is there that has not looked yet. */
static void restart(void) {
  uint32_t index = stage->actor.index;
  sh_self_close(&stage->actor);
  rig_rounds(node, 1);
  sh_repair_round(&node->d, (int32_t)index);
  sh_repair_set_restarts(&node->d, stage->class_id, true, 1);
  rig_attach(node, &stage->actor, SH_ROLE_ACTOR, (int32_t)stage->class_id, RIG_ROOT);
}

/* One call ran when the process died, another one had not been looked at. */
static void setup_running(void) {
  uint32_t slot;
  open();
  call(NULL);
  call(NULL);
  XP_EQUAL(sh_next_try(&stage->actor, &slot), SH_OK);
  restart();
}

static void setup_one(void) {
  uint32_t slot;
  open();
  call(NULL);
  XP_EQUAL(sh_next_try(&stage->actor, &slot), SH_OK);
  restart();
}

/* One waited for its argument, and the one behind it had been put aside: its hint is gone. */
static void setup_stalled(void) {
  uint32_t slot;
  open();
  stage->argument = rig_submit_one(node, 0, NULL, 0);
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
  rig_fill(&node->worker[0], stage->slot, 8);
  call(&stage->argument);
  call(NULL);
  XP_EQUAL(sh_next_try(&stage->actor, &slot), SH_EMPTY);
  restart();
}

/* ---- processes ---- */

static void begin(sh_self *self, uint32_t slot) {
  const sh_payload *p = sh_slot_payload(&self->seg, sh_slot_at(&self->seg, slot));
  uint64_t addend;
  memcpy(&addend, (const uint8_t *)p + sh_payload_inband_offset(p), sizeof addend);
  XP_CHECK(stage->n_begun < MORE);
  stage->begun[stage->n_begun++] = addend;
  rig_finish(self, slot);
}

/* Until so many are begun, or it is to end. */
static void serve(sh_self *self, uint32_t n) {
  uint32_t slot, done = 0;
  while (done < n) {
    if (sh_next_try(self, &slot) == SH_OK) {
      begin(self, slot);
      done++;
      continue;
    }
    if (sh_should_exit(self))
      return;
    node_rest(self);
  }
}
static void serve_three(void) {
  serve(&stage->actor, 3);
}
static void serve_two(void) {
  serve(&stage->actor, 2);
}
static void serve_one(void) {
  serve(&stage->actor, 1);
}
static void serve_all(void) {
  serve(&stage->actor, UINT32_MAX);
}
static void call_again(void) {
  call(NULL);
}
static void call_twice(void) {
  call(NULL);
  call(NULL);
}
static void commit_argument(void) {
  XP_EQUAL(sh_commit(&node->worker[0], stage->slot), SH_OK);
}
static void cancel_first(void) {
  (void)sh_repair_cancel(&node->d, rig_task_of(node, stage->out[0]), false, false);
}
static void end_for_good(void) {
  sh_system_error gone = {.code = SH_ERR_ACTOR_DIED, .class_id = stage->class_id, .wait_status = -1};
  sh_repair_set_restarts(&node->d, stage->class_id, false, 1);
  sh_repair_close_class(&node->d, stage->class_id, &gone);
}

/* ---- at the end ---- */

static void in_order(void) {
  for (uint32_t i = 1; i < stage->n_begun; i++)
    XP_CHECK(stage->begun[i] > stage->begun[i - 1U]);
}
static void nothing_left(void) {
  for (uint32_t i = 0; i < stage->n_calls; i++)
    sh_ref_drop(&node->driver, stage->out[i]);
  if (stage->argument.generation)
    sh_ref_drop(&node->driver, stage->argument);
  rig_rounds(node, 2);
  (void)sh_counts_work(&node->d.counts, SH_COUNTS_ALL);
  rig_look_at_everything(node);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  XP_EQUAL(node_live(SH_POOL_WAITER), 0);
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
  node_check_valid();
}
static void all_done(void) {
  XP_EQUAL(stage->n_begun, stage->n_calls);
  in_order();
  for (uint32_t i = 0; i < stage->n_calls; i++)
    XP_EQUAL(rig_value(&node->driver, stage->out[i]), i + 1U);
  nothing_left();
}
static void next_round(void) {
  sh_cancel_run(&node->d, true, 0);
}
static void first_cancelled(void) {
  rig_rounds(node, 2);
  XP_EQUAL(node->d.n_endings, 0);
  XP_EQUAL(rig_error(&node->driver, stage->out[0]), SH_ERR_CANCELLED);
  XP_EQUAL(rig_value(&node->driver, stage->out[1]), 2);
  XP_EQUAL(stage->n_begun, 1);
  XP_EQUAL(sh_commit(&node->worker[0], stage->slot), SH_OK);
  nothing_left();
}
static void all_ended(void) {
  rig_rounds(node, 1);
  in_order();
  for (uint32_t i = 0; i < stage->n_calls; i++) {
    uint32_t code = rig_error(&node->driver, stage->out[i]);
    XP_CHECK(code == 0 || code == SH_ERR_ACTOR_DIED);
  }
  nothing_left();
}

const xp_scenario restart_beside_call = {
    .name = "R B D restart: it takes over while a caller calls",
    .setup = setup_running,
    .run = {call_again, serve_three},
    .check = all_done,
};
const xp_scenario restart_beside_calls = {
    .name = "R B D restart: it takes over while a caller makes two calls",
    .setup = setup_one,
    .run = {call_twice, serve_three},
    .check = all_done,
    .preemptions = 4,
};
const xp_scenario restart_beside_argument = {
    .name = "T W restart: it takes a stalled call over while the argument comes",
    .setup = setup_stalled,
    .run = {commit_argument, serve_two},
    .check = all_done,
};
const xp_scenario restart_beside_cancel = {
    .name = "B D restart: it takes a stalled call over that is cancelled",
    .setup = setup_stalled,
    .run = {cancel_first, serve_one},
    .check = first_cancelled,
    .quiet = next_round,
};
const xp_scenario restart_beside_end = {
    .name = "R restart: its class is closed while it takes over",
    .setup = setup_running,
    .run = {end_for_good, serve_all},
    .check = all_ended,
};

/* ---- the next process dies too, and a third one follows ---- */

static void sweep_actor(void) {
  if (xp_await_death(2U) != XP_NOBODY)
    sh_sweep_client(&node->d, stage->actor.index);
}
/* A call that was begun may be begun again; each begins after all before it are over. */
static void each_done(void) {
  uint32_t slot;
  sh_self *last = &stage->actor;
  if (xp_has_died(1)) {
    last = &stage->next;
    sh_repair_set_restarts(&node->d, stage->class_id, true, 2);
    rig_attach(node, last, SH_ROLE_ACTOR, (int32_t)stage->class_id, RIG_ROOT);
  }
  while (sh_next_try(last, &slot) == SH_OK)
    begin(last, slot);
  for (uint32_t i = 1; i < stage->n_begun; i++)
    XP_CHECK(stage->begun[i] >= stage->begun[i - 1U]);
  for (uint32_t i = 0; i < stage->n_calls; i++)
    XP_EQUAL(rig_value(&node->driver, stage->out[i]), i + 1U);
  nothing_left();
}
const xp_scenario restart_killed_running = {
    .name = "P R restart: it is killed anywhere, while a caller calls; a third process takes over",
    .setup = setup_running,
    .run = {call_again, serve_two, sweep_actor},
    .check = each_done,
    .mortal = 2U,
    .crashes = 1,
    .preemptions = 2,
};
const xp_scenario restart_killed_stalled = {
    .name = "P T restart: it is killed anywhere, as the argument comes; a third process takes over",
    .setup = setup_stalled,
    .run = {commit_argument, serve_two, sweep_actor},
    .check = each_done,
    .mortal = 2U,
    .crashes = 1,
    .preemptions = 2,
};

/* ---- a caller dies as its calls are taken over ---- */

static void sweep_caller(void) {
  node_sweep_dead(1U);
  (void)sh_counts_work(&node->d.counts, SH_COUNTS_ALL);
  sh_self_leave(&stage->actor);
}
static void caller_gone(void) {
  uint32_t slot;
  in_order();
  atomic_store(&stage->actor.leaving, false);
  while (sh_next_try(&stage->actor, &slot) == SH_OK)
    begin(&stage->actor, slot);
  in_order();
  if (xp_has_died(0))
    stage->n_calls = 0;
  nothing_left();
}
const xp_scenario restart_killed_caller = {
    .name = "P R restart: it takes over while a caller is killed anywhere",
    .setup = setup_running,
    .run = {call_again, serve_all, sweep_caller},
    .check = caller_gone,
    .mortal = 1U,
    .crashes = 1,
    .preemptions = 2,
};
