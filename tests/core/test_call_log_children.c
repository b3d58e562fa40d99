/* SPDX-License-Identifier: Apache-2.0
 * What a logged call has called is kept as long as the call is, for it may be run again; or else a checkpoint is due. */
#include "log_bench.h"
#include "node/children.h"

static log_bench b;

static void begin(void) {
  log_bench_open(&b);
}

/* As the n-th call of the task in `slot`: of tasks, or of an actor of this class. */
static sh_ref child(uint32_t slot, uint32_t n, const rig_call *like) {
  sh_slot *t = log_bench_slot(&b, slot);
  sh_ref made = {0};
  rig_call call = *like;
  call.function = 70U + n;
  b.actor.task_id = (sh_id128){.lo = t->id_lo, .hi = t->id_hi};
  b.actor.task_counter = n;
  b.actor.parent = sh_ref_pack((sh_ref){.index = slot, .generation = sh_word_generation(sh_load_relaxed(&t->word))});
  rig_submit(&b.actor, &call, &made);
  b.actor.parent = 0;
  return made;
}

static uint64_t parent_of(uint32_t slot) {
  return sh_ref_pack(
      (sh_ref){.index = slot, .generation = sh_word_generation(sh_load_relaxed(&log_bench_slot(&b, slot)->word))});
}

static uint32_t children_of(uint32_t slot, sh_child *found) {
  return sh_repair_children(&b.r.d, b.actor.index, b.actor.epoch, sh_ref_unpack(parent_of(slot)), found, 4);
}

static void test_children_are_kept_until_the_call_is_cut(void) {
  begin();
  sh_ref out = log_bench_submit(&b, 0);
  uint32_t slot = log_bench_begin(&b, out);
  uint64_t parent = parent_of(slot);
  sh_ref first = child(slot, 0, &(rig_call){.class_id = b.r.class_id, .n_returns = 1});
  sh_ref second = child(slot, 1, &(rig_call){.class_id = b.r.class_id, .n_returns = 1});
  sh_ref_drop(&b.actor, first);
  EXPECT(rig_work(&b.r.worker[0]) && rig_work(&b.r.worker[0]));
  rig_finish(&b.actor, slot);
  sh_ref_drop(&b.actor, second); /* after the call */
  sh_children_end(&b.actor, parent);
  EXPECT_EQ(b.actor.n_kept, 2);
  EXPECT(sh_entry_checked(&b.r.d.seg, first) && sh_entry_checked(&b.r.d.seg, second));
  EXPECT(!sh_log_is_due(&b.actor, 2));
  b.actor.n_kept = SH_KEPT_MAX / 2U + 1U;
  EXPECT(sh_log_is_due(&b.actor, 2));
  b.actor.n_kept = 2;
  sh_log_cut(&b.actor, b.actor.position);
  EXPECT_EQ(b.actor.n_kept, 0);
  EXPECT(!b.actor.checkpoint_is_due);
  EXPECT(!sh_entry_checked(&b.r.d.seg, first) && !sh_entry_checked(&b.r.d.seg, second));
  log_bench_close(&b, &out, 1);
}

/* A cut in the middle, and the end of a call that is not logged, let go of what those calls have called, and of nothing else. */
static void test_children_of_other_calls_stay(void) {
  sh_ref out[3], made[3];
  uint32_t slot[3];
  begin();
  for (uint32_t i = 0; i < 3; i++) {
    out[i] = log_bench_submit(&b, i);
    slot[i] = log_bench_begin(&b, out[i]);
    uint64_t parent = parent_of(slot[i]);
    made[i] = child(slot[i], 0, &(rig_call){.class_id = b.r.class_id, .n_returns = 1});
    sh_ref_drop(&b.actor, made[i]);
    if (i == 2)
      sh_log_forget(log_bench_slot(&b, slot[i]));
    rig_finish(&b.actor, slot[i]);
    EXPECT_EQ(b.actor.n_kept, i + 1U);
    sh_children_end(&b.actor, parent);
    EXPECT(rig_work(&b.r.worker[0]));
  }
  EXPECT_EQ(b.actor.n_kept, 2);
  EXPECT(!sh_entry_checked(&b.r.d.seg, made[2]));
  EXPECT_EQ(rig_value(&b.actor, made[0]) + rig_value(&b.actor, made[1]), 0);
  sh_log_cut(&b.actor, 2);
  EXPECT_EQ(b.actor.n_kept, 1);
  EXPECT(!sh_entry_checked(&b.r.d.seg, made[0]));
  EXPECT_EQ(rig_value(&b.actor, made[1]), 0);
  log_bench_close(&b, out, 3);
}

/* Nobody else, and not of a call that is to run again, before it does. */
static void test_only_who_runs_or_logs_a_call_is_told(void) {
  sh_child found[4];
  sh_self second;
  sh_ref out[2];
  uint32_t slot[2];
  begin();
  uint32_t other_class = rig_logging_actor(&b.r, &second);
  for (uint32_t i = 0; i < 2; i++) { /* the first one is logged, the second one runs as the process dies */
    out[i] = log_bench_submit(&b, i);
    slot[i] = log_bench_begin(&b, out[i]);
    (void)child(slot[i], 0, &(rig_call){.class_id = b.r.class_id, .n_returns = 1});
    if (i == 0)
      rig_finish(&b.actor, slot[i]);
  }
  log_bench_restart(&b, 0);
  EXPECT_EQ(sh_repair_children(&b.r.d, second.index, second.epoch, sh_ref_unpack(parent_of(slot[0])), found, 0), 0);
  EXPECT_EQ(sh_repair_children(&b.r.d, b.actor.index, b.actor.epoch, sh_ref_unpack(parent_of(slot[0])), found, 0), 1);
  EXPECT_EQ(log_bench_state(&b, slot[1]), SH_TASK_READY);
  EXPECT_EQ(children_of(slot[1], found), 0);
  (void)log_bench_begin(&b, out[1]);
  EXPECT_EQ(children_of(slot[1], found), 1);
  EXPECT_EQ(sh_ref_adopt(&b.actor, found[0].r), SH_OK);
  sh_ref_drop(&b.actor, found[0].r);
  rig_finish(&b.actor, slot[1]);
  EXPECT(rig_work(&b.r.worker[0]) && rig_work(&b.r.worker[0]));
  sh_system_error gone = {.code = SH_ERR_ACTOR_DIED, .class_id = other_class, .wait_status = -1};
  rig_detach(&b.r, &second);
  sh_repair_close_class(&b.r.d, other_class, &gone);
  log_bench_close(&b, out, 2);
}

/* Told to each process that follows, until the call is cut: of a call that is LOGGED, or that the sweep makes LOGGED. */
static void test_the_next_process_is_told_of_children(void) {
  for (uint32_t committed = 0; committed < 2; committed++) {
    sh_child found[4];
    begin();
    sh_ref out = log_bench_submit(&b, 0);
    uint32_t slot = log_bench_begin(&b, out);
    sh_ref dropped = child(slot, 0, &(rig_call){.class_id = b.r.class_id, .n_returns = 1});
    sh_ref held = child(slot, 1, &(rig_call){.class_id = b.r.class_id, .n_returns = 1});
    sh_ref_drop(&b.actor, dropped);
    if (committed) {
      rig_fill(&b.actor, slot, 8);
      log_bench_set_committed(&b, slot, b.actor.index);
    } else {
      rig_finish(&b.actor, slot);
    }
    log_bench_restart(&b, 0);
    EXPECT(rig_work(&b.r.worker[0]) && rig_work(&b.r.worker[0]));
    EXPECT_EQ(b.r.d.counts.n_kept, 2);
    EXPECT_EQ(sh_repair_children(&b.r.d, b.r.driver.index, b.r.driver.epoch, sh_ref_unpack(parent_of(slot)), found, 4),
              0);
    for (uint32_t i = 0; i < 2; i++) {
      EXPECT_EQ(children_of(slot, found), 2);
      for (uint32_t n = 0; n < 2; n++)
        EXPECT_EQ(sh_ref_adopt(&b.actor, found[n].r), SH_OK);
      EXPECT_EQ(found[0].fn_lo + found[1].fn_lo, 141);
      if (i == 0)
        log_bench_restart(&b, 0);
    }
    sh_ref third =
        child(slot, 2, &(rig_call){.class_id = b.r.class_id, .n_returns = 1}); /* it comes to more this time */
    sh_ref_drop(&b.actor, third);
    sh_children_end(&b.actor, parent_of(slot));
    EXPECT_EQ(b.actor.n_kept, 1);
    for (uint32_t n = 0; n < 2; n++)
      sh_ref_drop(&b.actor, found[n].r);
    EXPECT(rig_work(&b.r.worker[0]));
    rig_rounds(&b.r, 2);
    EXPECT(sh_entry_checked(&b.r.d.seg, dropped) && sh_entry_checked(&b.r.d.seg, held));
    sh_log_cut(&b.actor, b.actor.position);
    EXPECT_EQ(log_bench_live_slots(&b), 0);
    EXPECT_EQ(b.r.d.counts.n_kept, 0);
    EXPECT(!sh_entry_checked(&b.r.d.seg, dropped) && !sh_entry_checked(&b.r.d.seg, held));
    EXPECT(!sh_entry_checked(&b.r.d.seg, third));
    log_bench_close(&b, &out, 1);
  }
}

/* What cannot be found again must not be repeated: what has left the process, and what has no result. An actor's is noted. */
static void test_a_checkpoint_is_due_when_a_child_cannot_be_kept(void) {
  for (uint32_t how = 0; how < 4; how++) {
    sh_self callee;
    begin();
    uint32_t callee_class = rig_actor(&b.r, &callee);
    rig_call call = {.class_id = b.r.class_id, .n_returns = how == 1 || how == 2 ? 0 : 1U};
    if (how >= 2) {
      call.class_id = callee_class;
      call.flags = SH_SLOT_ACTOR_CALL;
    }
    sh_ref out = log_bench_submit(&b, 0);
    uint32_t slot = log_bench_begin(&b, out);
    sh_ref made = child(slot, 0, &call);
    if (call.n_returns) {
      EXPECT(!b.actor.checkpoint_is_due);
      sh_ref_share(&b.actor, made);
      sh_ref_drop(&b.actor, made);
    }
    EXPECT_EQ(b.actor.checkpoint_is_due, how != 2);
    EXPECT_EQ(sh_made_below(log_bench_slot(&b, slot)), how >= 2);
    rig_finish(&b.actor, slot);
    EXPECT_EQ(sh_log_is_due(&b.actor, 2), how != 2);
    sh_log_cut(&b.actor, b.actor.position);
    EXPECT(!b.actor.checkpoint_is_due);
    EXPECT(rig_work(how >= 2 ? &callee : &b.r.worker[0]));
    rig_detach(&b.r, &callee);
    log_bench_close(&b, &out, 1);
  }
}

int main(void) {
  RUN(test_children_are_kept_until_the_call_is_cut);
  RUN(test_children_of_other_calls_stay);
  RUN(test_only_who_runs_or_logs_a_call_is_told);
  RUN(test_the_next_process_is_told_of_children);
  RUN(test_a_checkpoint_is_due_when_a_child_cannot_be_kept);
  return 0;
}
