/* SPDX-License-Identifier: Apache-2.0
 * Who may claim, commit, repeat and give up a task: the one that its word names, by its generation, and nobody who comes a
 * moment too late. Needs SH_HOOKS for the last. */
#include "rig.h"

#include "node/cancel.h"
#include "node/claim.h"

static rig r;

/* One that is idle gets the lease that work waits for. */
static void get_lease(sh_self *worker) {
  sh_idle_announce(worker);
  rig_rounds(&r, 2);
  sh_idle_withdraw(worker);
}

static sh_a64 *word_of(uint32_t slot) {
  return &sh_slot_at(&r.d.seg, slot)->word;
}

static void test_hint_of_another_time_or_class_claims_nothing(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0), task = rig_task_of(&r, out);
  sh_ref before = {.index = task.index, .generation = task.generation - 1U};
  uint64_t word = sh_load_relaxed(word_of(task.index));
  uint32_t client;
  const sh_class *c = sh_class_at(&r.d.seg, r.class_id);
  EXPECT(sh_claim_next_client(&r.d.seg, c, 0, &client) && client == r.driver.index);
  EXPECT(sh_seat_take(&r.worker[0]));
  EXPECT_EQ(sh_claim_hint(&r.worker[0], sh_ref_pack(before), r.class_id), SH_LOST);
  EXPECT_EQ(sh_claim_hint(&r.worker[0], sh_ref_pack(task), r.class_id + 1U), SH_LOST);
  EXPECT_EQ(sh_load_relaxed(word_of(task.index)), word);
  EXPECT(rig_work(&r.worker[0]) && !rig_work(&r.worker[0]));
  EXPECT(!sh_claim_next_client(&r.d.seg, c, 0, &client)); /* no ring has anything */
  EXPECT_EQ(rig_value(&r.driver, out), 1);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_awaited_task_is_run_on_the_spot_only_if_it_needs_no_lease(void) {
  enum { KIND = 5 };
  uint32_t slot;
  rig_open(&r, 1, 1);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, KIND, 1000), SH_OK);
  sh_ref leased = rig_submit_to(&r, rig_define(&r, 0, KIND)), call, plain = rig_submit_one(&r, 3, NULL, 0);
  sh_self actor;
  rig_call method = {.class_id = rig_actor(&r, &actor), .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL};
  EXPECT(!rig_work(&actor) && !sh_next_possible(&actor)); /* it has looked, and there is nothing */
  rig_submit(&r.driver, &method, &call);
  EXPECT(sh_next_possible(&actor));
  EXPECT_EQ(sh_next_awaited(&r.worker[0], leased, &slot), SH_EMPTY);
  EXPECT_EQ(sh_next_awaited(&r.worker[0], call, &slot), SH_EMPTY);
  EXPECT_EQ(rig_state_of(&r, leased), SH_TASK_READY);
  EXPECT_EQ(rig_state_of(&r, call), SH_TASK_READY);
  EXPECT_EQ(sh_next_awaited(&r.worker[0], plain, &slot), SH_OK);
  rig_finish(&r.worker[0], slot);
  EXPECT(rig_work(&actor));
  get_lease(&r.worker[0]);
  EXPECT(rig_work(&r.worker[0]) && !rig_work(&r.worker[0]));
  sh_ref_drop(&r.driver, leased);
  sh_ref_drop(&r.driver, call);
  sh_ref_drop(&r.driver, plain);
  rig_detach(&r, &actor);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* An argument that is gone is told of by whoever loads it: nobody waits for it. */
static void test_nobody_waits_for_what_is_gone(void) {
  rig_open(&r, 1, 1);
  sh_ref arg = rig_put(&r.driver, 2, 8);
  sh_ref out = rig_submit_one(&r, 1, &arg, 1);
  rig_rounds(&r, 1); /* what it holds is counted */
  sh_slot *t = sh_slot_at(&r.d.seg, rig_task_of(&r, out).index);
  sh_row *row = (sh_row *)(uintptr_t)sh_payload_rows(sh_slot_payload(&r.d.seg, t)), right = *row;
  for (uint32_t outside = 0; outside < 2; outside++) {
    *row = (sh_row){.index = outside ? 0x7FFFFFFFU : right.index, .generation = right.generation + 1U};
    sh_store32_relaxed(&t->x_cursor, 0); /* not looked at yet */
    uint32_t slot = rig_claim(&r.worker[0]);
    EXPECT_EQ(sh_load32_relaxed(&t->x_cursor), 1);
    *row = right;
    if (outside)
      rig_finish(&r.worker[0], slot);
    else
      sh_unclaim(&r.worker[0], slot);
  }
  EXPECT_EQ(rig_value(&r.driver, out), 3);
  sh_ref_drop(&r.driver, arg);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_work_that_needs_no_seat_is_possible_without_one(void) {
  rig_open(&r, 2, 1);
  sh_ref first = rig_submit_one(&r, 1, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]);
  sh_ref second = rig_submit_one(&r, 2, NULL, 0);
  EXPECT(!sh_next_possible(&r.worker[1]));
  sh_ref third = rig_submit_to(&r, rig_define(&r, 0, 0));
  EXPECT(sh_next_possible(&r.worker[1]));
  EXPECT(rig_work(&r.worker[1]));
  rig_finish(&r.worker[0], slot);
  EXPECT(rig_work(&r.worker[0]));
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  sh_ref_drop(&r.driver, third);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_only_who_runs_a_task_ends_it(void) {
  rig_open(&r, 2, 1);
  sh_ref out = rig_submit_one(&r, 4, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]);
  sh_self *runs = &r.worker[0], *other = &r.worker[1];
  EXPECT_EQ(sh_commit(other, slot), SH_LOST);
  EXPECT(!sh_retry(other, slot));
  EXPECT(!sh_repeat_here(other, slot));
  EXPECT_EQ(sh_load32_relaxed(&sh_slot_at(&r.d.seg, slot)->x_attempt), 0);
  EXPECT(!sh_surrender(other, slot));
  EXPECT_EQ(rig_state_of(&r, out), SH_TASK_RUNNING);
  uint64_t running = sh_load_relaxed(word_of(slot));
  for (uint32_t state = SH_TASK_RUNNING; state <= SH_TASK_KILLING; state++)
    if (state == SH_TASK_CANCELLED || state == SH_TASK_KILLING) {
      uint64_t ending = sh_word(sh_word_generation(running), state, runs->index, sh_word_tag(running));
      sh_store_relaxed(word_of(slot), ending);
      EXPECT(!sh_is_ending(other, slot));
      EXPECT_EQ(sh_is_ending(runs, slot), state == SH_TASK_CANCELLED);
      EXPECT_EQ(sh_commit(other, slot), SH_LOST);
      EXPECT(!sh_retry(other, slot));
      EXPECT(!sh_repeat_here(other, slot));
      EXPECT(!atomic_load(&other->leaving));
      EXPECT_EQ(sh_load_relaxed(word_of(slot)), ending);
    }
  EXPECT(!rig_is_closed(&r.driver, out));
  EXPECT_EQ(sh_commit(runs, slot), SH_LOST);
  EXPECT(atomic_load(&runs->leaving)); /* the kill is on its way */
  atomic_store(&runs->leaving, false);
  sh_store_relaxed(word_of(slot), running);
  rig_finish(runs, slot);
  EXPECT(!atomic_load(&runs->leaving));
  EXPECT_EQ(rig_value(&r.driver, out), 4);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* Its worker has done nothing wrong, and goes on. */
static void test_who_runs_a_task_that_was_damaged_does_not_leave(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 4, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]);
  uint64_t running = sh_load_relaxed(word_of(slot));
  sh_store_relaxed(word_of(slot), sh_word(sh_word_generation(running), SH_QUARANTINED, r.worker[0].index, 0));
  EXPECT_EQ(sh_commit(&r.worker[0], slot), SH_LOST);
  EXPECT(!atomic_load(&r.worker[0].leaving));
  sh_store_relaxed(word_of(slot), running);
  rig_finish(&r.worker[0], slot);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

#if defined(SH_HOOKS) && SH_HOOKS
static const volatile void *at;
static uint64_t then;

/* The daemon decides at the last moment. */
static void decide(const volatile void *word) {
  if (word != at)
    return;
  sh_hook_fn = NULL;
  sh_store_relaxed((sh_a64 *)(uintptr_t)word, then);
}

static void decide_before(uint32_t slot, uint32_t state) {
  uint64_t now = sh_load_relaxed(word_of(slot));
  at = word_of(slot);
  then = sh_word(sh_word_generation(now), state, sh_word_who(now), sh_word_tag(now));
  sh_hook_fn = decide;
}

static void test_who_is_a_moment_too_late_decides_nothing(void) {
  rig_open(&r, 1, 1);
  sh_self *w = &r.worker[0];
  sh_ref out = rig_submit_one(&r, 4, NULL, 0);
  uint32_t slot = rig_claim(w);
  uint64_t running = sh_load_relaxed(word_of(slot));
  rig_fill(w, slot, 8);
  decide_before(slot, SH_TASK_KILLING);
  EXPECT_EQ(sh_commit(w, slot), SH_LOST);
  EXPECT(!sh_hook_fn && !rig_is_closed(&r.driver, out));
  EXPECT_EQ(sh_load_relaxed(word_of(slot)), then);
  EXPECT(atomic_load(&w->leaving));
  atomic_store(&w->leaving, false);

  sh_store_relaxed(word_of(slot), running);
  decide_before(slot, SH_TASK_KILLING);
  EXPECT(!sh_retry(w, slot));
  EXPECT_EQ(sh_load_relaxed(word_of(slot)), then);
  EXPECT(atomic_load(&w->leaving));
  atomic_store(&w->leaving, false);

  sh_store_relaxed(word_of(slot),
                   sh_word(sh_word_generation(running), SH_TASK_CANCELLED, w->index, sh_word_tag(running)));
  decide_before(slot, SH_TASK_KILLING);
  EXPECT(!sh_surrender(w, slot));
  EXPECT_EQ(sh_load_relaxed(word_of(slot)), then);

  sh_store_relaxed(word_of(slot), running);
  rig_finish(w, slot);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* The daemon takes a lease away between two tasks of it. */
static void test_lease_that_is_taken_away_at_the_last_moment_is_not_used(void) {
  enum { KIND = 5 };
  uint32_t slot;
  rig_open(&r, 1, 1);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, KIND, 1000), SH_OK);
  uint32_t leased = rig_define(&r, 0, KIND);
  sh_ref first = rig_submit_to(&r, leased), second = rig_submit_to(&r, leased);
  get_lease(&r.worker[0]);
  EXPECT(rig_work(&r.worker[0]));
  uint64_t lease = sh_load_relaxed(&r.worker[0].me->x_lease);
  EXPECT_EQ(sh_lease_state(lease), SH_LEASE_BUSY);
  at = &r.worker[0].me->x_lease;
  then = 0;
  sh_hook_fn = decide;
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_EMPTY);
  EXPECT(!sh_hook_fn);
  EXPECT_EQ(sh_load_relaxed(&r.worker[0].me->x_lease), 0);
  sh_store_relaxed(&r.worker[0].me->x_lease, lease);
  rig_work_all(&r);
  EXPECT(rig_is_closed(&r.driver, second));
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  rig_expect_empty(&r);
  rig_close(&r);
}
#endif

int main(void) {
  RUN(test_hint_of_another_time_or_class_claims_nothing);
  RUN(test_awaited_task_is_run_on_the_spot_only_if_it_needs_no_lease);
  RUN(test_nobody_waits_for_what_is_gone);
  RUN(test_work_that_needs_no_seat_is_possible_without_one);
  RUN(test_only_who_runs_a_task_ends_it);
  RUN(test_who_runs_a_task_that_was_damaged_does_not_leave);
#if defined(SH_HOOKS) && SH_HOOKS
  RUN(test_who_is_a_moment_too_late_decides_nothing);
  RUN(test_lease_that_is_taken_away_at_the_last_moment_is_not_used);
#endif
  return 0;
}
