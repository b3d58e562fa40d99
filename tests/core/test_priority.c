/* SPDX-License-Identifier: Apache-2.0
 * Task classes of one job in the order of their priority, whoever serves them. */
#include "rig.h"

static rig r;

static uint32_t define(uint32_t root, uint32_t cpu_milli, int32_t priority) {
  sh_shape shape = {.root = root, .cpu_milli = cpu_milli, .priority = priority};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
  return class_id;
}
static sh_ref submit(sh_self *by, uint32_t class_id, uint64_t addend) {
  sh_ref out;
  rig_submit(by, &(rig_call){.class_id = class_id, .n_returns = 1, .addend = addend}, &out);
  return out;
}

static void test_same_shape_and_priority_is_the_same_class(void) {
  rig_open(&r, 1, 1);
  EXPECT_EQ(define(RIG_ROOT, 1000, 0), r.class_id);
  EXPECT_EQ(define(RIG_ROOT, 1000, 5), define(RIG_ROOT, 1000, 5));
  EXPECT(define(RIG_ROOT, 1000, 5) != r.class_id);
  EXPECT(define(RIG_ROOT, 1000, -5) != define(RIG_ROOT, 1000, 5));
  rig_close(&r);
}

static void test_a_worker_takes_the_most_urgent_first(void) {
  static const int32_t priorities[] = {0, -128, 3, 127, 3, -1, 0, 0};
  enum { N = sizeof priorities / sizeof *priorities };
  static const uint32_t expected[N] = {3, 2, 4, 0, 6, 7, 5, 1};
  rig_open(&r, 1, 1);
  sh_ref refs[N];
  for (uint32_t i = 0; i < N; i++)
    refs[i] = submit(&r.driver, define(RIG_ROOT, 1000, priorities[i]), i);
  for (uint32_t i = 0; i < N; i++) {
    uint32_t slot = rig_claim(&r.worker[0]);
    EXPECT_EQ(rig_task_of(&r, refs[expected[i]]).index, slot);
    rig_finish(&r.worker[0], slot);
  }
  for (uint32_t i = 0; i < N; i++) {
    EXPECT_EQ(rig_value(&r.driver, refs[i]), i);
    sh_ref_drop(&r.driver, refs[i]);
  }
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_what_needs_no_cpu_has_its_place_in_the_order(void) {
  rig_open(&r, 1, 1);
  sh_ref low = submit(&r.driver, define(RIG_ROOT, 0, 1), 1), high = submit(&r.driver, define(RIG_ROOT, 1000, 2), 2),
         last = submit(&r.driver, r.class_id, 3);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(rig_value(&r.driver, high), 2);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(rig_value(&r.driver, low), 1);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(rig_value(&r.driver, last), 3);
  sh_ref_drop(&r.driver, low);
  sh_ref_drop(&r.driver, high);
  sh_ref_drop(&r.driver, last);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void sleep_for_a_lease(sh_self *worker) {
  sh_idle_announce(worker);
  rig_rounds(&r, 1);
  sh_idle_withdraw(worker);
}

static void test_leases_go_to_the_most_urgent_also_when_another_has_one(void) {
  rig_open(&r, 1, 2);
  uint32_t usual = define(RIG_ROOT, 2000, 0), urgent = define(RIG_ROOT, 2000, 1);
  sh_ref refs[5] = {submit(&r.driver, usual, 0), submit(&r.driver, usual, 1)};
  sleep_for_a_lease(&r.worker[0]);
  uint32_t slot = rig_claim(&r.worker[0]); /* under a lease for the usual class */
  EXPECT_EQ(rig_task_of(&r, refs[0]).index, slot);
  refs[2] = submit(&r.driver, usual, 2);
  refs[3] = submit(&r.driver, urgent, 3);
  refs[4] = submit(&r.driver, urgent, 4);
  rig_finish(&r.worker[0], slot);
  static const uint32_t expected[] = {3, 4, 1, 2};
  for (uint32_t i = 0; i < 4; i++) {
    while (sh_next_try(&r.worker[0], &slot) != SH_OK)
      sleep_for_a_lease(&r.worker[0]);
    EXPECT_EQ(rig_task_of(&r, refs[expected[i]]).index, slot);
    rig_finish(&r.worker[0], slot);
  }
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_EMPTY);
  for (uint32_t i = 0; i < 5; i++) {
    EXPECT_EQ(rig_value(&r.driver, refs[i]), i);
    sh_ref_drop(&r.driver, refs[i]);
  }
  rig_rounds(&r, 1);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_an_urgent_class_that_cannot_be_served_holds_up_nobody(void) {
  rig_open(&r, 1, 2);
  sh_shape never = {.root = RIG_ROOT, .n_demands = 1, .kinds = {5}, .milli = {1000}, .priority = 9};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_class(&r.d, &never, &class_id), SH_OK);
  uint32_t usual = define(RIG_ROOT, 2000, 0), slot;
  sh_ref waits = submit(&r.driver, class_id, 9), refs[4];
  for (uint32_t i = 0; i < 4; i++)
    refs[i] = submit(&r.driver, usual, i);
  for (uint32_t i = 0; i < 4; i++) {
    for (uint32_t tries = 0; sh_next_try(&r.worker[0], &slot) != SH_OK; tries++) {
      EXPECT(tries < 10);
      sleep_for_a_lease(&r.worker[0]);
    }
    rig_finish(&r.worker[0], slot);
  }
  for (uint32_t i = 0; i < 4; i++) {
    EXPECT_EQ(rig_value(&r.driver, refs[i]), i);
    sh_ref_drop(&r.driver, refs[i]);
  }
  EXPECT_EQ(sh_repair_set_capacity(&r.d, 5, 1000), SH_OK);
  while (!rig_work(&r.worker[0]))
    sleep_for_a_lease(&r.worker[0]);
  EXPECT_EQ(rig_value(&r.driver, waits), 9);
  sh_ref_drop(&r.driver, waits);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_EMPTY);
  rig_rounds(&r, 1);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* A job cannot buy itself an advantage over another one. */
static void test_jobs_are_served_by_age_whatever_their_priorities(void) {
  sh_self driver, worker;
  rig_open(&r, 1, 2);
  rig_attach(&r, &driver, SH_ROLE_DRIVER, -1, RIG_ROOT + 1U);
  rig_attach(&r, &worker, SH_ROLE_WORKER, -1, RIG_ROOT + 1U);
  uint32_t mine = define(RIG_ROOT, 2000, 0), theirs = define(RIG_ROOT + 1U, 2000, 127), slot;
  sh_ref holds = submit(&r.driver, mine, 1), first = submit(&r.driver, mine, 2);
  sleep_for_a_lease(&r.worker[0]);
  slot = rig_claim(&r.worker[0]);
  rig_rounds(&r, 1);
  r.d.starved_since[mine] = 1; /* it waits longer */
  r.d.starved_since[theirs] = 2;
  sh_ref second = submit(&driver, theirs, 3);
  rig_finish(&r.worker[0], slot);
  EXPECT(rig_work(&r.worker[0])); /* not outranked by another job */
  EXPECT_EQ(rig_value(&r.driver, first), 2);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_EMPTY);
  sleep_for_a_lease(&worker);
  EXPECT(rig_work(&worker));
  EXPECT_EQ(rig_value(&driver, second), 3);
  EXPECT_EQ(sh_next_try(&worker, &slot), SH_EMPTY);
  sh_ref_drop(&r.driver, holds);
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&driver, second);
  rig_rounds(&r, 1);
  rig_detach(&r, &worker);
  rig_detach(&r, &driver);
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_same_shape_and_priority_is_the_same_class);
  RUN(test_a_worker_takes_the_most_urgent_first);
  RUN(test_what_needs_no_cpu_has_its_place_in_the_order);
  RUN(test_leases_go_to_the_most_urgent_also_when_another_has_one);
  RUN(test_an_urgent_class_that_cannot_be_served_holds_up_nobody);
  RUN(test_jobs_are_served_by_age_whatever_their_priorities);
  return 0;
}
