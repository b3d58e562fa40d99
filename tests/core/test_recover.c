/* SPDX-License-Identifier: Apache-2.0
 * What an actor's next process finds of the one that died: every call that was not ended, in the order of its caller. */
#include "rig.h"

static rig r;
static sh_self actor, other;
static uint32_t class_id;

static void begin(void) {
  rig_open(&r, 1, 2);
  rig_attach(&r, &other, SH_ROLE_DRIVER, -1, RIG_ROOT);
  class_id = rig_actor(&r, &actor);
  sh_repair_set_restarts(&r.d, class_id, true, 0);
}

static void end(void) {
  sh_system_error gone = {.code = SH_ERR_ACTOR_DIED, .class_id = class_id, .wait_status = -1};
  rig_detach(&r, &actor);
  sh_repair_close_class(&r.d, class_id, &gone);
  rig_detach(&r, &other);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* The process dies, and another one follows. */
static void restart(uint32_t incarnation) {
  uint32_t index = actor.index;
  sh_self_close(&actor);
  sh_repair_round(&r.d, (int32_t)index);
  sh_repair_set_restarts(&r.d, class_id, true, incarnation);
  rig_attach(&r, &actor, SH_ROLE_ACTOR, (int32_t)class_id, RIG_ROOT);
}

static sh_ref call(sh_self *by, uint64_t addend, const sh_ref *dep, uint32_t max_retries) {
  sh_ref out;
  rig_call c = {.class_id = class_id,
                .addend = addend,
                .n_returns = 1,
                .max_retries = max_retries,
                .flags = SH_SLOT_ACTOR_CALL,
                .deps = dep,
                .n_deps = dep != NULL};
  rig_submit(by, &c, &out);
  return out;
}

/* Claim the next call; it must be the one that makes `out`. */
static uint32_t claim(sh_ref out) {
  uint32_t slot;
  EXPECT_EQ(sh_next_try(&actor, &slot), SH_OK);
  EXPECT_EQ(sh_ref_pack(sh_slot_return(&actor.seg, sh_slot_at(&actor.seg, slot), 0)), sh_ref_pack(out));
  return slot;
}

static void test_the_call_in_flight_is_unavailable_and_the_others_wait(void) {
  begin();
  sh_ref out[4];
  for (uint32_t i = 0; i < 4; i++)
    out[i] = call(&r.driver, i, NULL, 0);
  rig_finish(&actor, claim(out[0]));
  (void)claim(out[1]);
  restart(1);
  EXPECT_EQ(rig_value(&r.driver, out[0]), 0);
  EXPECT_EQ(rig_error(&r.driver, out[1]), SH_ERR_ACTOR_UNAVAILABLE);
  for (uint32_t i = 2; i < 4; i++)
    rig_finish(&actor, claim(out[i]));
  EXPECT(!rig_work(&actor));
  for (uint32_t i = 0; i < 4; i++)
    sh_ref_drop(&r.driver, out[i]);
  end();
}

static void test_calls_in_flight_are_retried_before_later_ones_as_often_as_they_may_be(void) {
  begin();
  sh_ref out[5];
  for (uint32_t i = 0; i < 5; i++)
    out[i] = call(&r.driver, i, NULL, 2);
  for (uint32_t deaths = 1; deaths <= 2; deaths++) { /* three overlap */
    for (uint32_t i = 0; i < 3; i++)
      (void)claim(out[i]);
    restart(deaths);
  }
  for (uint32_t i = 0; i < 3; i++)
    (void)claim(out[i]);
  restart(3);
  for (uint32_t i = 0; i < 3; i++)
    EXPECT_EQ(rig_error(&r.driver, out[i]), SH_ERR_ACTOR_UNAVAILABLE);
  for (uint32_t i = 3; i < 5; i++)
    rig_finish(&actor, claim(out[i]));
  for (uint32_t i = 0; i < 5; i++)
    sh_ref_drop(&r.driver, out[i]);
  end();
}

/* The second call waits for its argument, and the dead process had put the later ones aside behind it. */
static void test_stalled_calls_keep_their_order(void) {
  begin();
  for (uint32_t round = 0; round < 3; round++) {
    sh_ref missing = rig_submit_one(&r, 100, NULL, 0);
    sh_ref out[4] = {call(&r.driver, 0, NULL, 0), call(&r.driver, 1, &missing, 0), call(&r.driver, 2, NULL, 0),
                     call(&r.driver, 3, NULL, 0)};
    sh_ref theirs = call(&other, 50, NULL, 0);
    uint32_t slot, n = 0;
    while (n < 2 && sh_next_try(&actor, &slot) == SH_OK) { /* the first one of each caller */
      rig_finish(&actor, slot);
      n++;
    }
    EXPECT_EQ(sh_next_try(&actor, &slot), SH_EMPTY);
    EXPECT(rig_is_closed(&r.driver, out[0]) && rig_is_closed(&other, theirs));
    if (round == 1)
      EXPECT(rig_work(&r.worker[0])); /* answered, and the hint is not taken */
    restart(round + 1U);
    if (round != 1) {
      EXPECT_EQ(sh_next_try(&actor, &slot), SH_EMPTY);
      sh_ref late = call(&r.driver, 4, NULL, 0);
      EXPECT_EQ(sh_next_try(&actor, &slot), SH_EMPTY); /* behind the others */
      EXPECT(rig_work(&r.worker[0]));
      for (uint32_t i = 1; i < 4; i++)
        rig_finish(&actor, claim(out[i]));
      rig_finish(&actor, claim(late));
      sh_ref_drop(&r.driver, late);
    } else {
      for (uint32_t i = 1; i < 4; i++)
        rig_finish(&actor, claim(out[i]));
    }
    EXPECT(!rig_work(&actor));
    EXPECT_EQ(rig_value(&r.driver, out[1]), 101);
    for (uint32_t i = 0; i < 4; i++)
      sh_ref_drop(&r.driver, out[i]);
    sh_ref_drop(&other, theirs);
    sh_ref_drop(&r.driver, missing);
  }
  end();
}

/* Calls that nobody had looked at, and calls made while there is no process. */
static void test_calls_wait_while_there_is_no_process(void) {
  begin();
  sh_ref out[6];
  uint32_t index = actor.index;
  for (uint32_t i = 0; i < 3; i++)
    out[i] = call(&r.driver, i, NULL, 1);
  (void)claim(out[0]);
  sh_self_close(&actor);
  out[3] = call(&r.driver, 3, NULL, 1);
  sh_repair_round(&r.d, (int32_t)index);
  out[4] = call(&r.driver, 4, NULL, 1);
  sh_repair_set_restarts(&r.d, class_id, true, 1);
  rig_attach(&r, &actor, SH_ROLE_ACTOR, (int32_t)class_id, RIG_ROOT);
  EXPECT(sh_next_possible(&actor)); /* it has not looked yet */
  out[5] = call(&r.driver, 5, NULL, 1);
  rig_tick(&r);
  rig_tick(&r);
  for (uint32_t i = 0; i < 6; i++) {
    rig_finish(&actor, claim(out[i]));
    sh_ref_drop(&r.driver, out[i]);
  }
  EXPECT(!rig_work(&actor));
  EXPECT(!sh_next_possible(&actor));
  end();
}

/* The creating call is run by every process until it has returned, whatever its max_retries. */
static void test_the_creating_call_is_repeated_until_it_returns(void) {
  begin();
  sh_ref made;
  rig_call create = {
      .class_id = class_id, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL | SH_SLOT_CREATES_ACTOR, .addend = 9};
  rig_submit(&r.driver, &create, &made);
  sh_ref first = call(&r.driver, 1, NULL, 0);
  for (uint32_t deaths = 1; deaths <= 3; deaths++) {
    (void)claim(made);
    restart(deaths);
  }
  rig_finish(&actor, claim(made));
  rig_finish(&actor, claim(first));
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, made);
  end();
}

/* The same caller's calls of another actor are not touched, though their places look as if they had been taken. */
static void test_calls_of_another_actor_are_left_alone(void) {
  begin();
  sh_self second;
  uint32_t slot;
  sh_ref missing = rig_submit_one(&r, 100, NULL, 0), out[2], theirs;
  rig_call waits = {.class_id = rig_actor(&r, &second), .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL, .addend = 1};
  waits.deps = &missing;
  waits.n_deps = 1;
  rig_submit(&r.driver, &waits, &theirs);
  EXPECT_EQ(sh_next_try(&second, &slot), SH_EMPTY);
  for (uint32_t i = 0; i < 2; i++)
    out[i] = call(&r.driver, i, NULL, 1);
  for (uint32_t i = 0; i < 2; i++)
    (void)claim(out[i]);
  restart(1);
  for (uint32_t i = 0; i < 2; i++) {
    rig_finish(&actor, claim(out[i]));
    sh_ref_drop(&r.driver, out[i]);
  }
  EXPECT_EQ(rig_state_of(&r, theirs), SH_TASK_WAITING);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT(rig_work(&second));
  EXPECT_EQ(rig_value(&r.driver, theirs), 101);
  sh_ref_drop(&r.driver, theirs);
  sh_ref_drop(&r.driver, missing);
  sh_system_error gone = {.code = SH_ERR_ACTOR_DIED, .class_id = waits.class_id, .wait_status = -1};
  rig_detach(&r, &second);
  sh_repair_close_class(&r.d, waits.class_id, &gone);
  end();
}

/* The place of a call in its caller's ring wraps round. */
static void test_order_survives_the_end_of_the_count(void) {
  begin();
  sh_ring *ring;
  EXPECT_EQ(sh_self_ring(&r.driver, class_id, &ring), SH_OK);
  uint64_t near_the_end = UINT32_MAX - 1ULL;
  sh_store_relaxed(&ring->x_head, near_the_end);
  sh_store_relaxed(&ring->x_tail, near_the_end);
  sh_store_relaxed(&ring->x_first_segment, near_the_end / SH_RING_SEGMENT);
  sh_ref out[5];
  for (uint32_t i = 0; i < 5; i++)
    out[i] = call(&r.driver, i, NULL, 1);
  for (uint32_t i = 0; i < 4; i++)
    (void)claim(out[i]);
  restart(1);
  for (uint32_t i = 0; i < 5; i++) {
    rig_finish(&actor, claim(out[i]));
    sh_ref_drop(&r.driver, out[i]);
  }
  end();
}

int main(void) {
  RUN(test_the_call_in_flight_is_unavailable_and_the_others_wait);
  RUN(test_calls_in_flight_are_retried_before_later_ones_as_often_as_they_may_be);
  RUN(test_stalled_calls_keep_their_order);
  RUN(test_calls_wait_while_there_is_no_process);
  RUN(test_the_creating_call_is_repeated_until_it_returns);
  RUN(test_calls_of_another_actor_are_left_alone);
  RUN(test_order_survives_the_end_of_the_count);
  return 0;
}
