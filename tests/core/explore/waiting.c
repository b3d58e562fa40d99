/* SPDX-License-Identifier: Apache-2.0
 * Waiter lists: pushes against closing, walking and detaching, by a sealer, a helper and a sweep. Who waits is told. */
#include "scenarios.h"

#include "node.h"

static struct {
  sh_ref ref, never;
  uint32_t slot;
  sh_status watched[XP_PROCESSES]; /* by process: what sh_watch said */
} *stage;

static void setup_task(uint32_t n_workers, bool shared) {
  node_open(n_workers, 1);
  stage = xp_room(sizeof *stage);
  stage->ref = rig_submit_one(node, 5, NULL, 0);
  if (shared) {
    sh_ref_share(&node->driver, stage->ref);
    XP_EQUAL(sh_ref_take(&node->worker[1], stage->ref), SH_OK);
  }
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
  rig_fill(&node->worker[0], stage->slot, 8);
  (void)sh_counts_read(&node->d.counts);
}
static void setup(void) {
  setup_task(1, false);
}
static void setup_two(void) {
  setup_task(2, true);
  node_clients[2] = &node->worker[1];
}

static void count_fired(void *context, sh_ref r) {
  XP_EQUAL(r.index, stage->ref.index);
  ++*(uint32_t *)context;
}

static void await(sh_self *self) {
  uint32_t me = xp_me();
  sh_status status = sh_watch(self, stage->ref);
  stage->watched[me] = status;
  XP_CHECK(status == SH_OK || status == SH_EMPTY);
  if (status == SH_OK)
    XP_EQUAL(sh_park_closed(self, stage->ref, NULL, SH_NO_DEADLINE, SH_NO_DEADLINE), SH_OK);
  uint32_t code = rig_error(self, stage->ref);
  XP_CHECK(code == 0 || (code == SH_ERR_WORKER_DIED && xp_playing()->crashes));
  if (code == 0)
    XP_EQUAL(rig_value(self, stage->ref), 5U);
}

static void waiter(void) {
  await(&node->driver);
}
/* Its list is what this is about: it does not sleep. */
static void second_waiter(void) {
  stage->watched[2] = sh_watch(&node->worker[1], stage->ref);
}
static void sealer(void) {
  XP_EQUAL(sh_commit(&node->worker[0], stage->slot), SH_OK);
}
static void plain_sealer(void) {
  sh_seal(&node->worker[0], stage->ref);
}
static void helper(void) {
  sh_entry *e = sh_entry_checked(&node->d.seg, stage->ref);
  XP_CHECK(e);
  (void)sh_entry_close(e, stage->ref.generation);
  sh_serve_waiters(&node->d.self, stage->ref);
}
static void sweeper(void) {
  node_sweep_dead(2U);
  rig_look_at_everything(node);
}

static void all_told(void) {
  sh_self *who[] = {&node->driver, &node->worker[1]};
  for (uint32_t i = 0; i < 2U; i++) {
    if (i == 1U && xp_playing()->run[2] != second_waiter)
      continue;
    uint32_t fired = 0;
    sh_drain_fired(who[i], count_fired, &fired);
    XP_EQUAL(fired, stage->watched[2U * i] == SH_OK);
  }
  XP_EQUAL(node_live(SH_POOL_WAITER), 0);
  node_check_valid();
}
static void all_told_and_gone(void) {
  all_told();
  sh_ref_drop(&node->driver, stage->ref);
  rig_rounds(node, 2);
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
}

const xp_scenario waiter_helped = {
    .name = "W D waiter: watch and park beside a sealer and a helper",
    .setup = setup,
    .run = {waiter, plain_sealer, helper},
    .check = all_told,
};
const xp_scenario waiter_two = {
    .name = "W D waiter: two watch, one seals",
    .setup = setup_two,
    .run = {waiter, plain_sealer, second_waiter},
    .check = all_told,
    .preemptions = 5,
};
const xp_scenario waiter_killed_sealer = {
    .name = "K W waiter: the one who commits is killed anywhere, and swept",
    .setup = setup,
    .run = {waiter, sealer, sweeper},
    .check = all_told_and_gone,
    .quiet = node_tick,
    .mortal = 2U,
    .crashes = 1,
};
const xp_scenario waiter_stopped_sealer = {
    .name = "K W waiter: the one who commits is stopped anywhere, the tick helps",
    .setup = setup,
    .run = {waiter, sealer},
    .check = all_told_and_gone,
    .quiet = node_tick,
    .stoppable = 2U,
};

/* ---- who waits for all of many, and minds errors ---- */

static void setup_error(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  stage->ref = rig_submit_one(node, 5, NULL, 0);
  stage->never = rig_submit_one(node, 6, NULL, 0);
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
  sh_system_error error = {.code = SH_ERR_DAMAGED};
  sh_fill_system_error(&node->d.seg, stage->ref, &error);
}
static void minder(void) {
  sh_mind_errors(&node->driver, true);
  uint32_t errors = sh_errors_sealed(&node->driver);
  if (!rig_is_closed(&node->driver, stage->ref))
    XP_EQUAL(sh_park_closed(&node->driver, stage->never, &errors, SH_NO_DEADLINE, SH_NO_DEADLINE), SH_AGAIN);
  XP_EQUAL(rig_error(&node->driver, stage->ref), SH_ERR_DAMAGED);
}
static void told(void) {
  sh_mind_errors(&node->driver, false);
  XP_EQUAL(sh_errors_sealed(&node->driver), 1U);
}
const xp_scenario waiter_minds_errors = {
    .name = "D C waiter: one who minds errors looks and parks while one is sealed",
    .setup = setup_error,
    .run = {minder, plain_sealer},
    .check = told,
};
