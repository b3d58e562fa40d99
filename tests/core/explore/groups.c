/* SPDX-License-Identifier: Apache-2.0
 * A placement group is removed while a call for it is made: whoever comes second ends it. And while the slot of one becomes a
 * stranger's, who lives. */
#include "scenarios.h"

#include "node.h"
#include "node/group.h"

static struct {
  sh_ref out, later;
  uint32_t group, class_id, slot;
} *stage;

static void setup(void) {
  node_open(1, 2);
  stage = xp_room(sizeof *stage);
  uint32_t group, class_id;
  sh_demand bundle = {.cpu_milli = SH_CPU_MILLI};
  XP_EQUAL(sh_repair_define_group(&node->d, &bundle, 1, &group), SH_OK);
  XP_CHECK(sh_repair_reserve_group(&node->d, group));
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = SH_CPU_MILLI, .group = group + 1U};
  XP_EQUAL(sh_repair_define_class(&node->d, &shape, &class_id), SH_OK);
  stage->group = group;
  stage->class_id = class_id;
}

static void submit(void) {
  sh_ref r = rig_submit_to(node, stage->class_id);
  stage->out = r;
}
static void remove_group(void) {
  sh_repair_remove_group(&node->d, stage->group);
}
static void it_was_refused(void) {
  rig_rounds(node, 1);
  XP_CHECK(rig_is_closed(&node->driver, stage->out));
  XP_EQUAL(rig_error(&node->driver, stage->out), SH_ERR_GROUP_REMOVED);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  XP_EQUAL(node->d.seat_pool_milli, 0);
  node_check_valid();
}
const xp_scenario group_removed = {
    .name = "task: READY against a placement group that is removed",
    .setup = setup,
    .run = {submit, remove_group},
    .check = it_was_refused,
};

/* ---- a slot that is a stranger's the next moment ---- */

static void setup_running(void) {
  setup();
  submit();
  sh_idle_announce(&node->worker[0]);
  rig_rounds(node, 1);
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
  rig_fill(&node->worker[0], stage->slot, 8);
  sh_magazine *m = &node->driver.mags[SH_POOL_SLOT]; /* the next one that it allocates is the one that is freed */
  m->n = 0;
  m->fresh = m->fresh_end;
}
static void commit_and_submit_another(void) {
  if (sh_commit(&node->worker[0], stage->slot) != SH_OK)
    return;
  sh_ref r = rig_submit_one(node, 7, NULL, 0);
  XP_EQUAL(rig_task_of(node, r).index, stage->slot);
  stage->later = r;
}
static void stranger_lives(void) {
  if (!stage->later.generation)
    return;
  rig_rounds(node, 2);
  XP_EQUAL(rig_error(&node->driver, stage->out), 0);
  XP_EQUAL(rig_state_of(node, stage->later), SH_TASK_READY);
  XP_EQUAL(node->d.n_endings, 0);
  while (rig_work(&node->worker[0])) {
  }
  XP_EQUAL(rig_value(&node->driver, stage->later), 7);
  node_check_valid();
}
const xp_scenario group_slot_reused = {
    .name = "G R task: its placement group is removed while it ends and its slot becomes a stranger's",
    .setup = setup_running,
    .run = {commit_and_submit_another, remove_group},
    .check = stranger_lives,
    .may_read_behind = true,
};
