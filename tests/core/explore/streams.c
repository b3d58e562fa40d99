/* SPDX-License-Identifier: Apache-2.0
 * Streams: items made beside a consumer that takes them, or drops the stream; and the producer's death. Nothing is left. */
#include "scenarios.h"

#include "node.h"

static struct {
  sh_ref cell, done;
  sh_ref other_cell, other_done, permit; /* another stream's */
  uint32_t slot, other_slot;
} *stage;

static void setup_with(uint32_t ahead) {
  sh_ref out[2];
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  rig_call call = {.class_id = node->class_id, .n_returns = 2, .flags = SH_SLOT_STREAM, .addend = 5};
  call.ahead = ahead;
  rig_submit(&node->driver, &call, out);
  stage->cell = out[SH_STREAM_TAIL];
  stage->done = out[SH_STREAM_DONE];
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
  (void)sh_counts_read(&node->d.counts);
}
static void setup(void) {
  setup_with(0);
}
static void setup_bounded(void) {
  setup_with(1);
}

static void producer(void) {
  if (rig_yield(&node->worker[0], stage->slot, 7, 8))
    (void)rig_yield(&node->worker[0], stage->slot, 7, 8);
  rig_end_stream(&node->worker[0], stage->slot);
}

static void await(sh_self *self, sh_ref r) {
  sh_status status = sh_watch(self, r);
  XP_CHECK(status == SH_OK || status == SH_EMPTY);
  if (status == SH_OK)
    XP_EQUAL(sh_park_closed(self, r, NULL, SH_NO_DEADLINE, SH_NO_DEADLINE), SH_OK);
}

/* One item ahead: the next one is made when the last one was taken, or freed. */
static void bounded_producer(void) {
  sh_self *self = &node->worker[0];
  sh_ref permit = {0};
  for (uint32_t i = 0; i < 2; i++) {
    if (permit.generation) {
      await(self, permit);
      sh_ref_drop(self, permit);
      permit = (sh_ref){0};
    }
    sh_ref tail = sh_slot_return(&self->seg, sh_slot_at(&self->seg, stage->slot), SH_STREAM_TAIL);
    uint64_t value = 7;
    uint8_t *data;
    sh_status status = sh_stream_begin(self, stage->slot, &permit);
    XP_CHECK(status == SH_OK || status == SH_EMPTY);
    if (status == SH_EMPTY)
      break;
    XP_EQUAL(sh_fill(self, tail, sizeof value, 0, &data), SH_OK);
    memcpy(data, &value, sizeof value);
    sh_stream_seal(self, stage->slot);
  }
  sh_stream_withdraw(self, stage->slot);
  if (permit.generation) {
    sh_seal(self, permit);
    sh_ref_drop(self, permit);
  }
  rig_end_stream(self, stage->slot);
}

static void consumer(void) {
  sh_self *self = &node->driver;
  for (sh_status taken = SH_OK; taken == SH_OK;) {
    sh_ref next;
    await(self, stage->cell);
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

static void nothing_left(void) {
  rig_rounds(node, 2);
  (void)sh_counts_work(&node->d.counts, SH_COUNTS_ALL);
  rig_look_at_everything(node); /* a list that the dead one had detached and not freed */
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
  XP_EQUAL(node_live(SH_POOL_SLOT), 0);
  XP_EQUAL(node_live(SH_POOL_WAITER), 0);
  node_check_valid();
}
static void all_gone(void) {
  XP_CHECK(rig_is_closed(&node->driver, stage->done));
  sh_ref_drop(&node->driver, stage->done);
  nothing_left();
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

/* ---- with back-pressure: nobody sleeps for ever ---- */

const xp_scenario stream_bounded = {
    .name = "C D stream: bounded, its producer waits until items are taken",
    .setup = setup_bounded,
    .run = {consumer, bounded_producer},
    .check = all_gone,
    .preemptions = 4,
};
const xp_scenario stream_bounded_dropped = {
    .name = "C D stream: bounded, it is dropped as its producer waits",
    .setup = setup_bounded,
    .run = {dropper, bounded_producer},
    .check = all_gone,
};
const xp_scenario stream_bounded_killed_producer = {
    .name = "C D stream: bounded, the producer is killed anywhere, and swept",
    .setup = setup_bounded,
    .run = {consumer, bounded_producer, sweeper},
    .check = all_gone,
    .quiet = node_tick,
    .mortal = 2U,
    .crashes = 1,
    .preemptions = 3,
};

static void consumer_sweeper(void) {
  node_sweep_dead(1U);
  (void)sh_counts_work(&node->d.counts, SH_COUNTS_ALL);
}
static void all_gone_but_the_driver(void) {
  if (xp_has_died(0))
    nothing_left();
  else
    all_gone();
}
const xp_scenario stream_bounded_killed_consumer = {
    .name = "C D stream: bounded, the consumer is killed anywhere, and swept",
    .setup = setup_bounded,
    .run = {consumer, bounded_producer, consumer_sweeper},
    .check = all_gone_but_the_driver,
    .quiet = node_tick,
    .mortal = 1U,
    .crashes = 1,
    .preemptions = 3,
};

/* ---- an item that its consumer frees while the sweep of its producer looks at it, and that is another stream's at once ---- */

/* The producer died as it had closed its first item. */
static void setup_closed(void) {
  sh_ref permit;
  uint8_t *data;
  setup();
  sh_seat_leave(&node->worker[0]);
  rig_attach(node, &node->worker[1], SH_ROLE_WORKER, -1, RIG_ROOT);
  node->n_workers = 2;
  XP_EQUAL(sh_stream_begin(&node->worker[0], stage->slot, &permit), SH_OK);
  XP_EQUAL(sh_fill(&node->worker[0], stage->cell, 8, 0, &data), SH_OK);
  (void)sh_entry_close(sh_entry_at(&node->d.seg, stage->cell.index), stage->cell.generation);
  sh_magazine *m = &node->driver.mags[SH_POOL_ENTRY];
  m->n = 0;
  m->fresh = m->fresh_end;
}
static void drop_and_stream_again(void) {
  sh_ref out[2], permit;
  sh_ref_drop(&node->driver, stage->cell);
  rig_call call = {.class_id = node->class_id, .n_returns = 2, .flags = SH_SLOT_STREAM, .addend = 5};
  call.ahead = 1;
  rig_submit(&node->driver, &call, out);
  stage->other_cell = out[SH_STREAM_TAIL];
  stage->other_done = out[SH_STREAM_DONE];
  uint32_t slot;
  XP_EQUAL(sh_next_try(&node->worker[1], &slot), SH_OK);
  stage->other_slot = slot;
  XP_EQUAL(sh_stream_begin(&node->worker[1], slot, &permit), SH_OK);
  stage->permit = permit;
}
static void sweep_producer(void) {
  sh_sweep_client(&node->d, node->worker[0].index);
}
static void other_is_whole(void) {
  sh_ref next;
  XP_CHECK(!rig_is_closed(&node->worker[1], stage->permit));
  XP_CHECK(rig_yield(&node->worker[1], stage->other_slot, 9, 8));
  rig_end_stream(&node->worker[1], stage->other_slot);
  XP_EQUAL(sh_stream_take(&node->driver, stage->other_cell, &next), SH_OK);
  XP_EQUAL(rig_value(&node->driver, stage->other_cell), 9);
  sh_ref_drop(&node->driver, stage->other_cell);
  XP_EQUAL(sh_stream_take(&node->driver, next, &stage->cell), SH_EMPTY);
  sh_ref_drop(&node->driver, next);
  sh_ref_drop(&node->driver, stage->other_done);
  rig_drop_permits(&node->worker[1]);
  all_gone();
}
const xp_scenario stream_freed_twice = {
    .name = "G stream: a dropped item is another stream's as its producer is swept",
    .setup = setup_closed,
    .run = {drop_and_stream_again, sweep_producer},
    .check = other_is_whole,
    .may_read_behind = true,
    .preemptions = 3,
};

/* ---- a worker that made the tail, and put the task back, dies while another one makes items ---- */

static void setup_passed_on(void) {
  sh_ref out[2];
  node_open(2, 2);
  stage = xp_room(sizeof *stage);
  rig_call call = {.class_id = node->class_id, .n_returns = 2, .flags = SH_SLOT_STREAM, .max_retries = 1};
  rig_submit(&node->driver, &call, out);
  stage->cell = out[SH_STREAM_TAIL];
  stage->done = out[SH_STREAM_DONE];
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
  XP_CHECK(rig_yield(&node->worker[0], stage->slot, 7, 8));
  sh_stream_withdraw(&node->worker[0], stage->slot);
  XP_CHECK(sh_retry(&node->worker[0], stage->slot));
  sh_seat_leave(&node->worker[0]);
  XP_EQUAL(sh_next_try(&node->worker[1], &stage->slot), SH_OK);
}
static void second_producer(void) {
  XP_CHECK(rig_yield(&node->worker[1], stage->slot, 8, 8));
}
static void both_taken(void) {
  rig_end_stream(&node->worker[1], stage->slot);
  for (uint32_t i = 0; i < 2; i++) {
    sh_ref next;
    XP_EQUAL(sh_stream_take(&node->driver, stage->cell, &next), SH_OK);
    XP_EQUAL(rig_value(&node->driver, stage->cell), 7 + i);
    sh_ref_drop(&node->driver, stage->cell);
    stage->cell = next;
  }
  sh_ref_drop(&node->driver, stage->cell);
  all_gone();
}
const xp_scenario stream_passed_on = {
    .name = "C stream: who made the tail and put the task back is swept while another makes items",
    .setup = setup_passed_on,
    .run = {second_producer, sweep_producer},
    .check = both_taken,
    .preemptions = 4,
};
