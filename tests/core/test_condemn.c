/* SPDX-License-Identifier: Apache-2.0
 * Workers that the daemon ends for the memory they hold: what becomes of the task they run, and of no other. */
#include "rig.h"

#include "base/os.h"

static rig r;

static sh_ref submit_with_retries(uint32_t max_retries) {
  sh_ref out;
  rig_call call = {.class_id = r.class_id, .n_returns = 1, .max_retries = max_retries, .addend = 8};
  rig_submit(&r.driver, &call, &out);
  return out;
}

static sh_ref claim(sh_self *worker) {
  uint32_t slot;
  EXPECT_EQ(sh_next_try(worker, &slot), SH_OK);
  return sh_ref_unpack(sh_load_relaxed(&worker->me->x_current));
}

static sh_status condemn(sh_self *worker, sh_ref task, sh_verdict verdict) {
  return sh_repair_condemn(&r.d, worker->index, worker->epoch, task, verdict);
}

static void kill_and_replace(sh_self *worker) {
  rig_detach(&r, worker);
  rig_attach(&r, worker, SH_ROLE_WORKER, -1, RIG_ROOT);
}

/* The next attempt of what was put off, as soon as it may begin. */
static void await_next_attempt(void) {
  EXPECT_EQ(r.d.n_put_off, 1);
  r.d.put_off[0].due_ns = 0;
  rig_rounds(&r, 1);
  EXPECT_EQ(r.d.n_put_off, 0);
}

static void test_over_its_limit_a_task_fails_whatever_its_retries(void) {
  rig_open(&r, 2, 2);
  sh_ref out = submit_with_retries(3), sum = rig_submit_one(&r, 1, &out, 1);
  EXPECT_EQ(condemn(&r.worker[0], claim(&r.worker[0]), SH_VERDICT_LIMIT), SH_OK);
  kill_and_replace(&r.worker[0]);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_OUT_OF_MEMORY);
  EXPECT(rig_work(&r.worker[1]));
  EXPECT_EQ(rig_error(&r.driver, sum), SH_ERR_OUT_OF_MEMORY);
  sh_ref_drop(&r.driver, out);
  sh_ref_drop(&r.driver, sum);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_condemned_worker_commits_nothing_and_takes_nothing(void) {
  rig_open(&r, 2, 2);
  sh_ref out = submit_with_retries(1);
  uint32_t slot;
  sh_ref task = claim(&r.worker[0]);
  EXPECT_EQ(condemn(&r.worker[0], task, SH_VERDICT_PRESSURE), SH_OK);
  EXPECT_EQ(condemn(&r.worker[0], task, SH_VERDICT_LIMIT), SH_LOST);
  rig_fill(&r.worker[0], task.index, 100000);
  EXPECT_EQ(sh_commit(&r.worker[0], task.index), SH_LOST);
  EXPECT(!rig_is_closed(&r.driver, out));
  sh_ref innocent = submit_with_retries(0);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_EMPTY);
  EXPECT(sh_should_exit(&r.worker[0]));
  EXPECT(rig_work(&r.worker[1]));
  EXPECT_EQ(rig_value(&r.driver, innocent), 8);
  kill_and_replace(&r.worker[0]);
  await_next_attempt();
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(rig_value(&r.driver, out), 8);
  sh_ref_drop(&r.driver, out);
  sh_ref_drop(&r.driver, innocent);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_finished_task_is_not_condemned_nor_the_next(void) {
  rig_open(&r, 1, 1);
  sh_ref first = submit_with_retries(0), second = submit_with_retries(0);
  sh_ref task = claim(&r.worker[0]);
  rig_finish(&r.worker[0], task.index);
  EXPECT_EQ(condemn(&r.worker[0], task, SH_VERDICT_LIMIT), SH_LOST);
  sh_ref next = claim(&r.worker[0]);
  EXPECT_EQ(condemn(&r.worker[0], task, SH_VERDICT_LIMIT), SH_LOST);
  EXPECT_EQ(sh_repair_condemn(&r.d, r.worker[0].index, r.worker[0].epoch + 1U, next, SH_VERDICT_LIMIT), SH_LOST);
  rig_finish(&r.worker[0], next.index);
  EXPECT_EQ(rig_value(&r.driver, first), 8);
  EXPECT_EQ(rig_value(&r.driver, second), 8);
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_pressure_has_pauses_and_a_count_of_its_own(void) {
  rig_open(&r, 1, 1);
  r.d.pressed_max = 3;
  r.d.pressed_pause_ns = 1000000000U;
  sh_ref out = submit_with_retries(1);
  for (uint32_t i = 0; i < 3; i++) {
    uint64_t before = sh_os_now_ns();
    EXPECT_EQ(condemn(&r.worker[0], claim(&r.worker[0]), SH_VERDICT_PRESSURE), SH_OK);
    kill_and_replace(&r.worker[0]);
    EXPECT(!rig_is_closed(&r.driver, out));
    EXPECT(!rig_work(&r.worker[0]));
    EXPECT(r.d.put_off[0].due_ns >= before + (1000000000ULL << i));
    await_next_attempt();
  }
  (void)claim(&r.worker[0]);
  kill_and_replace(&r.worker[0]); /* a crash: its one retry is still there */
  EXPECT(!rig_is_closed(&r.driver, out));
  EXPECT_EQ(condemn(&r.worker[0], claim(&r.worker[0]), SH_VERDICT_PRESSURE), SH_OK);
  kill_and_replace(&r.worker[0]);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_OUT_OF_MEMORY);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_without_retries_pressure_is_final(void) {
  rig_open(&r, 1, 1);
  sh_ref out = submit_with_retries(0);
  EXPECT_EQ(condemn(&r.worker[0], claim(&r.worker[0]), SH_VERDICT_PRESSURE), SH_OK);
  kill_and_replace(&r.worker[0]);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_OUT_OF_MEMORY);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_end_of_the_job_ends_what_was_put_off(void) {
  rig_open(&r, 1, 1);
  sh_ref out = submit_with_retries(1);
  EXPECT_EQ(condemn(&r.worker[0], claim(&r.worker[0]), SH_VERDICT_PRESSURE), SH_OK);
  kill_and_replace(&r.worker[0]);
  sh_repair_end_root(&r.d, RIG_ROOT);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_ROOT_ENDED);
  await_next_attempt(); /* which is none */
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

static uint32_t limited_events(void) {
  sh_event events[64];
  uint32_t n = sh_repair_events(&r.d, events, 64), limited = 0;
  for (uint32_t i = 0; i < n; i++)
    limited += events[i].kind == SH_EVENT_LIMITED;
  return limited;
}

static void test_limited_processes_are_announced_often_only_while_they_compute(void) {
  rig_open(&r, 1, 1);
  for (uint32_t i = 0; i < 20; i++)
    rig_tick(&r);
  EXPECT_EQ(limited_events(), 0);
  sh_store_relaxed(&r.worker[0].me->x_allowance, 1U << 20);
  sh_set_run_state(&r.worker[0], SH_RUN_BUSY);
  for (uint32_t i = 0; i < 20; i++)
    rig_tick(&r);
  EXPECT_EQ(limited_events(), 20);
  sh_set_run_state(&r.worker[0], SH_RUN_PARKED);
  for (uint32_t i = 0; i < 20; i++)
    rig_tick(&r);
  EXPECT_EQ(limited_events(), 1);
  rig_close(&r);
}

static void test_demanded_memory_is_read_in_bytes(void) {
  rig_open(&r, 1, 1);
  sh_shape shape = {.root = RIG_ROOT, .n_demands = 2, .kinds = {SH_KIND_MEMORY, 5}, .milli = {100000, 7}};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
  EXPECT_EQ(sh_class_memory(&r.d.seg, class_id), 100U << 20);
  EXPECT_EQ(sh_class_memory(&r.d.seg, r.class_id), 0);
  rig_close(&r);
}

int main(void) {
  RUN(test_over_its_limit_a_task_fails_whatever_its_retries);
  RUN(test_condemned_worker_commits_nothing_and_takes_nothing);
  RUN(test_finished_task_is_not_condemned_nor_the_next);
  RUN(test_pressure_has_pauses_and_a_count_of_its_own);
  RUN(test_without_retries_pressure_is_final);
  RUN(test_end_of_the_job_ends_what_was_put_off);
  RUN(test_limited_processes_are_announced_often_only_while_they_compute);
  RUN(test_demanded_memory_is_read_in_bytes);
  return 0;
}
