/* SPDX-License-Identifier: Apache-2.0
 * The log of an actor's calls (node/call_log.h), while its process dies anywhere, its class is closed, a call of it is cancelled.
 * What the process writes for the next one needs no order of its own: that one is registered after the sweep. */
#include "scenarios.h"

#include "node.h"
#include "node/call_log.h"
#include "node/cancel.h"

#define CALLS 3U /* of the driver; their addends are 0, 1, 2 */

static struct {
  sh_ref out[CALLS], argument;
  uint32_t n_calls, class_id, slot; /* slot: of the call that was claimed before */
  uint32_t covered;                 /* calls that the checkpoint covers */
  sh_self actor, next;
} *stage;

static void open_with(uint32_t n_calls) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  stage->class_id = rig_logging_actor(node, &stage->actor);
  stage->argument = rig_put(&node->driver, 10, 8);
  stage->n_calls = n_calls;
  for (uint32_t i = 0; i < n_calls; i++) {
    rig_call c = {.class_id = stage->class_id, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL, .addend = i};
    c.max_retries = 2;
    c.deps = &stage->argument;
    c.n_deps = i == 1;
    rig_submit(&node->driver, &c, &stage->out[i]);
  }
}

static void claim(void) {
  XP_EQUAL(sh_next_try(&stage->actor, &stage->slot), SH_OK);
  sh_log_begin(&stage->actor, stage->slot);
}

static void finish(sh_self *self, uint32_t slot) {
  rig_fill(self, slot, 8);
  if (rig_task_of(node, stage->out[1]).index == slot)
    sh_log_raised(self, slot);
  XP_EQUAL(sh_commit(self, slot), SH_OK);
}

static void setup_two(void) {
  open_with(2);
  claim();
}

static void setup_single(void) {
  open_with(1);
  claim();
}

static void setup_logged(void) {
  open_with(CALLS);
  for (uint32_t i = 0; i < CALLS; i++) {
    claim();
    finish(&stage->actor, stage->slot);
  }
  rig_rounds(node, 1);
  stage->covered = 2;
}

/* ---- processes ---- */

static void run_two(void) {
  uint32_t slot;
  finish(&stage->actor, stage->slot);
  XP_EQUAL(sh_next_try(&stage->actor, &slot), SH_OK);
  sh_log_begin(&stage->actor, slot);
  finish(&stage->actor, slot);
}
static void run_one(void) {
  finish(&stage->actor, stage->slot);
}
static void cut_two(void) {
  sh_log_cut(&stage->actor, 4);
}
static void sweep_actor(void) {
  if (xp_await_death(1U) != XP_NOBODY)
    sh_sweep_client(&node->d, stage->actor.index);
}
static void close_class(void) {
  sh_system_error gone = {.code = SH_ERR_ACTOR_DIED, .class_id = stage->class_id, .wait_status = -1};
  sh_repair_close_class(&node->d, stage->class_id, &gone);
}
static void close_class_and_sweep(void) {
  close_class();
  sweep_actor();
}
static void read_logs(void) {
  (void)sh_counts_read(&node->d.counts);
  rig_look_at_everything(node);
  sweep_actor();
}
static void cancel(void) {
  (void)sh_repair_cancel(&node->d, rig_task_of(node, stage->out[0]), false, false);
}
static void run_one_that_is_cancelled(void) {
  rig_fill(&stage->actor, stage->slot, 8);
  (void)sh_commit(&stage->actor, stage->slot);
}

/* ---- at the end ---- */

static void nothing_left(void) {
  for (uint32_t i = 0; i < stage->n_calls; i++)
    sh_ref_drop(&node->driver, stage->out[i]);
  sh_ref_drop(&node->driver, stage->argument);
  rig_rounds(node, 2);
  (void)sh_counts_work(&node->d.counts, SH_COUNTS_ALL);
  rig_look_at_everything(node);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
  XP_EQUAL(node->d.quarantined, 0);
  node_check_valid();
}

/* Another process follows, whether the first one died or was ended now. */
static void next_process(void) {
  sh_self *next = &stage->next;
  uint32_t slot, at = stage->covered;
  rig_rounds(node, 1);
  if (!xp_has_died(0))
    sh_sweep_client(&node->d, stage->actor.index);
  sh_repair_set_restarts(&node->d, stage->class_id, true, 1);
  rig_attach(node, next, SH_ROLE_ACTOR, (int32_t)stage->class_id, RIG_ROOT);
  XP_CHECK(sh_log_open(next, 2U * at));
  for (uint32_t i = 0; i < next->n_logged; i++, at++) {
    XP_EQUAL(next->logged[i].slot, rig_task_of(node, stage->out[at]).index);
    XP_EQUAL(next->logged[i].position, 2U * (at + 1U));
    XP_EQUAL(sh_log_has_raised(next, next->logged[i].slot), at == 1);
  }
  for (; sh_next_try(next, &slot) == SH_OK; at++) {
    XP_EQUAL(slot, rig_task_of(node, stage->out[at]).index);
    sh_log_begin(next, slot);
    finish(next, slot);
  }
  XP_EQUAL(at, stage->n_calls);
  for (uint32_t i = 0; i < stage->n_calls; i++)
    XP_EQUAL(rig_value(&node->driver, stage->out[i]), i == 1 ? 11 : i);
  sh_log_cut(next, next->position);
  nothing_left();
}

static void class_gone(void) {
  if (!xp_has_died(0))
    sh_sweep_client(&node->d, stage->actor.index);
  close_class(); /* what the sweep put back */
  nothing_left();
}

static void next_round(void) {
  sh_cancel_run(&node->d, true, 0);
}
static void logged_or_cancelled(void) {
  rig_rounds(node, 2);
  uint32_t code = rig_error(&node->driver, stage->out[0]);
  XP_CHECK(code == 0 || code == SH_ERR_CANCELLED);
  XP_EQUAL(stage->actor.n_logged, code == 0);
  XP_EQUAL(stage->actor.checkpoint_is_due, code != 0);
  sh_log_cut(&stage->actor, stage->actor.position);
  nothing_left();
}

const xp_scenario call_log_killed = {
    .name = "K log of calls: its process is killed anywhere, as it logs two; the next one opens the log",
    .setup = setup_two,
    .run = {run_two, sweep_actor},
    .check = next_process,
    .mortal = 1U,
    .crashes = 1,
};
const xp_scenario call_log_killed_in_the_cut = {
    .name = "log of calls: its process is killed anywhere, as it cuts two, beside who looks at everything",
    .setup = setup_logged,
    .run = {cut_two, read_logs},
    .check = next_process,
    .mortal = 1U,
    .crashes = 1,
    .may_read_behind = true,
};
const xp_scenario call_log_closed = {
    .name = "K log of calls: its class is closed as it logs one, and is killed anywhere",
    .setup = setup_two,
    .run = {run_one, close_class_and_sweep},
    .check = class_gone,
    .mortal = 1U,
    .crashes = 1,
};
const xp_scenario call_log_closed_in_the_cut = {
    .name = "log of calls: its class is closed as it cuts two, and is killed anywhere",
    .setup = setup_logged,
    .run = {cut_two, close_class_and_sweep},
    .check = class_gone,
    .mortal = 1U,
    .crashes = 1,
};
const xp_scenario call_log_cancelled = {
    .name = "K O log of calls: a call is cancelled as it is committed",
    .setup = setup_single,
    .run = {run_one_that_is_cancelled, cancel},
    .check = logged_or_cancelled,
    .quiet = next_round,
};
