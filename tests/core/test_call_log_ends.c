/* SPDX-License-Identifier: Apache-2.0
 * What becomes of logged calls, and of those that are about to be, when something ends: the process anywhere, a call by an error,
 * the class, a job, the memory; and what becomes of what they have called. */
#include "log_bench.h"
#include "node/cancel.h"

static log_bench b;

static void begin(void) {
  log_bench_open(&b);
}

static uint32_t position_of(uint32_t slot) {
  return sh_load32_relaxed(&log_bench_slot(&b, slot)->x_position);
}

/* ---- the process dies ---- */

static void test_the_call_in_flight_runs_again_after_those_of_the_log(void) {
  sh_ref out[3];
  begin();
  out[0] = log_bench_do(&b, 0);
  out[1] = log_bench_submit(&b, 1);
  uint32_t slot = log_bench_begin(&b, out[1]);
  log_bench_restart(&b, 0);
  log_bench_expect(&b, out, 1);
  EXPECT_EQ(b.actor.position, 2);
  EXPECT_EQ(log_bench_run(&b, out[1]), slot);
  EXPECT_EQ(position_of(slot), 4);
  out[2] = log_bench_do(&b, 2);
  log_bench_expect(&b, out, 3);
  log_bench_restart(&b, 0);
  log_bench_expect(&b, out, 3);
  log_bench_close(&b, out, 3);
}

static void test_a_call_that_fails_with_its_process_is_not_logged(void) {
  sh_ref out[2];
  begin();
  out[0] = log_bench_do(&b, 0);
  out[1] = log_bench_call(&b, &b.r.driver, &(rig_call){.addend = 1});
  (void)log_bench_begin(&b, out[1]);
  log_bench_restart(&b, 0);
  EXPECT_EQ(rig_error(&b.r.driver, out[1]), SH_ERR_ACTOR_UNAVAILABLE);
  log_bench_expect(&b, out, 1);
  EXPECT_EQ(log_bench_live_slots(&b), 1);
  log_bench_close(&b, out, 2);
}

/* Before its returns are sealed: the sweep does it, and logs it; that of the last process there may be does not. */
static void test_a_committed_call_is_logged_by_the_sweep(void) {
  for (uint32_t last = 0; last < 2; last++) {
    begin();
    sh_ref out = log_bench_submit(&b, 6);
    uint32_t slot = log_bench_begin(&b, out);
    sh_log_raised(&b.actor, slot);
    rig_fill(&b.actor, slot, 8);
    sh_store32_relaxed(&log_bench_slot(&b, slot)->x_made, 7U | SH_MADE_FAILED);
    log_bench_set_committed(&b, slot, b.actor.index);
    EXPECT(!rig_is_closed(&b.r.driver, out));
    if (last)
      sh_repair_set_restarts(&b.r.d, b.class_id, false, 0);
    log_bench_restart(&b, 0);
    EXPECT_EQ(rig_value(&b.r.driver, out), 6);
    log_bench_expect(&b, &out, !last);
    if (!last) {
      EXPECT(sh_log_has_raised(&b.actor, slot));
      EXPECT_EQ(sh_load32_relaxed(&log_bench_slot(&b, slot)->x_made),
                7); /* repeated as it was, not to make it succeed */
      EXPECT_EQ(b.actor.position, 2);
    }
    log_bench_close(&b, &out, 1);
  }
}

static void test_a_committed_call_is_not_logged_once_the_class_is_closed(void) {
  begin();
  sh_ref out = log_bench_submit(&b, 6);
  uint32_t slot = log_bench_begin(&b, out);
  rig_fill(&b.actor, slot, 8);
  log_bench_set_committed(&b, slot, b.actor.index);
  log_bench_end(&b);
  rig_detach(&b.r, &b.actor);
  EXPECT_EQ(rig_value(&b.r.driver, out), 6);
  EXPECT_EQ(log_bench_live_slots(&b), 0);
  log_bench_close(&b, &out, 1);
}

/* What the scan of a closed class had begun to let go of when it was interrupted. */
static void test_a_call_that_is_let_go_of_is_not_logged_again(void) {
  begin();
  sh_ref out = log_bench_do(&b, 6);
  uint32_t slot = b.actor.logged[0].slot;
  rig_detach(&b.r, &b.actor);
  log_bench_set_committed(&b, slot, 0);
  log_bench_end(&b);
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  log_bench_close(&b, &out, 1);
}

/* `ahead` lies where the position of others does; and what is no actor's that logs may have any number there. */
static void test_the_sweep_logs_only_what_may_be_logged(void) {
  sh_self plain;
  sh_ref out[3];
  begin();
  rig_call stream = {.class_id = b.class_id, .n_returns = 2, .flags = SH_SLOT_ACTOR_CALL | SH_SLOT_STREAM, .ahead = 3};
  rig_submit(&b.r.driver, &stream, out);
  uint32_t slot = log_bench_begin(&b, out[0]), plain_class = rig_actor(&b.r, &plain);
  log_bench_set_committed(&b, slot, b.actor.index);
  log_bench_restart(&b, 0);
  log_bench_expect(&b, NULL, 0);
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  sh_repair_set_restarts(&b.r.d, plain_class, true, 0);
  out[2] = log_bench_call(&b, &b.r.driver, &(rig_call){.class_id = plain_class, .ahead = 4});
  slot = rig_claim(&plain);
  rig_fill(&plain, slot, 8);
  log_bench_set_committed(&b, slot, plain.index);
  rig_detach(&b.r, &plain);
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  log_bench_close(&b, out, 3);
}

/* Claimed by the dead process, which had let go of some of them already. */
static void test_a_death_in_the_cut_leaves_what_the_next_one_cuts(void) {
  sh_ref out[4], arg;
  begin();
  arg = rig_put(&b.r.driver, 40, 1000);
  for (uint32_t i = 0; i < 4; i++) {
    out[i] = log_bench_call(&b, &b.r.driver, &(rig_call){.addend = i, .deps = &arg, .n_deps = 1});
    (void)log_bench_run(&b, out[i]);
  }
  sh_ref_drop(&b.r.driver, arg);
  uint32_t slot[4];
  for (uint32_t i = 0; i < 4; i++)
    slot[i] = b.actor.logged[i].slot;
  sh_log_cut(&b.actor, 2); /* the first: DONE was logged, and the daemon has not read it */
  log_bench_set_committed(&b, slot[1], b.actor.index);
  sh_log_forget(log_bench_slot(&b, slot[1]));          /* the second: forgotten, DONE not logged */
  log_bench_set_committed(&b, slot[2], b.actor.index); /* the third: claimed */
  rig_restart_actor(&b.r, &b.actor, b.class_id, ++b.incarnation);
  EXPECT_EQ(log_bench_live_slots(&b), 2);
  EXPECT_EQ(log_bench_state(&b, slot[2]), SH_TASK_LOGGED);
  EXPECT_EQ(rig_value(&b.r.driver, arg), 40);
  EXPECT(sh_log_open(&b.actor, 6));
  log_bench_expect(&b, &out[3], 1);
  EXPECT_EQ(log_bench_live_slots(&b), 1);
  sh_log_cut(&b.actor, b.actor.position);
  EXPECT_EQ(log_bench_live_slots(&b), 0);
  EXPECT(!sh_entry_checked(&b.r.d.seg, arg));
  log_bench_close(&b, out, 4);
}

/* It has claimed nothing itself where those calls lie. */
static void test_a_death_in_the_cut_of_what_others_ran_is_found(void) {
  sh_ref out[3];
  begin();
  for (uint32_t i = 0; i < 3; i++)
    out[i] = log_bench_do(&b, i);
  log_bench_restart(&b, 0);
  uint32_t slot = b.actor.logged[1].slot;
  sh_log_cut(&b.actor, 2);
  log_bench_set_committed(&b, slot, b.actor.index);
  rig_restart_actor(&b.r, &b.actor, b.class_id, ++b.incarnation);
  EXPECT_EQ(log_bench_state(&b, slot), SH_TASK_LOGGED);
  EXPECT(sh_log_open(&b.actor, 2));
  log_bench_expect(&b, &out[1], 2);
  log_bench_close(&b, out, 3);
}

/* The caller's sweep meets LOGGED(class), and the class has the caller's own number. */
static void test_the_death_of_the_caller_changes_nothing(void) {
  begin();
  sh_ref out[2];
  for (uint32_t i = 0; i < 2; i++)
    out[i] = log_bench_call(&b, &b.other, &(rig_call){.addend = i, .padding = 1000});
  uint32_t slot[2] = {log_bench_run(&b, out[0]), log_bench_run(&b, out[1])};
  rig_detach(&b.r, &b.other);
  rig_look_at_everything(&b.r);
  rig_look_at_everything(&b.r);
  EXPECT_EQ(log_bench_live_slots(&b), 2);
  log_bench_restart(&b, 0);
  EXPECT_EQ(b.actor.n_logged, 2);
  for (uint32_t i = 0; i < 2; i++) {
    EXPECT_EQ(b.actor.logged[i].slot, slot[i]);
    uint64_t addend;
    const sh_payload *p = sh_slot_payload(&b.r.d.seg, log_bench_slot(&b, slot[i]));
    memcpy(&addend, (const uint8_t *)p + sh_payload_inband_offset(p), sizeof addend);
    EXPECT_EQ(addend, i);
  }
  log_bench_close(&b, NULL, 0);
}

static void test_without_memory_nothing_is_logged_or_opened(void) {
  sh_ref out[2];
  begin();
  out[0] = log_bench_do(&b, 0);
  out[1] = log_bench_submit(&b, 1);
  uint32_t slot = log_bench_claim(&b, out[1]), n = b.actor.n_logged, cap = b.actor.cap_logged;
  b.actor.n_logged = b.actor.cap_logged = 1U << 31; /* twice as many cannot be counted */
  sh_log_begin(&b.actor, slot);
  b.actor.n_logged = n;
  b.actor.cap_logged = cap;
  EXPECT_EQ(position_of(slot), 0);
  EXPECT(b.actor.checkpoint_is_due && sh_log_is_due(&b.actor, UINT32_MAX));
  rig_finish(&b.actor, slot);
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  rig_restart_actor(&b.r, &b.actor, b.class_id, ++b.incarnation);
  b.actor.n_logged = b.actor.cap_logged = 1U << 31;
  EXPECT(!sh_log_open(&b.actor, 0));
  b.actor.n_logged = b.actor.cap_logged = 0;
  EXPECT(sh_log_open(&b.actor, 0));
  log_bench_expect(&b, out, 1);
  log_bench_close(&b, out, 2);
}

/* ---- the call ends in an error of the core's ---- */

static void test_a_cancelled_call_is_not_logged_and_a_checkpoint_is_due(void) {
  begin();
  sh_ref out = log_bench_submit(&b, 1);
  uint32_t slot = log_bench_begin(&b, out);
  EXPECT_EQ(rig_cancel(&b.r, out), SH_OK);
  rig_fill(&b.actor, slot, 8);
  EXPECT(!b.actor.checkpoint_is_due);
  EXPECT_EQ(sh_commit(&b.actor, slot), SH_LOST);
  EXPECT(sh_log_is_due(&b.actor, UINT32_MAX));
  rig_rounds(&b.r, 1);
  EXPECT_EQ(rig_error(&b.r.driver, out), SH_ERR_CANCELLED);
  log_bench_expect(&b, NULL, 0);
  EXPECT_EQ(log_bench_live_slots(&b), 0);
  log_bench_restart(&b, 0);
  log_bench_expect(&b, NULL, 0);
  log_bench_close(&b, &out, 1);
}

/* It had been begun, and was put back: by its process, or by the sweep. */
static void test_a_call_that_is_cancelled_in_the_queue_is_not_logged(void) {
  for (uint32_t died = 0; died < 2; died++) {
    begin();
    sh_ref out = log_bench_submit(&b, 1);
    uint32_t slot = log_bench_begin(&b, out);
    if (died)
      log_bench_restart(&b, 0);
    else
      sh_unclaim(&b.actor, slot);
    EXPECT_EQ(position_of(slot), 2);
    EXPECT_EQ(rig_cancel(&b.r, out), SH_OK);
    rig_rounds(&b.r, 1);
    EXPECT_EQ(rig_error(&b.r.driver, out), SH_ERR_CANCELLED);
    EXPECT_EQ(log_bench_live_slots(&b), 0);
    log_bench_close(&b, &out, 1);
  }
}

static void test_a_checkpoint_is_due_after_an_attempt_that_failed(void) {
  begin();
  sh_ref out = log_bench_submit(&b, 1);
  uint32_t slot = log_bench_begin(&b, out);
  rig_fill(&b.actor, slot, 8);
  sh_log_raised(&b.actor, slot);
  EXPECT(sh_retry(&b.actor, slot)); /* what it did to the state is there */
  EXPECT(sh_log_is_due(&b.actor, UINT32_MAX));
  sh_log_cut(&b.actor, b.actor.position);
  EXPECT_EQ(log_bench_run(&b, out), slot);
  EXPECT_EQ(b.actor.logged[0].position, 4);
  EXPECT(!sh_log_has_raised(&b.actor, slot));
  log_bench_close(&b, &out, 1);
}

/* ---- the class is closed, or a job ends ---- */

static void test_a_closed_class_lets_go_when_its_process_is_dead(void) {
  for (uint32_t lives = 0; lives < 2; lives++) {
    begin();
    sh_ref arg = rig_put(&b.r.driver, 40, 1000);
    sh_ref out = log_bench_call(&b, &b.r.driver, &(rig_call){.deps = &arg, .n_deps = 1, .padding = 5000});
    uint32_t slot = log_bench_run(&b, out);
    sh_ref_drop(&b.r.driver, arg);
    if (!lives)
      rig_detach(&b.r, &b.actor);
    EXPECT_EQ(log_bench_state(&b, slot), SH_TASK_LOGGED);
    log_bench_end(&b);
    rig_look_at_everything(&b.r);
    rig_look_at_everything(&b.r);
    EXPECT_EQ(log_bench_state(&b, slot), lives ? SH_TASK_LOGGED : SH_FREE);
    if (lives) {
      EXPECT_EQ(rig_value(&b.r.driver, arg), 40);
      rig_detach(&b.r, &b.actor);
      EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
    }
    EXPECT_EQ(log_bench_live_slots(&b), 0);
    EXPECT(!sh_entry_checked(&b.r.d.seg, arg));
    log_bench_close(&b, &out, 1);
  }
}

/* What ended after the class was closed, and was logged all the same. */
static void test_a_call_that_ends_in_a_closed_class_goes_with_its_process(void) {
  begin();
  sh_ref out = log_bench_submit(&b, 3);
  uint32_t slot = log_bench_begin(&b, out);
  log_bench_end(&b);
  rig_finish(&b.actor, slot);
  EXPECT_EQ(rig_value(&b.r.driver, out), 3);
  EXPECT_EQ(log_bench_state(&b, slot), SH_TASK_LOGGED);
  rig_detach(&b.r, &b.actor);
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  log_bench_close(&b, &out, 1);
}

/* Its record is not given to another actor while the process may still log. */
static void test_the_number_of_a_class_is_not_given_again_while_its_process_lives(void) {
  sh_shape shape = {.root = RIG_ROOT, .logs = true};
  uint32_t class_id, n = 0;
  begin();
  sh_ref out = log_bench_do(&b, 3);
  while (sh_repair_define_actor(&b.r.d, &shape, &class_id) == SH_OK)
    n++;
  EXPECT(n > 0);
  log_bench_end(&b);
  b.r.d.known_classes[b.class_id].x_unreferenced = 1U; /* the last handle is gone */
  EXPECT_EQ(sh_repair_define_actor(&b.r.d, &shape, &class_id), SH_FULL);
  rig_detach(&b.r, &b.actor);
  EXPECT_EQ(log_bench_live_slots(&b), 0);
  EXPECT_EQ(sh_repair_define_actor(&b.r.d, &shape, &class_id), SH_OK);
  EXPECT_EQ(class_id, b.class_id);
  log_bench_close(&b, &out, 1);
}

static void test_calls_stay_when_the_job_of_their_caller_ends(void) {
  sh_ref out[2];
  begin();
  out[0] = log_bench_call(&b, &b.other, &(rig_call){.addend = 0});
  (void)log_bench_run(&b, out[0]);
  out[1] = log_bench_do(&b, 1);
  sh_repair_end_root(&b.r.d, LOG_BENCH_ROOT);
  log_bench_expect(&b, out, 2);
  rig_detach(&b.r, &b.other);
  log_bench_restart(&b, 0);
  EXPECT_EQ(b.actor.n_logged, 2);
  log_bench_close(&b, &out[1], 1);
}

/* Also the calls of others; at once, if it has no process just then. */
static void test_calls_go_when_the_job_of_their_actor_ends(void) {
  for (uint32_t lives = 0; lives < 2; lives++) {
    sh_ref out[2];
    begin();
    out[0] = log_bench_call(&b, &b.other, &(rig_call){.addend = 0});
    uint32_t slot = log_bench_run(&b, out[0]);
    out[1] = log_bench_do(&b, 1);
    if (!lives)
      rig_detach(&b.r, &b.actor);
    sh_repair_end_root(&b.r.d, RIG_ROOT);
    EXPECT_EQ(log_bench_state(&b, slot), lives ? SH_TASK_LOGGED : SH_FREE);
    EXPECT_EQ(log_bench_live_slots(&b), 2U * lives);
    if (lives)
      rig_detach(&b.r, &b.actor);
    EXPECT_EQ(log_bench_live_slots(&b), 0);
    sh_ref_drop(&b.other, out[0]);
    log_bench_close(&b, &out[1], 1);
  }
}

int main(void) {
  RUN(test_the_call_in_flight_runs_again_after_those_of_the_log);
  RUN(test_a_call_that_fails_with_its_process_is_not_logged);
  RUN(test_a_committed_call_is_logged_by_the_sweep);
  RUN(test_a_committed_call_is_not_logged_once_the_class_is_closed);
  RUN(test_a_call_that_is_let_go_of_is_not_logged_again);
  RUN(test_the_sweep_logs_only_what_may_be_logged);
  RUN(test_a_death_in_the_cut_leaves_what_the_next_one_cuts);
  RUN(test_a_death_in_the_cut_of_what_others_ran_is_found);
  RUN(test_the_death_of_the_caller_changes_nothing);
  RUN(test_without_memory_nothing_is_logged_or_opened);
  RUN(test_a_cancelled_call_is_not_logged_and_a_checkpoint_is_due);
  RUN(test_a_call_that_is_cancelled_in_the_queue_is_not_logged);
  RUN(test_a_checkpoint_is_due_after_an_attempt_that_failed);
  RUN(test_a_closed_class_lets_go_when_its_process_is_dead);
  RUN(test_a_call_that_ends_in_a_closed_class_goes_with_its_process);
  RUN(test_the_number_of_a_class_is_not_given_again_while_its_process_lives);
  RUN(test_calls_stay_when_the_job_of_their_caller_ends);
  RUN(test_calls_go_when_the_job_of_their_actor_ends);
  return 0;
}
