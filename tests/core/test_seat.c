/* SPDX-License-Identifier: Apache-2.0
 * Seats and leases: who may compute, who gives way, and that no CPU is ever lost. */
#include "rig.h"

static rig r;

static void test_tasks_run_on_as_many_seats_as_there_are(void) {
  uint32_t slot[3];
  rig_open(&r, 3, 2);
  sh_ref out[3];
  for (uint32_t i = 0; i < 3; i++)
    out[i] = rig_submit_one(&r, i, NULL, 0);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot[0]), SH_OK);
  EXPECT_EQ(sh_next_try(&r.worker[1], &slot[1]), SH_OK);
  EXPECT_EQ(sh_seats_free(&r.d.seg), 0);
  EXPECT(!sh_next_possible(&r.worker[2]));
  EXPECT_EQ(sh_next_try(&r.worker[2], &slot[2]), SH_EMPTY);
  rig_finish(&r.worker[0], slot[0]);
  sh_seat_rest(&r.worker[0]);
  EXPECT(sh_next_possible(&r.worker[2]));
  EXPECT(rig_work(&r.worker[2])); /* takes the idle seat of a worker that does not come back: it may be stopped */
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot[0]), SH_EMPTY);
  rig_finish(&r.worker[1], slot[1]);
  for (uint32_t i = 0; i < 3; i++)
    sh_ref_drop(&r.driver, out[i]);
  rig_expect_empty(&r);
  rig_close(&r);
}

static uint32_t class_without_cpu(void) {
  sh_shape shape = {.root = RIG_ROOT};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
  return class_id;
}

static sh_ref submit_without_cpu(uint32_t class_id) {
  sh_ref out;
  rig_submit(&r.driver, &(rig_call){.class_id = class_id, .n_returns = 1, .addend = 1}, &out);
  return out;
}

static void test_a_task_without_cpu_keeps_no_seat_from_others(void) {
  uint32_t slot, other;
  rig_open(&r, 2, 1);
  uint32_t class_id = class_without_cpu();
  sh_ref first = rig_submit_one(&r, 1, NULL, 0);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT(r.worker[0].seated_run); /* kept, for the next task */
  sh_ref waits = submit_without_cpu(class_id);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  sh_ref second = rig_submit_one(&r, 2, NULL, 0);
  EXPECT_EQ(sh_next_try(&r.worker[1], &other), SH_OK);
  rig_finish(&r.worker[1], other);
  sh_seat_rest(&r.worker[1]);
  rig_finish(&r.worker[0], slot);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_EMPTY);
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  sh_ref_drop(&r.driver, waits);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_a_task_without_cpu_comes_back_from_get_without_a_seat(void) {
  uint32_t slot;
  rig_open(&r, 1, 1);
  sh_ref waits = submit_without_cpu(class_without_cpu());
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  sh_block(&r.worker[0]);
  sh_unblock(&r.worker[0]);
  EXPECT_EQ(sh_seats_free(&r.d.seg), 1);
  EXPECT(!r.worker[0].unseated);
  rig_finish(&r.worker[0], slot);
  sh_ref_drop(&r.driver, waits);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_worker_keeps_its_seat_between_tasks(void) {
  rig_open(&r, 2, 2);
  for (uint32_t i = 0; i < 5; i++) {
    sh_ref out = rig_submit_one(&r, i, NULL, 0);
    EXPECT(rig_work(&r.worker[0]));
    sh_ref_drop(&r.driver, out);
    uint32_t slot;
    EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_EMPTY);
    EXPECT_EQ(sh_seats_free(&r.d.seg), 1);
  }
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_parked_getter_gives_its_seat_and_comes_back_without_one(void) {
  uint32_t outer, inner;
  rig_open(&r, 2, 1);
  sh_ref a = rig_submit_one(&r, 1, NULL, 0), b = rig_submit_one(&r, 2, NULL, 0), c = rig_submit_one(&r, 3, NULL, 0);
  EXPECT_EQ(sh_next_try(&r.worker[0], &outer), SH_OK);
  EXPECT_EQ(sh_next_try(&r.worker[1], &inner), SH_EMPTY);
  sh_block(&r.worker[0]);
  EXPECT_EQ(sh_next_try(&r.worker[1], &inner), SH_OK);
  sh_unblock(&r.worker[0]); /* never waits: runs on, unseated */
  EXPECT(r.worker[0].unseated);
  rig_finish(&r.worker[1], inner);
  uint32_t slot;
  sh_seat_rest(&r.worker[1]); /* gives the seat up, since somebody runs without */
  EXPECT_EQ(sh_seats_free(&r.d.seg), 1);
  EXPECT_EQ(sh_next_try(&r.worker[1], &slot), SH_EMPTY); /* which does not make it a seat for the next task */
  rig_finish(&r.worker[0], outer);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_EMPTY);
  EXPECT(!r.worker[0].unseated);
  sh_ref_drop(&r.driver, a);
  sh_ref_drop(&r.driver, b);
  sh_ref_drop(&r.driver, c);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_children_of_blocked_callers_come_first_the_deepest_before_all(void) {
  uint32_t shallow, deep, slot;
  rig_open(&r, 3, 3);
  sh_ref one = rig_submit_one(&r, 1, NULL, 0), two = rig_submit_one(&r, 2, NULL, 0);
  EXPECT_EQ(sh_next_try(&r.worker[0], &shallow), SH_OK);
  EXPECT_EQ(sh_next_try(&r.worker[1], &deep), SH_OK);
  sh_store32_relaxed(&r.worker[1].me->x_depth, 9);
  sh_ref late = rig_submit_one(&r, 3, NULL, 0), child[2];
  rig_call call = {.class_id = r.class_id, .n_returns = 1, .addend = 10};
  rig_submit(&r.worker[0], &call, &child[0]);
  call.addend = 20;
  rig_submit(&r.worker[1], &call, &child[1]);
  sh_block(&r.worker[0]);
  sh_block(&r.worker[1]);
  static const uint64_t order[] = {20, 10, 3};
  for (uint32_t i = 0; i < 3; i++) {
    EXPECT_EQ(sh_next_try(&r.worker[2], &slot), SH_OK);
    sh_ref out = sh_slot_return(&r.d.seg, sh_slot_at(&r.d.seg, slot), 0);
    rig_finish(&r.worker[2], slot);
    EXPECT_EQ(rig_value(&r.driver, out), order[i]);
  }
  sh_unblock(&r.worker[0]);
  sh_unblock(&r.worker[1]);
  rig_finish(&r.worker[0], shallow);
  rig_finish(&r.worker[1], deep);
  sh_ref_drop(&r.worker[0], child[0]);
  sh_ref_drop(&r.worker[1], child[1]);
  sh_ref_drop(&r.driver, one);
  sh_ref_drop(&r.driver, two);
  sh_ref_drop(&r.driver, late);
  for (uint32_t i = 0; i < 3; i++)
    EXPECT_EQ(sh_next_try(&r.worker[i], &slot), SH_EMPTY);
  rig_expect_empty(&r);
  rig_close(&r);
}

static uint32_t define(uint32_t cpu, uint32_t kind, uint32_t milli, uint32_t gpu) {
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = cpu, .gpu_milli = gpu, .n_demands = kind ? 1 : 0};
  shape.kinds[0] = kind;
  shape.milli[0] = milli;
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
  return class_id;
}

/* A worker goes to sleep for the repair thread to see, and is woken by a lease. */
static void idle(sh_self *worker) {
  uint32_t slot;
  EXPECT_EQ(sh_next_try(worker, &slot), SH_EMPTY);
  sh_idle_announce(worker);
}

static void test_two_cpu_task_gets_its_turn_beside_a_stream_of_small_ones(void) {
  uint32_t slot[2];
  rig_open(&r, 3, 2);
  uint32_t wide = define(2000, 0, 0, 0);
  sh_ref small[40], big;
  for (uint32_t i = 0; i < 40; i++)
    small[i] = rig_submit_one(&r, i, NULL, 0);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot[0]), SH_OK);
  EXPECT_EQ(sh_next_try(&r.worker[1], &slot[1]), SH_OK);
  idle(&r.worker[2]);
  rig_call call = {.class_id = wide, .n_returns = 1, .addend = 1000};
  rig_submit(&r.driver, &call, &big);
  uint32_t steps = 0;
  for (; !rig_is_closed(&r.driver, big); steps++) {
    EXPECT(steps < 10); /* not at the end of the stream */
    rig_rounds(&r, 1);
    for (uint32_t i = 0; i < 2; i++) {
      if (slot[i] != UINT32_MAX)
        rig_finish(&r.worker[i], slot[i]);
      if (sh_next_try(&r.worker[i], &slot[i]) != SH_OK)
        slot[i] = UINT32_MAX;
    }
    sh_idle_withdraw(&r.worker[2]);
    if (!rig_work(&r.worker[2]))
      sh_idle_announce(&r.worker[2]);
  }
  EXPECT_EQ(rig_value(&r.driver, big), 1000);
  for (uint32_t i = 0; i < 2; i++)
    if (slot[i] != UINT32_MAX)
      rig_finish(&r.worker[i], slot[i]);
  rig_work_all(&r);
  rig_work_all(&r);
  for (uint32_t i = 0; i < 40; i++)
    sh_ref_drop(&r.driver, small[i]);
  sh_ref_drop(&r.driver, big);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_custom_resources_and_devices_limit_how_many_run(void) {
  rig_open(&r, 3, 3);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, 3, 2000), SH_OK);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, 0, 2000), SH_OK);
  uint32_t class_id = define(0, 3, 1000, 1000), slot[3];
  rig_call call = {.class_id = class_id, .n_returns = 1, .addend = 1};
  sh_ref out[3];
  for (uint32_t i = 0; i < 3; i++) {
    rig_submit(&r.driver, &call, &out[i]);
    idle(&r.worker[i]);
  }
  rig_rounds(&r, 4);
  uint32_t mask = 0, n = 0;
  for (uint32_t i = 0; i < 3; i++) {
    sh_idle_withdraw(&r.worker[i]);
    if (sh_next_try(&r.worker[i], &slot[i]) != SH_OK) {
      slot[i] = UINT32_MAX;
      continue;
    }
    uint32_t devices = (uint32_t)(sh_load_relaxed(&r.worker[i].me->x_lease) >> 32);
    EXPECT_EQ(__builtin_popcount(devices), 1);
    EXPECT_EQ(mask & devices, 0);
    mask |= devices;
    n++;
  }
  EXPECT_EQ(n, 2);
  for (uint32_t i = 0; i < 3; i++)
    if (slot[i] != UINT32_MAX)
      rig_finish(&r.worker[i], slot[i]);
  for (uint32_t i = 0; i < 3; i++) { /* sticky: a lease is kept while there is work of its class */
    while (rig_work(&r.worker[i])) {
    }
  }
  rig_rounds(&r, 2);
  for (uint32_t i = 0; i < 3; i++) {
    EXPECT_EQ(rig_value(&r.driver, out[i]), 1);
    sh_ref_drop(&r.driver, out[i]);
  }
  EXPECT_EQ(r.d.ledger.used[3], 0);
  EXPECT_EQ(r.d.ledger.gpu_used[0] + r.d.ledger.gpu_used[1], 0);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_more_cpus_than_any_node_has_are_never_leased(void) {
  static const uint32_t milli[] = {3000, UINT32_MAX - 200U,
                                   UINT32_MAX}; /* and what comes to more when it is rounded up */
  uint32_t slot;
  rig_open(&r, 1, 2);
  for (uint32_t i = 0; i < 3; i++) {
    sh_ref out = rig_submit_to(&r, define(milli[i], 0, 0, 0));
    idle(&r.worker[0]);
    rig_rounds(&r, 2);
    sh_idle_withdraw(&r.worker[0]);
    EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_EMPTY);
    EXPECT_EQ(r.d.seat_pool_milli, 0);
    sh_ref_drop(&r.driver, out);
  }
  sh_repair_end_root(&r.d, RIG_ROOT);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_wakes_reach_the_job_that_has_work(void) {
  sh_self driver, worker;
  rig_open(&r, 1, 2);
  rig_attach(&r, &driver, SH_ROLE_DRIVER, -1, RIG_ROOT + 1);
  rig_attach(&r, &worker, SH_ROLE_WORKER, -1, RIG_ROOT + 1);
  sh_shape shape = {.root = RIG_ROOT + 1, .cpu_milli = SH_CPU_MILLI};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
  EXPECT(class_id != r.class_id);
  idle(&r.worker[0]); /* of the first job, and first in the bitmap */
  idle(&worker);
  uint32_t mine = sh_park_prepare(&worker.me->park), others = sh_park_prepare(&r.worker[0].me->park);
  sh_ref out;
  rig_call call = {.class_id = class_id, .n_returns = 1};
  rig_submit(&driver, &call, &out);
  EXPECT(sh_park_prepare(&worker.me->park) != mine);
  EXPECT_EQ(sh_park_prepare(&r.worker[0].me->park), others);
  EXPECT(!sh_next_possible(&r.worker[0]));
  EXPECT(rig_work(&worker));
  sh_ref_drop(&driver, out);
  rig_detach(&r, &worker);
  rig_detach(&r, &driver);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_jobs_take_turns_on_one_seat(void) {
  enum { N = 200 };
  sh_self driver, worker;
  rig_open(&r, 1, 1);
  rig_attach(&r, &driver, SH_ROLE_DRIVER, -1, RIG_ROOT + 1);
  rig_attach(&r, &worker, SH_ROLE_WORKER, -1, RIG_ROOT + 1);
  sh_shape shape = {.root = RIG_ROOT + 1, .cpu_milli = SH_CPU_MILLI};
  rig_call call = {.n_returns = 1};
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &call.class_id), SH_OK);
  sh_ref many[N], one;
  for (uint32_t i = 0; i < N; i++)
    many[i] = rig_submit_one(&r, i, NULL, 0);
  rig_submit(&driver, &call, &one);
  uint32_t n = 0;
  for (; !rig_is_closed(&driver, one); n++) {
    EXPECT(n < 20); /* it does not wait for the other job's queue */
    (void)rig_work(&r.worker[0]);
    (void)rig_work(&worker);
    rig_tick(&r);
  }
  EXPECT(!rig_work(&worker)); /* lets its seat rest */
  rig_tick(&r);
  rig_work_all(&r);
  for (uint32_t i = 0; i < N; i++) {
    EXPECT_EQ(rig_value(&r.driver, many[i]), i);
    sh_ref_drop(&r.driver, many[i]);
  }
  sh_ref_drop(&driver, one);
  rig_detach(&r, &worker);
  rig_detach(&r, &driver);
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_tasks_run_on_as_many_seats_as_there_are);
  RUN(test_a_task_without_cpu_keeps_no_seat_from_others);
  RUN(test_a_task_without_cpu_comes_back_from_get_without_a_seat);
  RUN(test_worker_keeps_its_seat_between_tasks);
  RUN(test_parked_getter_gives_its_seat_and_comes_back_without_one);
  RUN(test_children_of_blocked_callers_come_first_the_deepest_before_all);
  RUN(test_two_cpu_task_gets_its_turn_beside_a_stream_of_small_ones);
  RUN(test_custom_resources_and_devices_limit_how_many_run);
  RUN(test_more_cpus_than_any_node_has_are_never_leased);
  RUN(test_wakes_reach_the_job_that_has_work);
  RUN(test_jobs_take_turns_on_one_seat);
  return 0;
}
