/* SPDX-License-Identifier: Apache-2.0
 * Streams: items made beside a consumer that takes them, or drops the stream; and the producer's death. Nothing is left. */
#include "scenarios.h"

#include "node.h"

static struct {
  sh_ref cell, done;
  uint32_t slot;
} *stage;

static void setup(void) {
  sh_ref out[2];
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  rig_call call = {.class_id = node->class_id, .n_returns = 2, .flags = SH_SLOT_STREAM, .addend = 5};
  rig_submit(&node->driver, &call, out);
  stage->cell = out[SH_STREAM_TAIL];
  stage->done = out[SH_STREAM_DONE];
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
  (void)sh_counts_read(&node->d.counts);
}

static void producer(void) {
  if (rig_yield(&node->worker[0], stage->slot, 7, 8))
    (void)rig_yield(&node->worker[0], stage->slot, 7, 8);
  rig_end_stream(&node->worker[0], stage->slot);
}

static void consumer(void) {
  sh_self *self = &node->driver;
  for (sh_status taken = SH_OK; taken == SH_OK;) {
    sh_ref next;
    sh_status status = sh_watch(self, stage->cell);
    XP_CHECK(status == SH_OK || status == SH_EMPTY);
    if (status == SH_OK)
      XP_EQUAL(sh_park_closed(self, stage->cell, NULL, SH_NO_DEADLINE, SH_NO_DEADLINE), SH_OK);
    taken = sh_stream_take(self, stage->cell, &next);
    XP_CHECK(taken != SH_LOST || (rig_error(self, stage->cell) == SH_ERR_WORKER_DIED && xp_playing()->crashes));
    if (taken == SH_OK) {
      XP_EQUAL(rig_error(self, stage->cell), 0);
      XP_EQUAL(rig_value(self, stage->cell), 7U);
    }
    sh_ref_drop(self, stage->cell);
    stage->cell = next;
  }
}

static void dropper(void) {
  sh_ref_drop(&node->driver, stage->cell);
}

static void sweeper(void) {
  node_sweep_dead(2U);
}

static void all_gone(void) {
  XP_CHECK(rig_is_closed(&node->driver, stage->done));
  sh_ref_drop(&node->driver, stage->done);
  rig_rounds(node, 2);
  (void)sh_counts_work(&node->d.counts, SH_COUNTS_ALL);
  rig_look_at_everything(node); /* a list that the dead one had detached and not freed */
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  XP_EQUAL(node_live(SH_POOL_WAITER), 0);
  node_check_valid();
}

const xp_scenario stream_taken = {
    .name = "C E stream: items are taken as they are made",
    .setup = setup,
    .run = {consumer, producer},
    .check = all_gone,
    .preemptions = 4,
};
const xp_scenario stream_dropped = {
    .name = "C E stream: it is dropped as items are made",
    .setup = setup,
    .run = {dropper, producer},
    .check = all_gone,
};
const xp_scenario stream_killed_producer = {
    .name = "C K stream: the producer is killed anywhere, and swept",
    .setup = setup,
    .run = {consumer, producer, sweeper},
    .check = all_gone,
    .quiet = node_tick,
    .mortal = 2U,
    .crashes = 1,
    .preemptions = 3,
};
const xp_scenario stream_dropped_and_killed = {
    .name = "C K stream: it is dropped, and the producer killed anywhere and swept",
    .setup = setup,
    .run = {dropper, producer, sweeper},
    .check = all_gone,
    .quiet = node_tick,
    .mortal = 2U,
    .crashes = 1,
    .preemptions = 4,
};
