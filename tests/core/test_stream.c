/* SPDX-License-Identifier: Apache-2.0
 * Streams: items in order, the end, and who frees what when one side stops wanting or living. */
#include "rig.h"

#include "node/cancel.h"

#define BLOCK 1000U

static rig r;
static sh_ref done, cell; /* the task's end; the item that the consumer waits for */
static uint32_t slot;

static void submit(sh_self *by, uint32_t max_retries, uint32_t ahead) {
  sh_ref out[2];
  rig_call call = {.class_id = r.class_id, .n_returns = 2, .flags = SH_SLOT_STREAM, .addend = 5};
  call.max_retries = max_retries;
  call.ahead = ahead;
  rig_submit(by, &call, out);
  cell = out[SH_STREAM_TAIL];
  done = out[SH_STREAM_DONE];
}

static void claim(sh_self *worker) {
  EXPECT_EQ(sh_next_try(worker, &slot), SH_OK);
}

static void begin(uint32_t max_retries, uint32_t ahead) {
  rig_open(&r, 2, 2);
  submit(&r.driver, max_retries, ahead);
  claim(&r.worker[0]);
}

static void expect_item(sh_self *consumer, uint64_t value) {
  sh_ref next;
  EXPECT(rig_is_closed(consumer, cell));
  EXPECT_EQ(sh_stream_take(consumer, cell, &next), SH_OK);
  EXPECT_EQ(rig_value(consumer, cell), value);
  sh_ref_drop(consumer, cell);
  cell = next;
}

static void expect_end(sh_self *consumer) {
  sh_ref next;
  EXPECT(rig_is_closed(consumer, cell));
  EXPECT_EQ(sh_stream_take(consumer, cell, &next), SH_EMPTY);
  sh_ref_drop(consumer, cell);
  EXPECT_EQ(rig_value(consumer, done), 6);
  sh_ref_drop(consumer, done);
}

static void end(void) {
  rig_expect_empty(&r);
  rig_close(&r);
}

static void kill_worker(uint32_t i) {
  uint32_t index = r.worker[i].index;
  sh_self_close(&r.worker[i]);
  sh_repair_round(&r.d, (int32_t)index);
}

static void test_items_come_in_order_and_then_the_end(void) {
  begin(0, 0);
  for (uint32_t i = 0; i < 10; i++)
    EXPECT(rig_yield(&r.worker[0], slot, i, i % 2 ? BLOCK : 8));
  EXPECT_EQ(sh_stream_delivered(&r.worker[0], slot), 10);
  for (uint32_t i = 0; i < 10; i++)
    expect_item(&r.driver, i);
  EXPECT(!rig_is_closed(&r.driver, cell));
  rig_end_stream(&r.worker[0], slot);
  expect_end(&r.driver);
  EXPECT_EQ(r.driver.me->x_log_tail, 0); /* no event of the logs for any of this */
  EXPECT_EQ(r.worker[0].me->x_log_tail, 0);
  end();
}

static void test_what_was_made_ahead_is_taken_back_at_the_end(void) {
  begin(0, 3);
  sh_ref permit, again;
  EXPECT_EQ(sh_stream_begin(&r.worker[0], slot, &permit), SH_OK);
  EXPECT_EQ(sh_stream_begin(&r.worker[0], slot, &again), SH_OK);
  EXPECT_EQ(sh_ref_pack(permit), sh_ref_pack(again));
  rig_end_stream(&r.worker[0], slot);
  EXPECT(rig_is_closed(&r.worker[0], permit));
  sh_ref_drop(&r.worker[0], permit);
  expect_end(&r.driver);
  end();
}

static void test_the_items_of_a_dropped_stream_are_freed_and_its_producer_is_told(void) {
  for (uint32_t n = 0; n < 4; n++) {
    begin(0, 2);
    for (uint32_t i = 0; i < n; i++)
      EXPECT(rig_yield(&r.worker[0], slot, i, BLOCK));
    EXPECT(sh_stream_is_wanted(&r.worker[0], slot));
    sh_ref_drop(&r.driver, cell);
    EXPECT(!sh_stream_is_wanted(&r.worker[0], slot));
    EXPECT(!rig_yield(&r.worker[0], slot, n, 8));
    rig_end_stream(&r.worker[0], slot);
    sh_ref_drop(&r.driver, done);
    end();
  }
}

static void test_a_stream_that_is_dropped_while_an_item_is_made(void) {
  begin(0, 0);
  sh_ref permit;
  uint8_t *data;
  EXPECT_EQ(sh_stream_begin(&r.worker[0], slot, &permit), SH_OK);
  EXPECT_EQ(sh_fill(&r.worker[0], cell, BLOCK, 0, &data), SH_OK);
  sh_ref_drop(&r.driver, cell);
  sh_stream_seal(&r.worker[0], slot);
  EXPECT(!sh_stream_is_wanted(&r.worker[0], slot));
  rig_end_stream(&r.worker[0], slot);
  sh_ref_drop(&r.driver, done);
  end();
}

/* A peer may have written over what the task names as its tail. */
static void test_a_damaged_tail_is_left_alone(void) {
  begin(0, 1);
  sh_slot *t = sh_slot_at(&r.d.seg, slot);
  sh_a64 *tail = (sh_a64 *)(void *)(sh_slot_spec(&r.d.seg, t)) + SH_STREAM_TAIL;
  uint64_t right = sh_load_relaxed(tail);
  sh_store_relaxed(tail, sh_ref_pack((sh_ref){.index = UINT32_MAX, .generation = 1}));
  EXPECT(!sh_stream_is_wanted(&r.worker[0], slot));
  EXPECT_EQ(sh_stream_delivered(&r.worker[0], slot), 0);
  sh_stream_seal(&r.worker[0], slot);
  sh_stream_withdraw(&r.worker[0], slot);
  sh_stream_fill_end(&r.worker[0], slot);
  sh_store_relaxed(tail, right);
  EXPECT(rig_yield(&r.worker[0], slot, 3, 8));
  expect_item(&r.driver, 3);
  rig_end_stream(&r.worker[0], slot);
  expect_end(&r.driver);
  end();
}

static void test_a_permit_is_closed_by_who_takes_the_item(void) {
  begin(0, 1);
  sh_ref permit, tail = cell;
  uint8_t *data;
  EXPECT_EQ(sh_stream_begin(&r.worker[0], slot, &permit), SH_OK);
  EXPECT_EQ(sh_fill(&r.worker[0], tail, 8, 0, &data), SH_OK);
  memset(data, 0, 8);
  sh_stream_seal(&r.worker[0], slot);
  EXPECT_EQ(sh_watch(&r.worker[0], permit), SH_OK);
  EXPECT(!rig_is_closed(&r.worker[0], permit));
  expect_item(&r.driver, 0);
  EXPECT(rig_is_closed(&r.worker[0], permit));
  EXPECT(sh_any_fired(&r.worker[0]));
  sh_ref_drop(&r.worker[0], permit);
  rig_end_stream(&r.worker[0], slot);
  expect_end(&r.driver);
  end();
}

static void test_the_next_attempt_goes_on_at_the_tail(void) {
  begin(1, 2);
  for (uint32_t i = 0; i < 3; i++)
    EXPECT(rig_yield(&r.worker[0], slot, i, BLOCK));
  expect_item(&r.driver, 0);
  sh_ref permit;
  uint8_t *data;
  EXPECT_EQ(sh_stream_begin(&r.worker[0], slot, &permit), SH_OK);
  sh_ref tail = sh_slot_return(&r.d.seg, sh_slot_at(&r.d.seg, slot), SH_STREAM_TAIL);
  EXPECT_EQ(sh_fill(&r.worker[0], tail, BLOCK, 0, &data), SH_OK);
  kill_worker(0);
  claim(&r.worker[1]);
  EXPECT_EQ(sh_stream_delivered(&r.worker[1], slot), 3);
  EXPECT(rig_yield(&r.worker[1], slot, 3, BLOCK));
  rig_end_stream(&r.worker[1], slot);
  for (uint32_t i = 1; i < 4; i++)
    expect_item(&r.driver, i);
  expect_end(&r.driver);
  end();
}

static void test_without_retries_the_death_of_the_producer_is_the_last_item(void) {
  begin(0, 0);
  EXPECT(rig_yield(&r.worker[0], slot, 0, BLOCK));
  EXPECT(rig_yield(&r.worker[0], slot, 1, BLOCK));
  kill_worker(0);
  expect_item(&r.driver, 0);
  expect_item(&r.driver, 1);
  sh_ref next;
  EXPECT_EQ(rig_error(&r.driver, cell), SH_ERR_WORKER_DIED);
  EXPECT_EQ(sh_stream_take(&r.driver, cell, &next), SH_LOST);
  EXPECT_EQ(rig_error(&r.driver, done), SH_ERR_WORKER_DIED);
  sh_ref_drop(&r.driver, cell);
  sh_ref_drop(&r.driver, done);
  end();
}

static void expect_cancelled(void) {
  sh_ref next;
  expect_item(&r.driver, 0);
  EXPECT_EQ(rig_error(&r.driver, cell), SH_ERR_CANCELLED);
  EXPECT_EQ(sh_stream_take(&r.driver, cell, &next), SH_LOST);
  EXPECT_EQ(rig_error(&r.driver, done), SH_ERR_CANCELLED);
  sh_ref_drop(&r.driver, cell);
  sh_ref_drop(&r.driver, done);
}

/* It has begun an item, and lets go of the task. Or it is killed before it does. */
/* Two returns, made by the client that runs the task itself: they look like a tail and what was made ahead. */
static void test_returns_of_a_task_that_its_caller_ran_are_no_items(void) {
  rig_open(&r, 2, 2);
  sh_ref outer = rig_submit_one(&r, 1, NULL, 0), out[2];
  uint32_t inner;
  claim(&r.worker[0]);
  rig_call call = {.class_id = r.class_id, .n_returns = 2, .addend = 5, .max_retries = 1};
  rig_submit(&r.worker[0], &call, out);
  for (uint32_t i = 0; i < 2; i++) {
    sh_ref_share(&r.worker[0], out[i]);
    EXPECT_EQ(sh_ref_take(&r.driver, out[i]), SH_OK);
  }
  EXPECT_EQ(sh_next_awaited(&r.worker[0], out[0], &inner), SH_OK);
  kill_worker(0);
  EXPECT_EQ(rig_error(&r.driver, outer), SH_ERR_WORKER_DIED);
  EXPECT(rig_work(&r.worker[1]));
  for (uint32_t i = 0; i < 2; i++) {
    EXPECT_EQ(rig_value(&r.driver, out[i]), 5 + i);
    sh_ref_drop(&r.driver, out[i]);
  }
  sh_ref_drop(&r.driver, outer);
  end();
}

static void test_the_cancel_of_a_running_stream_is_its_last_item(void) {
  for (uint32_t killed = 0; killed < 2; killed++) {
    sh_ref permit;
    uint8_t *data;
    begin(3, 0);
    EXPECT(rig_yield(&r.worker[0], slot, 0, BLOCK));
    sh_ref tail = sh_slot_return(&r.d.seg, sh_slot_at(&r.d.seg, slot), SH_STREAM_TAIL);
    EXPECT_EQ(sh_stream_begin(&r.worker[0], slot, &permit), SH_OK);
    EXPECT_EQ(sh_fill(&r.worker[0], tail, BLOCK, 0, &data), SH_OK);
    EXPECT_EQ(sh_repair_cancel(&r.d, rig_task_of(&r, done), false, false), SH_OK);
    EXPECT(!sh_stream_is_wanted(&r.worker[0], slot));
    EXPECT_EQ(sh_stream_begin(&r.worker[0], slot, &permit), SH_EMPTY);
    if (killed) {
      kill_worker(0);
    } else {
      sh_stream_withdraw(&r.worker[0], slot);
      EXPECT(sh_surrender(&r.worker[0], slot));
      rig_rounds(&r, 2);
    }
    expect_cancelled();
    end();
  }
}

static void test_the_retry_of_a_stream_by_its_worker_goes_on_at_the_tail(void) {
  begin(1, 0);
  EXPECT(rig_yield(&r.worker[0], slot, 0, BLOCK));
  sh_stream_withdraw(&r.worker[0], slot);
  EXPECT(sh_retry(&r.worker[0], slot));
  claim(&r.worker[1]);
  EXPECT_EQ(sh_stream_delivered(&r.worker[1], slot), 1);
  EXPECT(rig_yield(&r.worker[1], slot, 1, 8));
  rig_end_stream(&r.worker[1], slot);
  expect_item(&r.driver, 0);
  expect_item(&r.driver, 1);
  expect_end(&r.driver);
  end();
}

/* The producer does not know yet that the consumer died; nor that its number is somebody else's by now. */
static void test_items_made_for_a_dead_consumer_are_freed(void) {
  rig_open(&r, 2, 2);
  sh_self consumer, other;
  rig_attach(&r, &consumer, SH_ROLE_DRIVER, -1, RIG_ROOT);
  submit(&consumer, 0, 2);
  claim(&r.worker[0]);
  EXPECT(rig_yield(&r.worker[0], slot, 0, BLOCK));
  uint32_t index = consumer.index;
  sh_self_close(&consumer);
  sh_sweep_client(&r.d, index); /* what it held is on the list, and not dropped yet */
  rig_attach(&r, &other, SH_ROLE_DRIVER, -1, RIG_ROOT);
  EXPECT_EQ(other.index, index);
  EXPECT(rig_yield(&r.worker[0], slot, 1, BLOCK));
  (void)sh_counts_work(&r.d.counts, SH_COUNTS_ALL);
  EXPECT(!rig_yield(&r.worker[0], slot, 2, BLOCK));
  rig_end_stream(&r.worker[0], slot);
  rig_expect_empty(&r);
  rig_detach(&r, &other);
  end();
}

/* Items that name objects are freed by the daemon. */
static void test_a_chain_of_containers_is_freed(void) {
  begin(0, 0);
  sh_self *worker = &r.worker[0];
  for (uint32_t i = 0; i < 100; i++) {
    sh_ref permit, tail = sh_slot_return(&r.d.seg, sh_slot_at(&r.d.seg, slot), SH_STREAM_TAIL);
    sh_ref inside = rig_put(worker, i, BLOCK);
    EXPECT_EQ(sh_stream_begin(worker, slot, &permit), SH_OK);
    rig_fill_container(worker, tail, inside);
    sh_stream_seal(worker, slot);
    sh_ref_drop(worker, inside);
  }
  sh_ref_drop(&r.driver, cell);
  rig_rounds(&r, 2);
  EXPECT(!sh_stream_is_wanted(worker, slot));
  rig_end_stream(worker, slot);
  sh_ref_drop(&r.driver, done);
  end();
}

static void test_a_stream_is_not_run_on_the_stack_of_who_waits_for_it(void) {
  rig_open(&r, 2, 2);
  submit(&r.driver, 0, 0);
  sh_ref_share(&r.driver, cell);
  EXPECT_EQ(sh_next_awaited(&r.worker[0], cell, &slot), SH_EMPTY);
  claim(&r.worker[0]);
  rig_end_stream(&r.worker[0], slot);
  expect_end(&r.driver);
  end();
}

int main(void) {
  RUN(test_items_come_in_order_and_then_the_end);
  RUN(test_what_was_made_ahead_is_taken_back_at_the_end);
  RUN(test_the_items_of_a_dropped_stream_are_freed_and_its_producer_is_told);
  RUN(test_a_stream_that_is_dropped_while_an_item_is_made);
  RUN(test_a_damaged_tail_is_left_alone);
  RUN(test_a_permit_is_closed_by_who_takes_the_item);
  RUN(test_the_next_attempt_goes_on_at_the_tail);
  RUN(test_without_retries_the_death_of_the_producer_is_the_last_item);
  RUN(test_returns_of_a_task_that_its_caller_ran_are_no_items);
  RUN(test_the_cancel_of_a_running_stream_is_its_last_item);
  RUN(test_the_retry_of_a_stream_by_its_worker_goes_on_at_the_tail);
  RUN(test_items_made_for_a_dead_consumer_are_freed);
  RUN(test_a_chain_of_containers_is_freed);
  RUN(test_a_stream_is_not_run_on_the_stack_of_who_waits_for_it);
  return 0;
}
