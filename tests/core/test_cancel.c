/* SPDX-License-Identifier: Apache-2.0
 * Ending a task before it has a result, in each state that it may be in. */
#include "rig.h"

#include "node/cancel.h"

static rig r;

static void test_queued_task_is_not_run(void) {
  rig_open(&r, 1, 1);
  sh_ref refs[3];
  for (uint32_t i = 0; i < 3; i++)
    refs[i] = rig_submit_one(&r, i, NULL, 0);
  EXPECT_EQ(rig_cancel(&r, refs[1]), SH_OK);
  EXPECT_EQ(rig_error(&r.driver, refs[1]), SH_ERR_CANCELLED);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT(rig_work(&r.worker[0]));
  EXPECT(!rig_work(&r.worker[0]));
  EXPECT_EQ(rig_value(&r.driver, refs[0]), 0);
  EXPECT_EQ(rig_value(&r.driver, refs[2]), 2);
  EXPECT_EQ(rig_cancel(&r, refs[1]), SH_LOST);
  EXPECT_EQ(rig_cancel(&r, refs[2]), SH_LOST);
  EXPECT_EQ(rig_value(&r.driver, refs[2]), 2);
  rig_close_empty(&r, refs, 3);
}

static void test_all_returns_of_a_queued_task_are_resolved(void) {
  rig_open(&r, 1, 1);
  sh_ref refs[20], arg = rig_put(&r.driver, 1, 1000);
  rig_call call = {.class_id = r.class_id, .n_returns = 20, .deps = &arg, .n_deps = 1};
  rig_submit(&r.driver, &call, refs);
  sh_ref_drop(&r.driver, arg);
  EXPECT_EQ(rig_cancel(&r, refs[7]), SH_OK);
  for (uint32_t i = 0; i < 20; i++)
    EXPECT_EQ(rig_error(&r.driver, refs[i]), SH_ERR_CANCELLED);
  EXPECT(!rig_work(&r.worker[0]));
  rig_close_empty(&r, refs, 20);
}

static void test_task_that_waits_for_an_argument_is_not_run_when_it_comes(void) {
  rig_open(&r, 2, 2);
  sh_ref arg = rig_submit_one(&r, 1, NULL, 0), sum = rig_submit_one(&r, 5, &arg, 1),
         other = rig_submit_one(&r, 6, &arg, 1), last = rig_submit_one(&r, 7, &sum, 1);
  EXPECT_EQ(rig_cancel(&r, sum), SH_OK);
  EXPECT_EQ(rig_error(&r.driver, sum), SH_ERR_CANCELLED);
  rig_work_all(&r);
  EXPECT_EQ(rig_value(&r.driver, arg), 1);
  EXPECT_EQ(rig_value(&r.driver, other), 7);
  EXPECT_EQ(rig_error(&r.driver, last), SH_ERR_CANCELLED);
  rig_close_empty(&r, (sh_ref[]){arg, sum, other, last}, 4);
}

static void test_running_task_cannot_commit_and_its_worker_takes_the_next(void) {
  rig_open(&r, 1, 1);
  sh_ref refs[2] = {rig_submit_one(&r, 1, NULL, 0), rig_submit_one(&r, 2, NULL, 0)};
  uint32_t slot = rig_claim(&r.worker[0]);
  EXPECT(!sh_is_ending(&r.worker[0], slot));
  EXPECT_EQ(rig_cancel(&r, refs[0]), SH_OK);
  EXPECT_EQ(rig_cancel(&r, refs[0]), SH_OK);
  EXPECT_EQ(r.d.n_endings, 1);
  EXPECT(sh_is_ending(&r.worker[0], slot));
  EXPECT(!rig_is_closed(&r.driver, refs[0]));
  rig_fill(&r.worker[0], slot, 100000);
  EXPECT_EQ(sh_commit(&r.worker[0], slot), SH_LOST);
  EXPECT(!sh_should_exit(&r.worker[0]));
  EXPECT(!sh_surrender(&r.worker[0], slot));
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, refs[0]), SH_ERR_CANCELLED);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(rig_value(&r.driver, refs[1]), 2);
  rig_close_empty(&r, refs, 2);
}

static void test_value_that_holds_references_is_thrown_away_with_its_counts(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0), inside = rig_put(&r.worker[0], 6, 1000);
  uint32_t slot = rig_claim(&r.worker[0]);
  EXPECT_EQ(rig_cancel(&r, out), SH_OK);
  rig_fill_container(&r.worker[0], out, inside);
  EXPECT_EQ(sh_commit(&r.worker[0], slot), SH_LOST);
  sh_ref_drop(&r.worker[0], inside);
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_CANCELLED);
  rig_close_empty(&r, &out, 1);
}

static void test_claimed_task_is_ended_in_whatever_comes_next(void) {
  rig_open(&r, 2, 2);
  sh_ref arg = rig_submit_one(&r, 1, NULL, 0), sum = rig_submit_one(&r, 5, &arg, 1);
  uint32_t slot = rig_task_of(&r, sum).index;
  sh_a64 *word = &sh_slot_at(&r.d.seg, slot)->word;
  uint64_t waiting = sh_load_relaxed(word);
  /* As if a worker were between its claim and its next step. */
  sh_store_relaxed(word, sh_word(sh_word_generation(waiting), SH_TASK_CLAIMED, r.worker[1].index, 0));
  EXPECT_EQ(rig_cancel(&r, sum), SH_OK);
  EXPECT_EQ(rig_state_of(&r, sum), SH_TASK_CLAIMED);
  EXPECT_EQ(r.d.n_endings, 1);
  sh_store_relaxed(word, sh_word(sh_word_generation(waiting), SH_TASK_RUNNING, r.worker[1].index, 0));
  rig_rounds(&r, 1);
  EXPECT(sh_surrender(&r.worker[1], slot));
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, sum), SH_ERR_CANCELLED);
  rig_work_all(&r);
  rig_close_empty(&r, (sh_ref[]){arg, sum}, 2);
}

static void test_hints_of_cancelled_tasks_want_no_lease(void) {
  rig_open(&r, 1, 1);
  sh_shape shape = {.root = RIG_ROOT, .n_demands = 1, .kinds = {5}, .milli = {1000}};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
  sh_ref refs[4];
  for (uint32_t i = 0; i < 4; i++)
    rig_submit(&r.driver, &(rig_call){.class_id = class_id, .n_returns = 1, .addend = i}, &refs[i]);
  const sh_ring *ring = sh_ring_named(&r.d.seg, r.driver.index, class_id);
  static const uint32_t left[] = {4, 4, 4, 1}; /* after the cancel of 1, 2, 0: the first one is still about something */
  static const uint32_t order[] = {1, 2, 0};
  for (uint32_t i = 0; i < 3; i++) {
    EXPECT_EQ(sh_ring_length(ring), left[i]);
    EXPECT_EQ(rig_cancel(&r, refs[order[i]]), SH_OK);
  }
  EXPECT_EQ(sh_ring_length(ring), left[3]);
  EXPECT(sh_class_has_bits(&r.d.seg, sh_class_at(&r.d.seg, class_id)));
  rig_rounds(&r, 1);
  EXPECT_EQ(sh_load32_relaxed(&sh_seats_of(&r.d.seg)->x_lease_waits), 1);
  EXPECT_EQ(rig_cancel(&r, refs[3]), SH_OK);
  EXPECT(!sh_class_has_bits(&r.d.seg, sh_class_at(&r.d.seg, class_id)));
  rig_rounds(&r, 1);
  EXPECT_EQ(sh_load32_relaxed(&sh_seats_of(&r.d.seg)->x_lease_waits), 0);
  for (uint32_t i = 0; i < 4; i++)
    EXPECT_EQ(rig_error(&r.driver, refs[i]), SH_ERR_CANCELLED);
  rig_close_empty(&r, refs, 4);
}

/* The next slot that the driver allocates is the one that is freed next. */
static void use_up_slots(void) {
  sh_magazine *m = &r.driver.mags[SH_POOL_SLOT];
  m->n = 0;
  m->fresh = m->fresh_end;
}

/* The slot of a cancelled task is another's by the time that its hint is looked at. */
static void test_hint_of_a_slot_that_was_used_again_wants_no_lease(void) {
  rig_open(&r, 1, 1);
  sh_shape shape = {.root = RIG_ROOT, .n_demands = 1, .kinds = {5}, .milli = {1000}};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
  sh_ref refs[3];
  for (uint32_t i = 0; i < 2; i++)
    refs[i] = rig_submit_to(&r, class_id);
  use_up_slots();
  uint32_t slot = rig_task_of(&r, refs[1]).index;
  EXPECT_EQ(rig_cancel(&r, refs[1]), SH_OK);
  refs[2] = rig_submit_one(&r, 7, NULL, 0);
  EXPECT_EQ(rig_task_of(&r, refs[2]).index, slot);
  EXPECT_EQ(rig_cancel(&r, refs[0]), SH_OK);
  EXPECT_EQ(sh_ring_length(sh_ring_named(&r.d.seg, r.driver.index, class_id)), 0);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(rig_value(&r.driver, refs[2]), 7);
  rig_close_empty(&r, refs, 3);
}

/* The list still has a line for a task that is over, and whose slot is another's: it is about nothing, and is no line of the
 * other one. */
static void test_line_of_a_task_that_is_over_is_about_no_other(void) {
  for (uint32_t i = 0; i < 2; i++) {
    rig_open(&r, 2, 2);
    sh_ref first = rig_submit_one(&r, 1, NULL, 0);
    uint32_t slot = rig_claim(&r.worker[0]);
    EXPECT_EQ(rig_cancel(&r, first), SH_OK);
    use_up_slots();
    sh_sweep_client(&r.d, r.worker[0].index);
    EXPECT_EQ(rig_error(&r.driver, first), SH_ERR_CANCELLED);
    EXPECT_EQ(r.d.n_endings, 1);
    sh_ref second = rig_submit_one(&r, 2, NULL, 0);
    EXPECT_EQ(rig_task_of(&r, second).index, slot);
    if (i == 0)
      rig_rounds(&r, 1);
    else
      EXPECT_EQ(rig_cancel(&r, second), SH_OK);
    EXPECT_EQ(r.d.n_endings, 0);
    EXPECT_EQ(rig_work(&r.worker[1]), i == 0);
    EXPECT_EQ(rig_error(&r.driver, second), i == 0 ? 0 : SH_ERR_CANCELLED);
    sh_self_close(&r.worker[0]);
    rig_attach(&r, &r.worker[0], SH_ROLE_WORKER, -1, RIG_ROOT);
    rig_close_empty(&r, (sh_ref[]){first, second}, 2);
  }
}

/* An attempt that ran too long may cost a retry; a cancel does not. */
static void test_cancelled_task_is_not_repeated_though_it_would_be_if_it_were_overdue(void) {
  rig_open(&r, 1, 1);
  sh_ref out;
  rig_call call = {.class_id = r.class_id, .n_returns = 1, .max_retries = 3, .flags = SH_SLOT_RETRY_OVERDUE};
  call.timeout_ns = 1ULL << 40;
  rig_submit(&r.driver, &call, &out);
  uint32_t slot = rig_claim(&r.worker[0]);
  EXPECT_EQ(rig_cancel(&r, out), SH_OK);
  EXPECT(sh_surrender(&r.worker[0], slot));
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_CANCELLED);
  EXPECT(!rig_work(&r.worker[0]));
  rig_close_empty(&r, &out, 1);
}

static void test_put_back_task_is_ended_in_the_queue(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]);
  sh_unclaim(&r.worker[0], slot);
  EXPECT_EQ(rig_cancel(&r, out), SH_OK);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_CANCELLED);
  EXPECT(!rig_work(&r.worker[0]));
  rig_close_empty(&r, &out, 1);
}

static void test_repeated_attempt_is_ended_in_the_queue_or_while_it_runs(void) {
  rig_open(&r, 1, 1);
  sh_ref refs[2];
  for (uint32_t i = 0; i < 2; i++) {
    rig_call call = {.class_id = r.class_id, .n_returns = 1, .max_retries = 1};
    rig_submit(&r.driver, &call, &refs[i]);
    uint32_t slot = rig_claim(&r.worker[0]);
    rig_fill(&r.worker[0], slot, 1000);
    if (i == 0)
      EXPECT(sh_retry(&r.worker[0], slot));
    EXPECT_EQ(rig_cancel(&r, refs[i]), SH_OK);
    if (i == 1)
      EXPECT(!sh_retry(&r.worker[0], slot));
    rig_rounds(&r, 1);
    EXPECT_EQ(rig_error(&r.driver, refs[i]), SH_ERR_CANCELLED);
    EXPECT(!rig_work(&r.worker[0]));
  }
  rig_close_empty(&r, refs, 2);
}

static void test_death_of_the_worker_resolves_its_cancelled_task_without_a_retry(void) {
  rig_open(&r, 1, 1);
  sh_ref out;
  rig_call call = {.class_id = r.class_id, .n_returns = 1, .max_retries = 3};
  rig_submit(&r.driver, &call, &out);
  (void)rig_claim(&r.worker[0]);
  EXPECT_EQ(rig_cancel(&r, out), SH_OK);
  rig_replace(&r, &r.worker[0]);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_CANCELLED);
  EXPECT(!rig_work(&r.worker[0]));
  rig_rounds(&r, 1);
  rig_close_empty(&r, &out, 1);
}

static void test_force_condemns_the_worker_for_this_task_alone(void) {
  rig_open(&r, 1, 1);
  sh_ref out, inner;
  rig_call call = {.class_id = r.class_id, .n_returns = 1, .max_retries = 3};
  rig_submit(&r.driver, &call, &out);
  uint32_t slot = rig_claim(&r.worker[0]), inner_slot;
  rig_submit(&r.driver, &call, &inner);
  EXPECT_EQ(sh_next_awaited(&r.worker[0], inner, &inner_slot), SH_OK); /* in its place, on the same stack */
  EXPECT_EQ(rig_cancel(&r, out), SH_OK);
  EXPECT_EQ(rig_condemned(&r), 0);
  EXPECT_EQ(sh_repair_cancel(&r.d, rig_task_of(&r, out), true, false), SH_OK);
  EXPECT_EQ(rig_condemned(&r), r.worker[0].index);
  EXPECT_EQ(rig_state_of(&r, out), SH_TASK_KILLING);
  EXPECT_EQ(sh_commit(&r.worker[0], slot), SH_LOST);
  EXPECT(sh_should_exit(&r.worker[0]));
  rig_replace(&r, &r.worker[0]);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_CANCELLED);
  EXPECT(!rig_is_closed(&r.driver, inner));
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(rig_value(&r.driver, inner), 0);
  rig_rounds(&r, 1);
  rig_close_empty(&r, (sh_ref[]){out, inner}, 2);
}

static void test_children_are_ended_also_those_that_come_later(void) {
  rig_open(&r, 3, 3);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0), stranger = rig_submit_one(&r, 2, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]);
  EXPECT(rig_work(&r.worker[1])); /* the stranger */
  sh_ref queued = rig_submit_child(&r, &r.worker[0], slot), runs = rig_submit_child(&r, &r.worker[0], slot);
  sh_ref first = queued;
  uint32_t child = rig_claim(&r.worker[1]);
  if (child == rig_task_of(&r, queued).index) {
    queued = runs;
    runs = first;
  }
  sh_ref grandchild = rig_submit_child(&r, &r.worker[1], child);
  EXPECT_EQ(rig_cancel(&r, out), SH_OK);
  EXPECT_EQ(rig_error(&r.driver, queued), SH_ERR_CANCELLED);
  EXPECT_EQ(rig_error(&r.driver, grandchild), SH_ERR_CANCELLED);
  EXPECT_EQ(rig_state_of(&r, runs), SH_TASK_CANCELLED);
  sh_ref late = rig_submit_child(&r, &r.worker[0], slot);
  EXPECT(sh_surrender(&r.worker[0], slot));
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, late), SH_ERR_CANCELLED);
  EXPECT(sh_surrender(&r.worker[1], child));
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, runs), SH_ERR_CANCELLED);
  EXPECT_EQ(rig_value(&r.driver, stranger), 2);
  sh_ref_drop(&r.worker[0], queued);
  sh_ref_drop(&r.worker[0], runs);
  sh_ref_drop(&r.worker[0], late);
  sh_ref_drop(&r.worker[1], grandchild);
  rig_close_empty(&r, (sh_ref[]){out, stranger}, 2);
}

static void test_children_live_on_if_they_are_not_meant(void) {
  rig_open(&r, 2, 2);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]);
  sh_ref child = rig_submit_child(&r, &r.worker[0], slot);
  EXPECT_EQ(sh_repair_cancel(&r.d, rig_task_of(&r, out), false, false), SH_OK);
  EXPECT(sh_surrender(&r.worker[0], slot));
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_CANCELLED);
  EXPECT(rig_work(&r.worker[1]));
  EXPECT_EQ(rig_value(&r.driver, child), 0);
  sh_ref_drop(&r.worker[0], child);
  rig_close_empty(&r, &out, 1);
}

/* ---- actors ---- */

static sh_self actor;
static uint32_t actor_class;

static sh_ref call_actor(uint64_t addend, const sh_ref *arg) {
  sh_ref out;
  rig_call call = {.class_id = actor_class,
                   .n_returns = 1,
                   .flags = SH_SLOT_ACTOR_CALL,
                   .addend = addend,
                   .deps = arg,
                   .n_deps = arg != NULL};
  rig_submit(&r.driver, &call, &out);
  return out;
}
static void end_actor(void) {
  sh_system_error end = {.code = SH_ERR_ACTOR_DIED, .wait_status = -1};
  rig_detach(&r, &actor);
  sh_repair_close_class(&r.d, actor_class, &end);
}

static void test_call_that_an_actor_has_put_aside_lets_the_later_ones_go(void) {
  rig_open(&r, 1, 1);
  actor_class = rig_actor(&r, &actor);
  sh_ref arg = rig_submit_one(&r, 1, NULL, 0);
  sh_ref calls[3] = {call_actor(10, &arg), call_actor(20, NULL), call_actor(30, NULL)};
  EXPECT(!rig_work(&actor)); /* the first call waits, the others behind it */
  EXPECT(!sh_next_possible(&actor));
  EXPECT_EQ(rig_cancel(&r, calls[0]), SH_OK);
  EXPECT(sh_next_possible(&actor));
  EXPECT(rig_work(&actor));
  EXPECT(rig_is_closed(&r.driver, calls[1]));
  EXPECT(!rig_is_closed(&r.driver, calls[2]));
  EXPECT(rig_work(&actor));
  EXPECT(!rig_work(&actor));
  EXPECT(!sh_next_possible(&actor));
  EXPECT_EQ(rig_error(&r.driver, calls[0]), SH_ERR_CANCELLED);
  EXPECT_EQ(rig_value(&r.driver, calls[1]), 20);
  EXPECT_EQ(rig_value(&r.driver, calls[2]), 30);
  rig_work_all(&r);
  EXPECT_EQ(rig_value(&r.driver, arg), 1);
  end_actor();
  sh_ref_drop(&r.driver, arg);
  rig_close_empty(&r, calls, 3);
}

static void test_queued_call_of_an_actor_leaves_the_order_of_the_others(void) {
  rig_open(&r, 1, 1);
  actor_class = rig_actor(&r, &actor);
  sh_ref calls[4] = {call_actor(10, NULL), call_actor(20, NULL), call_actor(30, NULL), call_actor(40, NULL)};
  EXPECT_EQ(rig_cancel(&r, calls[1]), SH_OK);
  for (uint32_t i = 0; i < 4; i++) {
    if (i == 1)
      continue;
    EXPECT(rig_work(&actor));
    EXPECT_EQ(rig_value(&r.driver, calls[i]), 10 * (i + 1));
    EXPECT(i == 3 || !rig_is_closed(&r.driver, calls[3]));
  }
  EXPECT_EQ(rig_error(&r.driver, calls[1]), SH_ERR_CANCELLED);
  end_actor();
  rig_close_empty(&r, calls, 4);
}

static void test_force_kills_no_actor(void) {
  rig_open(&r, 1, 1);
  actor_class = rig_actor(&r, &actor);
  sh_ref out = call_actor(10, NULL);
  uint32_t slot = rig_claim(&actor);
  EXPECT_EQ(sh_repair_cancel(&r.d, rig_task_of(&r, out), true, true), SH_OK);
  EXPECT_EQ(rig_condemned(&r), 0);
  rig_fill(&actor, slot, 8);
  EXPECT_EQ(sh_commit(&actor, slot), SH_LOST);
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_CANCELLED);
  end_actor();
  rig_close_empty(&r, &out, 1);
}

static void test_end_of_the_job_ends_what_was_let_go(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]);
  EXPECT_EQ(rig_cancel(&r, out), SH_OK);
  EXPECT(sh_surrender(&r.worker[0], slot));
  sh_repair_end_root(&r.d, RIG_ROOT);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_ROOT_ENDED);
  rig_rounds(&r, 1);
  rig_close_empty(&r, &out, 1);
}

int main(void) {
  RUN(test_queued_task_is_not_run);
  RUN(test_all_returns_of_a_queued_task_are_resolved);
  RUN(test_task_that_waits_for_an_argument_is_not_run_when_it_comes);
  RUN(test_running_task_cannot_commit_and_its_worker_takes_the_next);
  RUN(test_value_that_holds_references_is_thrown_away_with_its_counts);
  RUN(test_claimed_task_is_ended_in_whatever_comes_next);
  RUN(test_hints_of_cancelled_tasks_want_no_lease);
  RUN(test_hint_of_a_slot_that_was_used_again_wants_no_lease);
  RUN(test_line_of_a_task_that_is_over_is_about_no_other);
  RUN(test_cancelled_task_is_not_repeated_though_it_would_be_if_it_were_overdue);
  RUN(test_put_back_task_is_ended_in_the_queue);
  RUN(test_repeated_attempt_is_ended_in_the_queue_or_while_it_runs);
  RUN(test_death_of_the_worker_resolves_its_cancelled_task_without_a_retry);
  RUN(test_force_condemns_the_worker_for_this_task_alone);
  RUN(test_children_are_ended_also_those_that_come_later);
  RUN(test_children_live_on_if_they_are_not_meant);
  RUN(test_call_that_an_actor_has_put_aside_lets_the_later_ones_go);
  RUN(test_queued_call_of_an_actor_leaves_the_order_of_the_others);
  RUN(test_force_kills_no_actor);
  RUN(test_end_of_the_job_ends_what_was_let_go);
  return 0;
}
