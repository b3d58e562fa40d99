/* SPDX-License-Identifier: Apache-2.0
 * A placement group is removed while a call for it is made: whoever comes second ends it. */
#include "scenarios.h"

#include "node.h"
#include "node/group.h"

static struct {
  sh_ref out;
  uint32_t group, class_id;
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
