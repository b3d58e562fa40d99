/* SPDX-License-Identifier: Apache-2.0
 * A task from submission to commit: values, arguments, returns, retries of nothing. */
#include "rig.h"

#include "base/os.h"

static rig r;

static void test_value_is_visible_after_commit(void) {
  rig_open(&r, 1, 1);
  uint32_t slot;
  sh_ref out = rig_submit_one(&r, 41, NULL, 0);
  EXPECT(!rig_is_closed(&r.driver, out));
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  rig_fill(&r.worker[0], slot, 8);
  EXPECT(!rig_is_closed(&r.driver, out));
  EXPECT_EQ(sh_commit(&r.worker[0], slot), SH_OK);
  EXPECT_EQ(rig_value(&r.driver, out), 41);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_EMPTY);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_number_of_returns_is_zero_one_or_many(void) {
  static const uint32_t counts[] = {0, 1, 2, 13, 14, 500};
  rig_open(&r, 1, 1);
  for (uint32_t c = 0; c < sizeof counts / sizeof *counts; c++) {
    sh_ref out[500];
    rig_call call = {.class_id = r.class_id, .n_returns = counts[c], .addend = 100};
    rig_submit(&r.driver, &call, out);
    EXPECT(rig_work(&r.worker[0]));
    for (uint32_t i = 0; i < counts[c]; i++) {
      EXPECT_EQ(rig_value(&r.driver, out[i]), 100 + i);
      sh_ref_drop(&r.driver, out[i]);
    }
    rig_expect_empty(&r);
  }
  rig_close(&r);
}

static void test_spec_and_values_may_be_large(void) {
  rig_open(&r, 1, 1);
  static const uint64_t sizes[] = {65, 4000, 33000, 70000, 40ULL << 20};
  for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    uint32_t slot;
    sh_ref out[2];
    rig_call call = {.class_id = r.class_id, .n_returns = 2, .addend = 5, .padding = sizes[i]};
    rig_submit(&r.driver, &call, out);
    EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
    rig_fill(&r.worker[0], slot, sizes[i] / 4);
    EXPECT_EQ(sh_commit(&r.worker[0], slot), SH_OK);
    EXPECT_EQ(rig_value(&r.driver, out[0]), 5);
    EXPECT_EQ(rig_value(&r.driver, out[1]), 6);
    sh_ref_drop(&r.driver, out[0]);
    sh_ref_drop(&r.driver, out[1]);
    rig_expect_empty(&r);
  }
  rig_close(&r);
}

/* a and b are resolved in either order; the task runs once, after both. */
static void two_arguments(bool second_first) {
  uint32_t slot_a, slot_b;
  sh_ref a = rig_submit_one(&r, 10, NULL, 0), b = rig_submit_one(&r, 20, NULL, 0);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot_a), SH_OK);
  EXPECT_EQ(sh_next_try(&r.worker[1], &slot_b), SH_OK);
  sh_ref deps[3] = {a, rig_put(&r.driver, 3, 8), b};
  sh_ref sum = rig_submit_one(&r, 1, deps, 3);
  for (uint32_t i = 0; i < 3; i++)
    sh_ref_drop(&r.driver, deps[i]); /* the task holds them now */
  EXPECT(!rig_work(&r.worker[2]));
  if (second_first)
    rig_finish(&r.worker[1], slot_b);
  else
    rig_finish(&r.worker[0], slot_a);
  EXPECT(!rig_work(&r.worker[2])); /* one is missing still: the claimer waits on it, or the hint has not come */
  if (second_first)
    rig_finish(&r.worker[0], slot_a);
  else
    rig_finish(&r.worker[1], slot_b);
  rig_rounds(&r, 2);
  EXPECT(rig_work(&r.worker[2]));
  EXPECT(!rig_work(&r.worker[2]));
  EXPECT_EQ(rig_value(&r.driver, sum), 34);
  sh_ref_drop(&r.driver, sum);
  rig_expect_empty(&r);
}

static void test_repeated_attempts_are_counted_and_keep_their_arguments(void) {
  rig_open(&r, 1, 1);
  sh_ref arg = rig_put(&r.driver, 3, 1000), out[2];
  rig_call call = {.class_id = r.class_id, .n_returns = 2, .addend = 4, .max_retries = 2, .deps = &arg, .n_deps = 1};
  rig_submit(&r.driver, &call, out);
  sh_ref_drop(&r.driver, arg);
  for (uint32_t i = 0; i < 2; i++) {
    uint32_t slot;
    EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
    EXPECT_EQ(sh_load32_relaxed(&sh_slot_at(&r.d.seg, slot)->x_attempt), i);
    rig_fill_plus(&r.worker[0], slot, 100000, 7);
    EXPECT(sh_may_retry(&r.worker[0], slot));
    EXPECT(sh_retry(&r.worker[0], slot));
  }
  uint32_t slot;
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  EXPECT(!sh_may_retry(&r.worker[0], slot));
  rig_finish(&r.worker[0], slot);
  EXPECT_EQ(rig_value(&r.driver, out[0]), 7);
  EXPECT_EQ(rig_value(&r.driver, out[1]), 8);
  sh_ref_drop(&r.driver, out[0]);
  sh_ref_drop(&r.driver, out[1]);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_task_waits_for_all_arguments(void) {
  rig_open(&r, 3, 3);
  two_arguments(false);
  two_arguments(true);
  rig_close(&r);
}

static void test_argument_may_be_named_twice(void) {
  rig_open(&r, 1, 1);
  sh_ref a = rig_submit_one(&r, 4, NULL, 0);
  sh_ref deps[2] = {a, a};
  sh_ref twice = rig_submit_one(&r, 0, deps, 2);
  sh_ref_drop(&r.driver, a);
  rig_work_all(&r);
  EXPECT_EQ(rig_value(&r.driver, twice), 8);
  sh_ref_drop(&r.driver, twice);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* A chain submitted front to back and a fan-in of many. */
static void test_chains_and_fans(void) {
  enum { N = 700 };
  sh_ref refs[N];
  rig_open(&r, 2, 2);
  refs[0] = rig_submit_one(&r, 1, NULL, 0);
  for (uint32_t i = 1; i < N; i++) {
    refs[i] = rig_submit_one(&r, 1, &refs[i - 1], 1);
    sh_ref_drop(&r.driver, refs[i - 1]);
  }
  rig_work_all(&r);
  EXPECT_EQ(rig_value(&r.driver, refs[N - 1]), N);
  sh_ref_drop(&r.driver, refs[N - 1]);
  for (uint32_t i = 0; i < N; i++)
    refs[i] = rig_submit_one(&r, i, NULL, 0);
  sh_ref sum = rig_submit_one(&r, 0, refs, N);
  for (uint32_t i = 0; i < N; i++)
    sh_ref_drop(&r.driver, refs[i]);
  rig_work_all(&r);
  EXPECT_EQ(rig_value(&r.driver, sum), N * (N - 1U) / 2U);
  sh_ref_drop(&r.driver, sum);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_many_tasks_wait_for_one_object(void) {
  enum { N = 600 };
  sh_ref refs[N];
  rig_open(&r, 2, 2);
  sh_ref root = rig_submit_one(&r, 7, NULL, 0);
  for (uint32_t i = 0; i < N; i++)
    refs[i] = rig_submit_one(&r, i, &root, 1);
  sh_ref_drop(&r.driver, root);
  rig_work_all(&r);
  for (uint32_t i = 0; i < N; i++) {
    EXPECT_EQ(rig_value(&r.driver, refs[i]), i + 7);
    sh_ref_drop(&r.driver, refs[i]);
  }
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_dropped_result_is_freed_at_commit(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0);
  sh_ref_drop(&r.driver, out);
  EXPECT(rig_work(&r.worker[0]));
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_unclaimed_task_runs_elsewhere(void) {
  uint32_t slot;
  rig_open(&r, 2, 2);
  sh_ref out = rig_submit_one(&r, 9, NULL, 0);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  sh_unclaim(&r.worker[0], slot);
  EXPECT(rig_work(&r.worker[1]));
  EXPECT_EQ(rig_value(&r.driver, out), 9);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_full_submission_undoes_everything(void) {
  rig_open(&r, 1, 1);
  sh_ref out[1];
  rig_call huge = {.class_id = r.class_id, .n_returns = 1, .padding = 1ULL << 34};
  EXPECT_EQ(rig_try_submit(&r.driver, &huge, out), SH_FULL);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_ids_are_children_of_their_parent(void) {
  rig_open(&r, 1, 1);
  sh_ref a = rig_submit_one(&r, 0, NULL, 0), b = rig_submit_one(&r, 0, NULL, 0);
  sh_entry *ea = sh_entry_at(&r.driver.seg, a.index), *eb = sh_entry_at(&r.driver.seg, b.index);
  sh_id128 first = sh_id_child(sh_id_root(RIG_ROOT), 0), second = sh_id_child(sh_id_root(RIG_ROOT), 1);
  EXPECT_EQ(ea->id_lo, first.lo);
  EXPECT_EQ(ea->id_hi, first.hi);
  EXPECT_EQ(eb->id_hi, second.hi);
  EXPECT_EQ(sh_id_root_of(first), RIG_ROOT);
  EXPECT(first.hi != second.hi);
  rig_work_all(&r);
  sh_ref_drop(&r.driver, a);
  sh_ref_drop(&r.driver, b);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* Eight tasks flow through a committed one at a time; nobody is ever repaired. */
static void test_no_repairs_without_faults(void) {
  rig_open(&r, 2, 2);
  for (uint32_t i = 0; i < 300; i++) {
    sh_ref a = rig_submit_one(&r, i, NULL, 0), b = rig_submit_one(&r, 1, &a, 1);
    sh_ref_drop(&r.driver, a);
    rig_work_all(&r);
    EXPECT_EQ(rig_value(&r.driver, b), i + 1);
    sh_ref_drop(&r.driver, b);
    if (i % 50 == 0)
      rig_tick(&r);
  }
  EXPECT_EQ(r.d.repairs, 0);
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_value_is_visible_after_commit);
  RUN(test_number_of_returns_is_zero_one_or_many);
  RUN(test_spec_and_values_may_be_large);
  RUN(test_repeated_attempts_are_counted_and_keep_their_arguments);
  RUN(test_task_waits_for_all_arguments);
  RUN(test_argument_may_be_named_twice);
  RUN(test_chains_and_fans);
  RUN(test_many_tasks_wait_for_one_object);
  RUN(test_dropped_result_is_freed_at_commit);
  RUN(test_unclaimed_task_runs_elsewhere);
  RUN(test_full_submission_undoes_everything);
  RUN(test_ids_are_children_of_their_parent);
  RUN(test_no_repairs_without_faults);
  return 0;
}
