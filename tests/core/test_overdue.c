/* SPDX-License-Identifier: Apache-2.0
 * Attempts that run for longer than they may: ended, repeated, and their workers killed. */
#include "rig.h"

#include "node/cancel.h"

static rig r;

#define LIMIT_NS 1000000000U

static sh_ref submit_limited(uint32_t flags, uint32_t max_retries) {
  sh_ref out;
  rig_call call = {.class_id = r.class_id,
                   .n_returns = 1,
                   .addend = 5,
                   .timeout_ns = LIMIT_NS,
                   .flags = flags,
                   .max_retries = max_retries};
  rig_submit(&r.driver, &call, &out);
  return out;
}
static uint64_t began(const sh_self *worker) {
  return sh_load_relaxed(&worker->me->x_since_ns);
}
static void look(sh_self *worker, uint64_t after_ns) {
  sh_cancel_overdue(&r.d, worker->index, began(worker) + after_ns);
}

static void test_attempt_is_ended_when_its_time_is_over_and_not_before(void) {
  rig_open(&r, 1, 1);
  sh_ref out = submit_limited(0, 3);
  look(&r.worker[0], 2 * LIMIT_NS);
  uint32_t slot = rig_claim(&r.worker[0]);
  look(&r.worker[0], LIMIT_NS - 1);
  EXPECT_EQ(rig_state_of(&r, out), SH_TASK_RUNNING);
  look(&r.worker[0], LIMIT_NS);
  EXPECT_EQ(rig_state_of(&r, out), SH_TASK_OVERDUE);
  look(&r.worker[0], LIMIT_NS + 1);
  EXPECT(sh_is_ending(&r.worker[0], slot));
  rig_fill(&r.worker[0], slot, 1000);
  EXPECT_EQ(sh_commit(&r.worker[0], slot), SH_LOST);
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_TIMED_OUT);
  EXPECT(!rig_work(&r.worker[0]));
  rig_close_empty(&r, &out, 1);
}

static void test_task_in_time_is_let_alone(void) {
  rig_open(&r, 1, 1);
  sh_ref out = submit_limited(0, 0);
  uint32_t slot = rig_claim(&r.worker[0]);
  look(&r.worker[0], LIMIT_NS / 2);
  rig_finish(&r.worker[0], slot);
  look(&r.worker[0], 2 * LIMIT_NS);
  EXPECT_EQ(rig_value(&r.driver, out), 5);
  rig_close_empty(&r, &out, 1);
}

/* What a worker is said to run may be what it ran before: another task in that slot, or another worker's by now. */
static void test_task_is_not_overdue_for_what_is_said_of_another(void) {
  rig_open(&r, 2, 2);
  sh_ref out = submit_limited(0, 0);
  uint32_t slot = rig_claim(&r.worker[0]);
  sh_ref task = rig_task_of(&r, out);
  sh_ref before = {.index = task.index, .generation = task.generation - 1U};
  sh_store_relaxed(&r.worker[0].me->x_current, sh_ref_pack(before));
  look(&r.worker[0], 2 * LIMIT_NS);
  EXPECT_EQ(rig_state_of(&r, out), SH_TASK_RUNNING);
  sh_store_relaxed(&r.worker[0].me->x_current, sh_ref_pack(task));
  sh_unclaim(&r.worker[0], slot);
  EXPECT_EQ(rig_claim(&r.worker[1]), slot);
  look(&r.worker[0], 2 * LIMIT_NS);
  EXPECT_EQ(rig_state_of(&r, out), SH_TASK_RUNNING);
  rig_finish(&r.worker[1], slot);
  EXPECT_EQ(rig_value(&r.driver, out), 5);
  rig_close_empty(&r, &out, 1);
}

static void test_overdue_attempt_is_repeated_if_it_may(void) {
  rig_open(&r, 1, 1);
  sh_ref out = submit_limited(SH_SLOT_RETRY_OVERDUE, 1);
  for (uint32_t i = 0; i < 2; i++) {
    uint32_t slot = rig_claim(&r.worker[0]);
    EXPECT_EQ(sh_load32_relaxed(&sh_slot_at(&r.d.seg, slot)->x_attempt), i);
    look(&r.worker[0], LIMIT_NS);
    EXPECT(sh_surrender(&r.worker[0], slot));
    EXPECT(!rig_is_closed(&r.driver, out));
    rig_rounds(&r, 1);
  }
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_TIMED_OUT);
  rig_close_empty(&r, &out, 1);
}

static void test_next_attempt_keeps_its_children(void) {
  rig_open(&r, 1, 1);
  sh_ref out = submit_limited(SH_SLOT_RETRY_OVERDUE, 1);
  uint32_t slot = rig_claim(&r.worker[0]);
  sh_ref first = rig_submit_child(&r, &r.worker[0], slot);
  look(&r.worker[0], LIMIT_NS);
  sh_ref late = rig_submit_child(&r, &r.worker[0], slot);
  EXPECT(sh_surrender(&r.worker[0], slot));
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, first), SH_ERR_CANCELLED);
  EXPECT_EQ(rig_error(&r.driver, late), SH_ERR_CANCELLED);
  slot = rig_claim(&r.worker[0]);
  sh_ref second = rig_submit_child(&r, &r.worker[0], slot);
  rig_rounds(&r, 2);
  EXPECT(!rig_is_closed(&r.driver, second));
  rig_finish(&r.worker[0], slot);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(rig_value(&r.driver, out), 5);
  EXPECT_EQ(rig_value(&r.driver, second), 0);
  sh_ref_drop(&r.worker[0], first);
  sh_ref_drop(&r.worker[0], late);
  sh_ref_drop(&r.worker[0], second);
  rig_close_empty(&r, &out, 1);
}

static void test_who_does_not_end_in_the_grace_time_is_condemned(void) {
  for (uint32_t again = 0; again < 2; again++) {
    rig_open(&r, 1, 1);
    sh_ref out = submit_limited(again ? SH_SLOT_RETRY_OVERDUE : 0, 1);
    (void)rig_claim(&r.worker[0]);
    look(&r.worker[0], LIMIT_NS);
    EXPECT_EQ(rig_condemned(&r), 0);
    EXPECT_EQ(r.d.n_endings, 1);
    r.d.endings[0].kill_ns = 1;
    rig_rounds(&r, 1);
    EXPECT_EQ(rig_condemned(&r), r.worker[0].index);
    EXPECT_EQ(rig_state_of(&r, out), SH_TASK_KILLING);
    rig_replace(&r, &r.worker[0]);
    if (again)
      EXPECT(rig_work(&r.worker[0]));
    rig_rounds(&r, 1);
    EXPECT_EQ(rig_error(&r.driver, out), again ? 0 : SH_ERR_TIMED_OUT);
    rig_close_empty(&r, &out, 1);
  }
}

static void test_worker_that_dies_in_the_grace_time_was_overdue(void) {
  rig_open(&r, 1, 1);
  sh_ref out = submit_limited(0, 3);
  (void)rig_claim(&r.worker[0]);
  look(&r.worker[0], LIMIT_NS);
  rig_replace(&r, &r.worker[0]);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_TIMED_OUT);
  rig_rounds(&r, 1);
  rig_close_empty(&r, &out, 1);
}

static void test_cancel_of_an_overdue_task_is_not_repeated(void) {
  rig_open(&r, 1, 1);
  sh_ref out = submit_limited(SH_SLOT_RETRY_OVERDUE, 3);
  uint32_t slot = rig_claim(&r.worker[0]);
  look(&r.worker[0], LIMIT_NS);
  EXPECT_EQ(rig_cancel(&r, out), SH_OK);
  EXPECT(sh_surrender(&r.worker[0], slot));
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_CANCELLED);
  rig_close_empty(&r, &out, 1);
}

static void test_outer_task_goes_on_where_its_time_was(void) {
  rig_open(&r, 1, 1);
  sh_ref out = submit_limited(0, 0), inner = rig_submit_one(&r, 1, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]), inner_slot;
  uint64_t since = began(&r.worker[0]);
  EXPECT_EQ(sh_next_awaited(&r.worker[0], inner, &inner_slot), SH_OK);
  look(&r.worker[0], 2 * LIMIT_NS);
  EXPECT_EQ(rig_state_of(&r, out), SH_TASK_RUNNING);
  rig_finish(&r.worker[0], inner_slot);
  sh_resume(&r.worker[0], slot, since);
  EXPECT_EQ(began(&r.worker[0]), since);
  look(&r.worker[0], LIMIT_NS);
  EXPECT_EQ(rig_state_of(&r, out), SH_TASK_OVERDUE);
  EXPECT(sh_surrender(&r.worker[0], slot));
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_TIMED_OUT);
  rig_close_empty(&r, (sh_ref[]){out, inner}, 2);
}

int main(void) {
  RUN(test_attempt_is_ended_when_its_time_is_over_and_not_before);
  RUN(test_task_in_time_is_let_alone);
  RUN(test_task_is_not_overdue_for_what_is_said_of_another);
  RUN(test_overdue_attempt_is_repeated_if_it_may);
  RUN(test_next_attempt_keeps_its_children);
  RUN(test_who_does_not_end_in_the_grace_time_is_condemned);
  RUN(test_worker_that_dies_in_the_grace_time_was_overdue);
  RUN(test_cancel_of_an_overdue_task_is_not_repeated);
  RUN(test_outer_task_goes_on_where_its_time_was);
  return 0;
}
