/* SPDX-License-Identifier: Apache-2.0
 * Parking: no wake is lost between the look and the sleep, and a half-done wake shows. */
#include "rig.h"

#include "base/os.h"

#include <pthread.h>

static sh_park park;

static void test_nobody_parked_costs_no_system_call(void) {
  memset(&park, 0, sizeof park);
  EXPECT(!sh_park_wake(&park));
  EXPECT(!sh_park_is_stuck(&park));
}

static void test_wake_after_the_look_is_not_lost(void) {
  memset(&park, 0, sizeof park);
  uint32_t seq = sh_park_prepare(&park);
  sh_park_announce(&park, seq);
  EXPECT(sh_park_wake(&park)); /* between the second look and the sleep */
  EXPECT_EQ(sh_park_sleep(&park, seq, UINT64_MAX), SH_OK);
  EXPECT_EQ(sh_load32_relaxed(&park.x_parked), 0);
}

static void test_time_runs_out(void) {
  memset(&park, 0, sizeof park);
  uint32_t seq = sh_park_prepare(&park);
  sh_park_announce(&park, seq);
  EXPECT_EQ(sh_park_sleep(&park, seq, 1000000), SH_TIMEOUT);
  EXPECT_EQ(sh_load32_relaxed(&park.x_parked), 0);
}

static void test_half_done_wake_is_seen_as_stuck(void) {
  memset(&park, 0, sizeof park);
  uint32_t seq = sh_park_prepare(&park);
  sh_park_announce(&park, seq);
  EXPECT(!sh_park_is_stuck(&park));
  (void)sh_fetch_add32(&park.x_wake, 1); /* the waker dies here */
  EXPECT(sh_park_is_stuck(&park));
  sh_park_cancel(&park);
  EXPECT(!sh_park_is_stuck(&park));
}

enum { ROUNDS = 20000 };
static sh_a64 turn;

static void await_turn(uint64_t mine, sh_park *p) {
  while (sh_load_acquire(&turn) % 2 != mine) {
    uint32_t seq = sh_park_prepare(p);
    sh_park_announce(p, seq);
    if (sh_load_seqcst(&turn) % 2 == mine)
      sh_park_cancel(p);
    else
      EXPECT(sh_park_sleep(p, seq, 10000000000U) != SH_TIMEOUT);
  }
}

static sh_park sides[2];

static void *player(void *context) {
  uint64_t mine = (uint64_t)(uintptr_t)context;
  for (uint32_t i = 0; i < ROUNDS; i++) {
    await_turn(mine, &sides[mine]);
    sh_store_seqcst(&turn, sh_load_relaxed(&turn) + 1);
    (void)sh_park_wake(&sides[1 - mine]);
  }
  return NULL;
}

static void test_ping_pong_never_sticks(void) {
  pthread_t other;
  memset(sides, 0, sizeof sides);
  EXPECT(pthread_create(&other, NULL, player, (void *)1) == 0);
  (void)player((void *)0);
  EXPECT(pthread_join(other, NULL) == 0);
  EXPECT_EQ(sh_load_relaxed(&turn), 2 * ROUNDS);
}

/* ---- waiting for an object ---- */

static rig r;

static void test_park_closed_says_why_it_returned(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0);
  EXPECT_EQ(sh_watch(&r.driver, out), SH_OK);
  EXPECT_EQ(sh_park_closed(&r.driver, out, NULL, sh_os_now_ns() + 2000000, 60000000000U), SH_TIMEOUT);
  EXPECT_EQ(sh_park_closed(&r.driver, out, NULL, SH_NO_DEADLINE, 1000000), SH_AGAIN);
  EXPECT(!sh_spin_closed(&r.driver, out, 1000));
  EXPECT(rig_work(&r.worker[0]));
  EXPECT(sh_spin_closed(&r.driver, out, 1000));
  EXPECT_EQ(sh_park_closed(&r.driver, out, NULL, SH_NO_DEADLINE, 60000000000U), SH_OK);
  sh_ref never = rig_submit_one(&r, 1, NULL, 0);
  sh_repair_fence(&r.d, r.driver.index, r.driver.epoch);
  EXPECT_EQ(sh_park_closed(&r.driver, never, NULL, SH_NO_DEADLINE, 60000000000U), SH_FENCED);
  rig_close(&r);
}

static void *work_once(void *context) {
  (void)context;
  EXPECT(rig_work(&r.worker[0]));
  return NULL;
}

static void test_resolving_wakes_the_getter(void) {
  rig_open(&r, 1, 1);
  for (uint32_t i = 0; i < 200; i++) {
    sh_ref out = rig_submit_one(&r, i, NULL, 0);
    EXPECT_EQ(sh_watch(&r.driver, out), SH_OK);
    pthread_t worker;
    EXPECT(pthread_create(&worker, NULL, work_once, NULL) == 0);
    EXPECT_EQ(sh_park_closed(&r.driver, out, NULL, SH_NO_DEADLINE, 20000000000U), SH_OK);
    EXPECT_EQ(rig_value(&r.driver, out), i);
    EXPECT(pthread_join(worker, NULL) == 0);
    sh_ref_drop(&r.driver, out);
  }
  rig_expect_empty(&r);
  rig_close(&r);
}

static void *fail_once(void *context) {
  sh_ref *out = context;
  uint32_t slot;
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  sh_system_error error = {.code = SH_ERR_DAMAGED};
  sh_fill_system_error(&r.d.seg, *out, &error);
  EXPECT_EQ(sh_commit(&r.worker[0], slot), SH_OK);
  return NULL;
}

static void test_an_error_wakes_who_minds_and_nobody_else(void) {
  rig_open(&r, 1, 1);
  for (uint32_t i = 0; i < 200; i++) {
    sh_ref bad = rig_submit_one(&r, i, NULL, 0), never = rig_submit_one(&r, i, NULL, 0);
    uint32_t errors = sh_errors_sealed(&r.driver);
    EXPECT_EQ(errors, i);
    EXPECT_EQ(sh_watch(&r.driver, never), SH_OK);
    sh_mind_errors(&r.driver, true);
    pthread_t worker;
    EXPECT(pthread_create(&worker, NULL, fail_once, &bad) == 0);
    EXPECT_EQ(sh_park_closed(&r.driver, never, &errors, SH_NO_DEADLINE, 20000000000U), SH_AGAIN);
    EXPECT(rig_is_closed(&r.driver, bad));
    EXPECT_EQ(sh_errors_sealed(&r.driver), i + 1);
    /* Told before: it does not even sleep. Without the count it does. */
    EXPECT_EQ(sh_park_closed(&r.driver, never, &errors, SH_NO_DEADLINE, 20000000000U), SH_AGAIN);
    EXPECT_EQ(sh_park_closed(&r.driver, never, NULL, sh_os_now_ns() + 1000, 20000000000U), SH_TIMEOUT);
    sh_mind_errors(&r.driver, false);
    EXPECT(pthread_join(worker, NULL) == 0);
    uint32_t wakes = sh_load32_relaxed(&r.driver.me->park.x_wake);
    sh_tell_of_error(&r.d.seg);
    EXPECT_EQ(sh_load32_relaxed(&r.driver.me->park.x_wake), wakes);
    sh_store32_relaxed(&r.d.seg.header->x_errors, i + 1);
    EXPECT(rig_work(&r.worker[0]));
    sh_ref_drop(&r.driver, bad);
    sh_ref_drop(&r.driver, never);
  }
  rig_expect_empty(&r);
  rig_close(&r);
}

static void *sleep_until_told(void *context) {
  sh_self *self = context;
  uint32_t seq = sh_park_prepare(&self->me->park);
  sh_park_announce(&self->me->park, seq);
  EXPECT(sh_park_any(self, seq, SH_NO_DEADLINE, SH_NO_DEADLINE) != SH_TIMEOUT);
  return NULL;
}

static void test_wake_of_a_waker_that_died_is_finished_by_the_tick(void) {
  rig_open(&r, 1, 1);
  sh_park *where = &r.worker[0].me->park;
  pthread_t sleeper;
  EXPECT(pthread_create(&sleeper, NULL, sleep_until_told, &r.worker[0]) == 0);
  while (sh_load32_seqcst(&where->x_parked) == 0)
    sh_pause();
  (void)sh_fetch_add32(&where->x_wake, 1U); /* and the waker is gone */
  uint64_t deadline = sh_os_now_ns() + 20000000000U;
  while (sh_load32_seqcst(&where->x_parked) != 0) {
    EXPECT(sh_os_now_ns() < deadline);
    rig_tick(&r);
  }
  EXPECT(pthread_join(sleeper, NULL) == 0);
  rig_close(&r);
}

int main(void) {
  RUN(test_nobody_parked_costs_no_system_call);
  RUN(test_wake_after_the_look_is_not_lost);
  RUN(test_time_runs_out);
  RUN(test_half_done_wake_is_seen_as_stuck);
  RUN(test_ping_pong_never_sticks);
  RUN(test_park_closed_says_why_it_returned);
  RUN(test_resolving_wakes_the_getter);
  RUN(test_an_error_wakes_who_minds_and_nobody_else);
  RUN(test_wake_of_a_waker_that_died_is_finished_by_the_tick);
  return 0;
}
