/* SPDX-License-Identifier: Apache-2.0
 * The calls of an actor since its last checkpoint: which are logged, in which order they are found by its next process, what a
 * checkpoint cuts off, and when one is due. test_call_log_ends.c has deaths, closed classes and errors,
 * test_call_log_children.c what the calls have called, test_call_log_damage.c damage. */
#include "log_bench.h"
#include "node/cancel.h"
#include "node/children.h"

static log_bench b;

static void begin(void) {
  log_bench_open(&b);
}

static void test_a_call_stays_until_a_checkpoint_covers_it(void) {
  sh_ref out[3];
  uint32_t slot[3];
  begin();
  for (uint32_t i = 0; i < 3; i++) {
    out[i] = log_bench_submit(&b, i);
    slot[i] = log_bench_run(&b, out[i]);
    EXPECT_EQ(rig_value(&b.r.driver, out[i]), i);
    EXPECT_EQ(b.actor.position, 2U * (i + 1U));
  }
  log_bench_expect(&b, out, 3);
  EXPECT_EQ(sh_load_relaxed(&b.actor.me->x_completed), 3);
  EXPECT_EQ(sh_repair_cancel(&b.r.d, rig_task_of(&b.r, out[0]), true, true), SH_LOST); /* for others it is over */
  sh_log_cut(&b.actor, 4);
  EXPECT_EQ(log_bench_state(&b, slot[0]), SH_FREE);
  EXPECT_EQ(log_bench_state(&b, slot[1]), SH_FREE);
  log_bench_expect(&b, &out[2], 1);
  sh_log_cut(&b.actor, 5); /* between two positions */
  log_bench_expect(&b, &out[2], 1);
  sh_log_cut(&b.actor, b.actor.position);
  log_bench_expect(&b, NULL, 0);
  EXPECT_EQ(log_bench_live_slots(&b), 0);
  sh_log_cut(&b.actor, b.actor.position); /* there is nothing left */
  log_bench_close(&b, out, 3);
}

/* Two callers take turns; the slots of one lie before those of the other. */
static void test_the_next_process_finds_them_in_the_order_in_which_they_ran(void) {
  sh_ref out[7];
  begin();
  for (uint32_t i = 0; i < 6; i++) {
    out[i] = log_bench_call(&b, i % 2U ? &b.r.driver : &b.other, &(rig_call){.addend = i});
    (void)log_bench_run(&b, out[i]);
  }
  EXPECT(b.actor.logged[2].slot < b.actor.logged[1].slot);
  log_bench_restart(&b, 0);
  log_bench_expect(&b, out, 6);
  EXPECT_EQ(b.actor.position, 12);
  for (uint32_t i = 0; i < 6; i++)
    EXPECT_EQ(b.actor.logged[i].position, 2U * (i + 1U));
  out[6] = log_bench_do(&b, 6);
  log_bench_restart(&b, 0);
  log_bench_expect(&b, out, 7);
  EXPECT_EQ(b.actor.position, 14);
  for (uint32_t i = 0; i < 6; i += 2)
    sh_ref_drop(&b.other, out[i]);
  sh_ref rest[] = {out[1], out[3], out[5], out[6]};
  log_bench_close(&b, rest, 4);
}

static void test_what_the_checkpoint_covers_is_cut_when_the_log_is_opened(void) {
  sh_ref out[4];
  begin();
  for (uint32_t i = 0; i < 4; i++)
    out[i] = log_bench_do(&b, i);
  log_bench_restart(&b, 4);
  log_bench_expect(&b, &out[2], 2);
  EXPECT_EQ(log_bench_live_slots(&b), 2);
  EXPECT_EQ(b.actor.position, 8);
  log_bench_restart(&b, 100); /* of calls that were not logged */
  log_bench_expect(&b, NULL, 0);
  EXPECT_EQ(log_bench_live_slots(&b), 0);
  EXPECT_EQ(b.actor.position, 100);
  sh_ref next = log_bench_do(&b, 4);
  EXPECT_EQ(b.actor.logged[0].position, 102);
  sh_ref_drop(&b.r.driver, next);
  log_bench_close(&b, out, 4);
}

static void test_positions_wrap_round_and_are_never_zero(void) {
  sh_ref out[4];
  begin();
  b.actor.position = UINT32_MAX - 3U;
  for (uint32_t i = 0; i < 4; i++)
    out[i] = log_bench_do(&b, i);
  static const uint32_t positions[] = {UINT32_MAX - 1U, 2, 4, 6};
  for (uint32_t i = 0; i < 4; i++)
    EXPECT_EQ(b.actor.logged[i].position, positions[i]);
  log_bench_restart(&b, UINT32_MAX - 3U);
  log_bench_expect(&b, out, 4);
  EXPECT_EQ(b.actor.position, 6);
  sh_log_cut(&b.actor, UINT32_MAX - 1U);
  log_bench_expect(&b, &out[1], 3);
  log_bench_restart(&b, 2);
  log_bench_expect(&b, &out[2], 2);
  log_bench_close(&b, out, 4);
}

static void test_the_log_says_which_calls_have_raised(void) {
  sh_ref out[2];
  uint32_t slot[2];
  begin();
  for (uint32_t i = 0; i < 2; i++)
    out[i] = log_bench_submit(&b, i);
  slot[0] = log_bench_run(&b, out[0]);
  slot[1] = log_bench_begin(&b, out[1]);
  sh_log_raised(&b.actor, slot[1]);
  sh_store32_relaxed(&log_bench_slot(&b, slot[1])->x_made, 7U | SH_MADE_FAILED); /* by the attempt before */
  rig_finish(&b.actor, slot[1]);
  EXPECT_EQ(sh_load32_relaxed(&log_bench_slot(&b, slot[1])->x_made),
            7); /* repeated as it was, not to make it succeed */
  log_bench_restart(&b, 0);
  log_bench_expect(&b, out, 2);
  EXPECT(!sh_log_has_raised(&b.actor, slot[0]));
  EXPECT(sh_log_has_raised(&b.actor, slot[1]));
  EXPECT_EQ(b.actor.position, 4);
  log_bench_close(&b, out, 2);
}

/* It raised, and its process died before that was final; the next time it returns. */
static void test_what_raised_is_forgotten_with_the_attempt(void) {
  begin();
  sh_ref out = log_bench_submit(&b, 1);
  uint32_t slot = log_bench_begin(&b, out);
  sh_log_raised(&b.actor, slot);
  log_bench_restart(&b, 0);
  log_bench_expect(&b, NULL, 0);
  EXPECT_EQ(log_bench_run(&b, out), slot);
  EXPECT(!sh_log_has_raised(&b.actor, slot));
  log_bench_expect(&b, &out, 1);
  log_bench_close(&b, &out, 1);
}

/* The method was not entered, or not by this attempt: there is nothing to repeat. */
static void test_what_was_not_begun_is_not_logged(void) {
  sh_ref out[2];
  begin();
  out[0] = log_bench_submit(&b, 0);
  uint32_t slot = log_bench_claim(&b, out[0]);
  sh_log_raised(&b.actor, slot);
  rig_finish(&b.actor, slot);
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  out[1] = log_bench_submit(&b, 1);
  sh_unclaim(&b.actor, log_bench_begin(&b, out[1])); /* it has a position now */
  slot = log_bench_claim(&b, out[1]);
  sh_log_forget(log_bench_slot(&b, slot));
  rig_finish(&b.actor, slot);
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  log_bench_expect(&b, NULL, 0);
  log_bench_close(&b, out, 2);
}

/* Its items have gone to somebody while it ran; and the constructor runs in every process anyway. */
static void test_streams_and_creating_calls_are_not_logged(void) {
  sh_ref stream[2], made;
  begin();
  rig_call call = {.class_id = b.class_id, .n_returns = 2, .flags = SH_SLOT_ACTOR_CALL | SH_SLOT_STREAM, .ahead = 3};
  rig_submit(&b.r.driver, &call, stream);
  uint32_t slot = log_bench_begin(&b, stream[0]);
  sh_log_raised(&b.actor, slot);
  sh_log_forget(log_bench_slot(&b, slot));
  EXPECT_EQ(log_bench_slot(&b, slot)->ahead, 3);
  EXPECT_EQ(b.actor.position, 0);
  rig_end_stream(&b.actor, slot);
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  made = log_bench_call(&b, &b.r.driver, &(rig_call){.flags = SH_SLOT_CREATES_ACTOR});
  slot = log_bench_run(&b, made);
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  EXPECT_EQ(b.actor.position, 0);
  log_bench_expect(&b, NULL, 0);
  sh_ref_drop(&b.r.driver, stream[1]);
  sh_ref_drop(&b.r.driver, made);
  log_bench_close(&b, stream, 1);
}

/* The same caller calls both in turn; then the first one goes, and the other stays. */
static void test_each_actor_finds_its_own_calls(void) {
  sh_self second;
  sh_ref out[4], theirs[2];
  begin();
  uint32_t other_class = rig_logging_actor(&b.r, &second), slot[2];
  for (uint32_t i = 0; i < 4; i++) {
    out[i] = log_bench_call(&b, &b.r.driver, &(rig_call){.class_id = i % 2U ? other_class : b.class_id, .addend = i});
    if (i % 2U) {
      slot[i / 2U] = rig_claim(&second);
      sh_log_begin(&second, slot[i / 2U]);
      rig_finish(&second, slot[i / 2U]);
    } else {
      (void)log_bench_run(&b, out[i]);
    }
  }
  sh_ref ours[2] = {out[0], out[2]};
  theirs[0] = out[1];
  theirs[1] = out[3];
  log_bench_restart(&b, 0);
  log_bench_expect(&b, ours, 2);
  log_bench_end(&b);
  rig_detach(&b.r, &b.actor);
  EXPECT_EQ(log_bench_live_slots(&b), 2);
  rig_restart_actor(&b.r, &second, other_class, 1);
  EXPECT(sh_log_open(&second, 0));
  EXPECT_EQ(second.n_logged, 2);
  for (uint32_t i = 0; i < 2; i++)
    EXPECT_EQ(second.logged[i].slot, rig_task_of(&b.r, theirs[i]).index);
  sh_log_cut(&second, second.position);
  rig_detach(&b.r, &second);
  log_bench_close(&b, out, 4);
}

/* As the submitter that finds the class closed commits what it takes back: it is not this actor's. */
static void test_a_call_of_another_class_is_not_logged(void) {
  sh_self second;
  begin();
  uint32_t other_class = rig_logging_actor(&b.r, &second);
  sh_ref out = log_bench_call(&b, &b.r.driver, &(rig_call){.class_id = other_class, .addend = 5});
  uint32_t slot = rig_claim(&second);
  sh_log_begin(&second, slot);
  sh_a64 *word = &log_bench_slot(&b, slot)->word;
  uint64_t now = sh_load_relaxed(word);
  sh_store_relaxed(word, sh_word(sh_word_generation(now), SH_TASK_RUNNING, b.actor.index, sh_word_tag(now)));
  rig_finish(&b.actor, slot);
  EXPECT_EQ(rig_value(&b.r.driver, out), 5);
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  log_bench_expect(&b, NULL, 0);
  sh_system_error gone = {.code = SH_ERR_ACTOR_DIED, .class_id = other_class, .wait_status = -1};
  rig_detach(&b.r, &second);
  sh_repair_close_class(&b.r.d, other_class, &gone);
  sh_ref late = {0};
  rig_call call = {.class_id = other_class, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL};
  (void)rig_try_submit(&b.actor, &call, &late); /* refused by itself */
  EXPECT_EQ(rig_error(&b.actor, late), SH_ERR_ACTOR_DIED);
  log_bench_expect(&b, NULL, 0);
  sh_ref_drop(&b.actor, late);
  log_bench_close(&b, &out, 1);
}

static void test_nothing_is_logged_where_no_process_follows(void) {
  sh_ref out[3];
  begin();
  out[0] = log_bench_do(&b, 0);
  sh_repair_set_restarts(&b.r.d, b.class_id, false, 0);
  EXPECT(!sh_log_is_kept(&b.actor));
  out[1] = log_bench_submit(&b, 1);
  EXPECT_EQ(log_bench_state(&b, log_bench_run(&b, out[1])), SH_FREE);
  EXPECT_EQ(b.actor.position, 4); /* it counts all the same */
  EXPECT(!sh_log_is_due(&b.actor, 1));
  log_bench_expect(&b, out, 1);
  sh_repair_set_restarts(&b.r.d, b.class_id, true, 0);
  EXPECT(sh_log_is_kept(&b.actor) && sh_log_is_due(&b.actor, 1));
  sh_log_cut(&b.actor, b.actor.position);
  b.actor.role = SH_ROLE_WORKER; /* none of the class's processes */
  EXPECT(sh_log_open(&b.actor, 0));
  b.actor.role = SH_ROLE_ACTOR;
  EXPECT(!b.actor.logs && !sh_log_is_kept(&b.actor));
  out[2] = log_bench_submit(&b, 2);
  EXPECT_EQ(log_bench_state(&b, log_bench_run(&b, out[2])), SH_FREE);
  EXPECT_EQ(b.actor.position, 0);
  log_bench_close(&b, out, 3);
}

static void test_an_actor_without_checkpoints_logs_nothing(void) {
  sh_self plain;
  begin();
  uint32_t plain_class = rig_actor(&b.r, &plain);
  sh_repair_set_restarts(&b.r.d, plain_class, true, 0);
  EXPECT(sh_log_open(&plain, 0));
  EXPECT(!plain.logs);
  sh_ref out = log_bench_call(&b, &b.r.driver, &(rig_call){.class_id = plain_class, .addend = 1});
  uint32_t slot = rig_claim(&plain);
  sh_log_begin(&plain, slot);
  sh_log_raised(&plain, slot);
  EXPECT_EQ(sh_load32_relaxed(&log_bench_slot(&b, slot)->x_position), 0);
  rig_finish(&plain, slot);
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  rig_detach(&b.r, &plain);
  log_bench_close(&b, &out, 1);
}

/* ---- what the arguments name ---- */

static void test_arguments_are_counted_while_the_call_is_logged(void) {
  for (uint32_t how = 0; how < 3;
       how++) { /* cut by who ran it, by the next process, or when the next one opens the log */
    begin();
    sh_ref arg = rig_put(&b.other, 40, 1000);
    sh_ref out = log_bench_call(&b, &b.other, &(rig_call){.addend = 2, .deps = &arg, .n_deps = 1, .padding = 5000});
    sh_ref_drop(&b.other, arg);
    (void)log_bench_run(&b, out);
    EXPECT_EQ(rig_value(&b.other, out), 42);
    sh_ref_drop(&b.other, out);
    if (how)
      rig_detach(&b.r, &b.other); /* who called it does not matter any more */
    EXPECT_EQ(log_bench_live_slots(&b), 1);
    EXPECT_EQ(rig_value(&b.r.driver, arg), 40);
    EXPECT_EQ(b.actor.logged_bytes, log_bench_slot(&b, b.actor.logged[0].slot)->spec_bytes);
    if (how == 0) {
      sh_log_cut(&b.actor, b.actor.position);
    } else {
      log_bench_restart(&b, 0);
      rig_look_at_everything(&b.r);
      rig_look_at_everything(&b.r);
      EXPECT_EQ(rig_value(&b.r.driver, arg), 40);
      EXPECT_EQ(b.actor.n_logged, 1);
      if (how == 1)
        sh_log_cut(&b.actor, b.actor.position);
      else
        log_bench_restart(&b, 2);
    }
    EXPECT_EQ(b.actor.n_logged, 0);
    EXPECT_EQ(b.actor.logged_bytes, 0);
    EXPECT_EQ(log_bench_live_slots(&b), 0);
    EXPECT(!sh_entry_checked(&b.r.d.seg, arg));
    log_bench_close(&b, NULL, 0);
  }
}

/* ---- when a checkpoint is due ---- */

static void cut_all(void) {
  sh_log_cut(&b.actor, b.actor.position);
  EXPECT(!b.actor.checkpoint_is_due && !sh_log_is_due(&b.actor, 1));
}

static void test_a_checkpoint_is_due_after_so_many_calls(void) {
  sh_ref out[3];
  begin();
  for (uint32_t i = 0; i < 3; i++) {
    EXPECT(!sh_log_is_due(&b.actor, 3));
    out[i] = log_bench_do(&b, i);
  }
  EXPECT(sh_log_is_due(&b.actor, 3) && sh_log_is_due(&b.actor, 2) && !sh_log_is_due(&b.actor, 4));
  cut_all();
  log_bench_close(&b, out, 3);
}

static void test_a_checkpoint_is_due_when_the_log_has_its_part_of_the_slots(void) {
  begin();
  uint32_t most = sh_pool_capacity(sh_pool_of(&b.r.d.seg, SH_POOL_SLOT)) / SH_LOGGED_PART;
  for (uint32_t i = 0; i < most; i++) {
    EXPECT(!sh_log_is_due(&b.actor, UINT32_MAX));
    sh_ref_drop(&b.r.driver, log_bench_do(&b, i));
  }
  EXPECT(sh_log_is_due(&b.actor, UINT32_MAX));
  cut_all();
  log_bench_close(&b, NULL, 0);
}

static void test_a_checkpoint_is_due_when_the_arguments_have_grown_large(void) {
  begin();
  uint64_t limit = sh_kept_limit(&b.actor);
  rig_call call = {.padding = limit / 4U};
  for (uint32_t i = 0; i < 4; i++) {
    EXPECT_EQ(sh_log_is_due(&b.actor, UINT32_MAX), b.actor.logged_bytes > limit);
    sh_ref out = log_bench_call(&b, &b.r.driver, &call);
    (void)log_bench_run(&b, out);
    sh_ref_drop(&b.r.driver, out);
  }
  EXPECT(b.actor.logged_bytes > limit && sh_log_is_due(&b.actor, UINT32_MAX));
  log_bench_restart(&b, 2);
  EXPECT(!sh_log_is_due(&b.actor, UINT32_MAX));
  b.actor.kept_bytes = limit / 2U; /* what it keeps of its children counts, too */
  EXPECT(sh_log_is_due(&b.actor, UINT32_MAX));
  b.actor.kept_bytes = 0;
  cut_all();
  log_bench_close(&b, NULL, 0);
}

/* Also in the next process: the log would keep that actor alive. */
static void test_a_checkpoint_is_due_after_a_call_with_an_actor_in_its_arguments(void) {
  sh_ref out[2];
  begin();
  sh_ref arg = rig_put(&b.r.driver, 1, 8);
  out[0] = log_bench_do(&b, 0);
  out[1] = log_bench_call(&b, &b.r.driver, &(rig_call){.deps = &arg, .n_deps = 1});
  const sh_payload *p = sh_slot_payload(&b.r.d.seg, log_bench_slot(&b, rig_task_of(&b.r, out[1]).index));
  sh_row *row = (sh_row *)(uintptr_t)sh_payload_rows(p);
  row->number = SH_NUMBER_ACTOR | b.class_id;
  (void)log_bench_run(&b, out[1]);
  EXPECT(sh_log_is_due(&b.actor, UINT32_MAX));
  for (uint32_t cut = 0; cut < 2; cut++) {
    log_bench_restart(&b, 2U * cut); /* the first call may be cut off */
    log_bench_expect(&b, &out[cut], 2U - cut);
    EXPECT(sh_log_is_due(&b.actor, UINT32_MAX));
  }
  cut_all();
  sh_ref_drop(&b.r.driver, arg);
  log_bench_close(&b, out, 2);
}

int main(void) {
  RUN(test_a_call_stays_until_a_checkpoint_covers_it);
  RUN(test_the_next_process_finds_them_in_the_order_in_which_they_ran);
  RUN(test_what_the_checkpoint_covers_is_cut_when_the_log_is_opened);
  RUN(test_positions_wrap_round_and_are_never_zero);
  RUN(test_the_log_says_which_calls_have_raised);
  RUN(test_what_raised_is_forgotten_with_the_attempt);
  RUN(test_what_was_not_begun_is_not_logged);
  RUN(test_streams_and_creating_calls_are_not_logged);
  RUN(test_each_actor_finds_its_own_calls);
  RUN(test_a_call_of_another_class_is_not_logged);
  RUN(test_nothing_is_logged_where_no_process_follows);
  RUN(test_an_actor_without_checkpoints_logs_nothing);
  RUN(test_arguments_are_counted_while_the_call_is_logged);
  RUN(test_a_checkpoint_is_due_after_so_many_calls);
  RUN(test_a_checkpoint_is_due_when_the_log_has_its_part_of_the_slots);
  RUN(test_a_checkpoint_is_due_when_the_arguments_have_grown_large);
  RUN(test_a_checkpoint_is_due_after_a_call_with_an_actor_in_its_arguments);
  return 0;
}
