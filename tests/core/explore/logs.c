/* SPDX-License-Identifier: Apache-2.0
 * Reference logs: what is held is not freed, what nobody holds is, whatever the reader of the logs sees of them when. */
#include "scenarios.h"

#include "node.h"

#define VALUE 42U

static struct {
  sh_ref ref, box_ref;
  node_box box, back;
} *stage;

static void setup(void) {
  node_open(2, 1);
  stage = xp_room(sizeof *stage);
  stage->ref = rig_put(&node->driver, VALUE, 8);
  node_clients[1] = &node->worker[0];
}

/* ---- from hand to hand: the giver drops when the receiver has it ---- */

static void setup_shared(void) {
  setup();
  sh_ref_share(&node->driver, stage->ref);
}
static void giver(void) {
  sh_ref r;
  if (node_look(&stage->back, &r))
    sh_ref_drop(&node->driver, r);
}
static void receiver(void) {
  XP_EQUAL(sh_ref_take(&node->worker[0], stage->ref), SH_OK);
  node_give(&stage->back, stage->ref);
  XP_EQUAL(rig_value(&node->worker[0], stage->ref), VALUE);
}
static void third(void) {
  if (!sh_load_acquire(&stage->back.full))
    return;
  XP_EQUAL(sh_ref_take(&node->worker[1], stage->ref), SH_OK);
  sh_ref_drop(&node->worker[1], stage->ref);
}
static void reader(void) {
  (void)sh_counts_read(&node->d.counts);
  (void)sh_counts_read(&node->d.counts);
}
static void still_held(void) {
  rig_rounds(node, 3);
  XP_EQUAL(rig_value(&node->worker[0], stage->ref), VALUE);
  sh_ref_drop(&node->worker[0], stage->ref);
  if (node->driver.local[stage->ref.index].count)
    sh_ref_drop(&node->driver, stage->ref);
  rig_rounds(node, 2);
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
}
const xp_scenario log_hands = {
    .name = "L log: from hand to hand, while the logs are read",
    .setup = setup_shared,
    .run = {giver, receiver, reader},
    .check = still_held,
};
const xp_scenario log_three_hands = {
    .name = "L log: three hold and drop, while the logs are read",
    .setup = setup_shared,
    .run = {giver, receiver, third, reader},
    .check = still_held,
    .preemptions = 4,
};

/* ---- in an argument ---- */

static void submit_and_drop(void) {
  sh_ref r = rig_submit_one(node, 1, &stage->ref, 1);
  stage->box_ref = r;
  sh_ref_drop(&node->driver, stage->ref);
}
static void run_and_keep(void) {
  uint32_t slot;
  if (sh_next_try(&node->worker[0], &slot) != SH_OK)
    return;
  XP_EQUAL(sh_ref_take(&node->worker[0], stage->ref), SH_OK);
  rig_finish(&node->worker[0], slot);
  XP_EQUAL(rig_value(&node->worker[0], stage->ref), VALUE);
}
static void argument_done(void) {
  rig_rounds(node, 3);
  if (node->worker[0].local[stage->ref.index].count) {
    XP_EQUAL(rig_value(&node->worker[0], stage->ref), VALUE);
    sh_ref_drop(&node->worker[0], stage->ref);
  } else {
    XP_CHECK(rig_work(&node->worker[1]));
  }
  XP_EQUAL(rig_value(&node->driver, stage->box_ref), VALUE + 1U);
  sh_ref_drop(&node->driver, stage->box_ref);
  rig_rounds(node, 2);
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
}
static void read_once(void) {
  (void)sh_counts_read(&node->d.counts);
}
const xp_scenario log_argument = {
    .name = "L R log: in an argument, its giver drops at once",
    .setup = setup,
    .run = {submit_and_drop, run_and_keep, read_once},
    .check = argument_done,
    .preemptions = 4,
};

/* ---- in a value ---- */

static void put_box_and_drop(void) {
  sh_ref box = rig_put_container(&node->driver, &stage->ref, 1);
  sh_ref_drop(&node->driver, stage->ref);
  node_give(&stage->box, box);
}
static void open_box(void) {
  sh_ref box;
  if (!node_look(&stage->box, &box))
    return;
  XP_EQUAL(sh_ref_take(&node->worker[0], box), SH_OK);
  XP_EQUAL(sh_ref_take(&node->worker[0], stage->ref), SH_OK);
  sh_ref_drop(&node->worker[0], box);
  XP_EQUAL(rig_value(&node->worker[0], stage->ref), VALUE);
}
static void box_done(void) {
  rig_rounds(node, 3);
  sh_ref box = stage->box.ref;
  XP_CHECK(sh_entry_checked(&node->d.seg, box));
  sh_ref_drop(&node->driver, box);
  rig_rounds(node, 3);
  if (node->worker[0].local[stage->ref.index].count) {
    XP_EQUAL(rig_value(&node->worker[0], stage->ref), VALUE);
    sh_ref_drop(&node->worker[0], stage->ref);
    rig_rounds(node, 2);
  }
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
}
const xp_scenario log_box = {
    .name = "L E log: in a value, while the logs are read",
    .setup = setup,
    .run = {put_box_and_drop, open_box, reader},
    .check = box_done,
    .preemptions = 4,
};

/* ---- a holder dies ---- */

static void take_only(void) {
  if (sh_ref_take(&node->worker[0], stage->ref) == SH_OK)
    sh_ref_drop(&node->worker[0], stage->ref);
}
static void sweep_holder(void) {
  node_sweep_dead(2U);
}
static void drop_once(void) {
  XP_EQUAL(rig_value(&node->driver, stage->ref), VALUE);
}
static void driver_still_holds(void) {
  rig_rounds(node, 2);
  XP_EQUAL(rig_value(&node->driver, stage->ref), VALUE);
  sh_ref_drop(&node->driver, stage->ref);
  rig_rounds(node, 2);
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
}
const xp_scenario log_killed_holder = {
    .name = "L log: a holder is killed anywhere, its holds end",
    .setup = setup_shared,
    .run = {drop_once, take_only, sweep_holder},
    .check = driver_still_holds,
    .mortal = 2U,
    .crashes = 1,
};

/* ---- a log that is full ---- */

static void hold_and_drop_much(void) {
  for (uint32_t i = 0; i < SH_LOG_CELLS / 2U + 1U; i++) {
    XP_EQUAL(sh_ref_take(&node->worker[0], stage->ref), SH_OK);
    sh_ref_drop(&node->worker[0], stage->ref);
  }
}
static void read_on_poke(void) {
  while (xp_await_poke())
    (void)sh_counts_read(&node->d.counts);
}
/* A cell is written again only when it was read: not even a machine that lets loads pass stores may see otherwise. */
static void setup_cells(void) {
  setup_shared();
  xp_never_overlaps(sh_log_cell(&node->d.seg, node->worker[0].index, 0), SH_LOG_CELLS * sizeof(sh_a64));
}
const xp_scenario log_full = {
    .name = "L log: it is full, and its cells are used again",
    .setup = setup_cells,
    .run = {drop_once, hold_and_drop_much, read_on_poke},
    .check = driver_still_holds,
    .listens = true,
};
