/* SPDX-License-Identifier: Apache-2.0
 * A peer has written over the slots of logged calls: what cannot be right is taken out of use, and nobody acts on it. Needs
 * SH_HOOKS for the last moment. */
#include "log_bench.h"

static log_bench b;

static void begin(void) {
  log_bench_open(&b);
}

static void look_twice(void) {
  rig_look_at_everything(&b.r);
  EXPECT_EQ(b.r.d.quarantined, 0);
  rig_look_at_everything(&b.r);
}

static void test_an_odd_logged_call_is_taken_out_of_use(void) {
  for (uint32_t how = 0; how < 5; how++) {
    sh_ref out[2];
    begin();
    out[0] = log_bench_do(&b, 0);
    out[1] = log_bench_do(&b, 1);
    uint32_t slot = b.actor.logged[0].slot, class_id = b.class_id;
    sh_slot *t = log_bench_slot(&b, slot);
    uint64_t word = sh_load_relaxed(&t->word);
    if (how == 1) /* another class's */
      sh_store32_relaxed(&t->x_class, --class_id);
    if (how == 2) /* that of a class that logs nothing: tasks */
      sh_store32_relaxed(&t->x_class, class_id = b.r.class_id);
    if (how >= 3) /* none's */
      class_id = how == 3 ? SH_MAX_CLASSES : UINT32_MAX;
    if (how >= 2)
      sh_store_relaxed(&t->word, sh_word(sh_word_generation(word), SH_TASK_LOGGED, class_id, sh_word_tag(word)));
    if (how == 4)
      log_bench_end(&b); /* the scan of the class comes by */
    look_twice();
    EXPECT_EQ(b.r.d.quarantined, how != 0);
    EXPECT_EQ(log_bench_state(&b, slot), how ? SH_QUARANTINED : SH_TASK_LOGGED);
    sh_log_cut(&b.actor, b.actor.position); /* the other one */
    EXPECT_EQ(b.actor.n_logged, 0);
    EXPECT_EQ(log_bench_live_slots(&b), how != 0);
    EXPECT_EQ(rig_value(&b.r.driver, out[0]), 0);
    log_bench_end(&b);
    rig_detach(&b.r, &b.actor);
    rig_detach(&b.r, &b.other);
    rig_close(&b.r);
  }
}

/* Between two looks at everything: what the actor finds changed is not its own any more. */
static void test_what_is_out_of_use_is_left_alone(void) {
  sh_ref out[2];
  begin();
  out[0] = log_bench_do(&b, 0);
  out[1] = log_bench_submit(&b, 1);
  uint32_t other = b.actor.logged[0].slot, slot = log_bench_begin(&b, out[1]);
  log_bench_set_committed(&b, slot, b.actor.index);
  sh_slot *t = log_bench_slot(&b, slot), *u = log_bench_slot(&b, other);
  uint64_t committed = sh_load_relaxed(&t->word), logged = sh_load_relaxed(&u->word);
  sh_quarantine_slot(&b.r.d, slot, committed);
  EXPECT(sh_log_keep(&b.actor, slot, committed));
  EXPECT_EQ(log_bench_state(&b, slot), SH_QUARANTINED);
  EXPECT_EQ(b.actor.n_logged, 1);
  sh_store_relaxed(&u->word, sh_word(sh_word_generation(logged), SH_TASK_LOGGED, b.r.class_id, sh_word_tag(logged)));
  sh_log_cut(&b.actor, b.actor.position);
  EXPECT_EQ(log_bench_state(&b, other), SH_TASK_LOGGED);
  EXPECT_EQ(b.actor.n_logged, 0);
  rig_detach(&b.r, &b.actor);
  log_bench_end(&b);
  rig_detach(&b.r, &b.other);
  rig_close(&b.r);
}

#if defined(SH_HOOKS) && SH_HOOKS
static uint32_t suspect;

static void quarantine(const volatile void *word) {
  sh_slot *t = log_bench_slot(&b, suspect);
  if (word != &t->word)
    return;
  sh_hook_fn = NULL;
  sh_quarantine_slot(&b.r.d, suspect, sh_load_relaxed(&t->word));
}

/* The daemon takes it out of use at the last moment. */
static void test_what_goes_out_of_use_as_it_is_cut_is_left_alone(void) {
  begin();
  sh_ref arg = rig_put(&b.r.driver, 5, 8);
  sh_ref out = log_bench_call(&b, &b.r.driver, &(rig_call){.addend = 1, .deps = &arg, .n_deps = 1});
  suspect = log_bench_run(&b, out);
  sh_hook_fn = quarantine;
  sh_log_cut(&b.actor, b.actor.position);
  EXPECT(!sh_hook_fn);
  EXPECT_EQ(b.actor.n_logged, 0);
  rig_rounds(&b.r, 2);
  EXPECT_EQ(log_bench_state(&b, suspect), SH_QUARANTINED);
  EXPECT_EQ(rig_value(&b.r.driver, out), 6);
  rig_detach(&b.r, &b.actor);
  log_bench_end(&b);
  rig_detach(&b.r, &b.other);
  rig_close(&b.r);
}
#endif

/* Of no class at all, as its job ends. */
static void test_a_committed_call_without_a_class_is_let_go(void) {
  begin();
  sh_ref out = log_bench_do(&b, 1);
  uint32_t slot = b.actor.logged[0].slot;
  log_bench_set_committed(&b, slot, 0);
  sh_store32_relaxed(&log_bench_slot(&b, slot)->x_class, UINT32_MAX);
  rig_detach(&b.r, &b.actor);
  sh_repair_end_root(&b.r.d, RIG_ROOT);
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  log_bench_close(&b, &out, 1);
}

/* The bits that lead to the calls of a class were lost. */
static void test_a_call_of_a_closed_class_is_found_without_a_hint(void) {
  begin();
  sh_ref out = log_bench_do(&b, 0);
  uint32_t slot = b.actor.logged[0].slot;
  sh_store_relaxed(sh_called_word(&b.r.d.seg, b.class_id, 0), 0);
  rig_detach(&b.r, &b.actor);
  log_bench_end(&b);
  EXPECT_EQ(log_bench_state(&b, slot), SH_TASK_LOGGED);
  look_twice();
  EXPECT_EQ(log_bench_state(&b, slot), SH_FREE);
  log_bench_close(&b, &out, 1);
}

int main(void) {
  RUN(test_an_odd_logged_call_is_taken_out_of_use);
  RUN(test_what_is_out_of_use_is_left_alone);
#if defined(SH_HOOKS) && SH_HOOKS
  RUN(test_what_goes_out_of_use_as_it_is_cut_is_left_alone);
#endif
  RUN(test_a_committed_call_without_a_class_is_let_go);
  RUN(test_a_call_of_a_closed_class_is_found_without_a_hint);
  return 0;
}
