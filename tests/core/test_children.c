/* SPDX-License-Identifier: Apache-2.0
 * What a task has called: kept while it runs, held between its attempts, told to the next one, let go at its end. */
#include "family.h"

#include "node/cancel.h"

static void test_results_are_kept_while_the_task_runs(void) {
  begin(1);
  sh_ref first = call(0, r.class_id, 1, NULL), second = call(1, r.class_id, 1, NULL);
  sh_ref_drop(&r.worker[0], first); /* before it is resolved */
  while (rig_work(&r.worker[1])) {
  }
  EXPECT(rig_is_closed(&r.worker[0], first) && rig_is_closed(&r.worker[0], second));
  sh_ref_drop(&r.worker[0], second);
  EXPECT_EQ(r.worker[0].n_kept, 2);
  EXPECT(sh_entry_checked(&r.d.seg, first) && sh_entry_checked(&r.d.seg, second));
  EXPECT_EQ(sh_made_below(sh_slot_at(&r.d.seg, slot)), 0);
  finish_parent();
  EXPECT_EQ(r.worker[0].n_kept, 0);
  end();
}

static void test_without_another_attempt_nothing_is_kept(void) {
  begin(0);
  sh_ref first = call(0, r.class_id, 1, NULL);
  EXPECT(!sh_origin_of(&r.d.seg, first));
  while (rig_work(&r.worker[1])) {
  }
  sh_ref_drop(&r.worker[0], first);
  EXPECT(!sh_entry_checked(&r.d.seg, first));
  finish_parent();
  end();
}

/* 40 values, one after the other, of which five fit: one more may not be resolved yet. Those of the actor's calls are noted. */
static void test_large_results_are_kept_up_to_a_bound(void) {
  begin(1);
  uint64_t limit = sh_kept_limit(&r.worker[0]), bytes = limit / 5U;
  EXPECT(bytes > SH_INLINE_BYTES && limit <= SH_KEPT_BYTES);
  for (uint32_t i = 0; i < 40; i++) {
    uint32_t claimed;
    sh_self *runs = i % 2U ? &actor : &r.worker[1];
    sh_ref child = call(i, i % 2U ? actor_class : r.class_id, 1, NULL);
    bool early = i == 10 || i == 11; /* dropped before they are resolved, and looked at later */
    if (early)
      sh_ref_drop(&r.worker[0], child);
    EXPECT_EQ(sh_next_try(runs, &claimed), SH_OK);
    rig_fill(runs, claimed, bytes);
    EXPECT_EQ(sh_commit(runs, claimed), SH_OK);
    if (!early)
      sh_ref_drop(&r.worker[0], child);
    EXPECT(r.worker[0].kept_bytes <= limit);
  }
  EXPECT(r.worker[0].n_kept > 0 && r.worker[0].n_kept <= 6);
  EXPECT_EQ(sh_made_below(sh_slot_at(&r.d.seg, slot)), 40);
  finish_parent();
  EXPECT_EQ(r.worker[0].kept_bytes, 0);
  end();
}

static void test_the_next_attempt_is_told_after_a_death(void) {
  sh_child found[8];
  begin(2);
  EXPECT_EQ(children(found, 8), 0);
  sh_ref dropped = call(0, actor_class, 1, NULL), waiting = call(1, r.class_id, 1, &dropped);
  sh_ref_drop(&r.worker[0], dropped);
  sh_ref shared = call(2, r.class_id, 1, NULL);
  (void)call(3, actor_class, 0, NULL);
  sh_ref third = call(4, r.class_id, 1, NULL);
  sh_ref_share(&r.worker[0], third);
  sh_ref_drop(&r.worker[0], third); /* nobody holds it: it is freed when it is resolved */
  (void)shared;
  sh_repair_round(&r.d, -1);
  die();
  EXPECT_EQ(sh_made_below(sh_slot_at(&r.d.seg, slot)), 4); /* the call without returns */
  EXPECT_EQ(sh_repair_children(&r.d, r.worker[1].index, r.worker[1].epoch, rig_task_of(&r, out), NULL, 0), 0);
  EXPECT_EQ(sh_repair_children(&r.d, r.worker[0].index, r.worker[0].epoch + 1U, rig_task_of(&r, out), NULL, 0), 0);
  uint32_t n = children(found, 8);
  EXPECT(n == 2 || n == 3); /* what was shared and let go may be told of, if the log has not been read */
  bool seen[5] = {false};
  for (uint32_t i = 0; i < n; i++) {
    uint32_t at = found[i].counter;
    EXPECT(at < 5 && !seen[at]);
    seen[at] = true;
    EXPECT_EQ(found[i].fn_lo, 70U + at);
    EXPECT_EQ(found[i].class_id, at == 0 ? actor_class : r.class_id);
    EXPECT_EQ(found[i].flags, at == 0 ? SH_SLOT_ACTOR_CALL : 0U);
  }
  EXPECT(seen[1] && seen[2]);
  while (rig_work(&actor)) {
  }
  while (rig_work(&r.worker[1])) {
  }
  EXPECT(rig_is_closed(&r.worker[0], waiting));
  for (uint32_t i = 0; i < n; i++)
    sh_ref_drop(&r.worker[0], found[i].r);
  rig_rounds(&r, 3);
  EXPECT(sh_entry_checked(&r.d.seg, waiting)); /* for a third attempt */
  die();
  EXPECT_EQ(children(found, 8), n);
  for (uint32_t i = 0; i < n; i++)
    sh_ref_drop(&r.worker[0], found[i].r);
  finish_parent();
  rig_rounds(&r, 3);
  EXPECT(!sh_entry_checked(&r.d.seg, waiting));
  end();
}

static void test_a_live_process_hands_its_children_over(void) {
  sh_child found[4];
  begin(3);
  for (uint32_t failed = 0; failed < 2; failed++) {
    uint64_t task = parent();
    sh_ref kept = call(0, r.class_id, 1, NULL), held = call(1, r.class_id, 1, NULL);
    sh_ref_drop(&r.worker[0], kept);
    sh_children_hand_over(&r.worker[0], slot, true, failed != 0);
    EXPECT(sh_retry(&r.worker[0], slot));
    sh_ref_drop(&r.worker[0], held);
    sh_children_end(&r.worker[0], task);
    rig_rounds(&r, 2);
    EXPECT_EQ(sh_load32_relaxed(&sh_slot_at(&r.d.seg, slot)->x_made) & SH_MADE_FAILED, failed ? SH_MADE_FAILED : 0U);
    run_parent();
    EXPECT_EQ(children(found, 4), 2U + 2U * failed);
    for (uint32_t i = 0; i < 2U + 2U * failed; i++)
      sh_ref_drop(&r.worker[0], found[i].r);
  }
  while (rig_work(&r.worker[1])) {
  }
  finish_parent();
  end();
}

/* Handed over, and killed before it put the task back: each object is held once. */
static void test_a_death_in_the_handing_over_changes_nothing(void) {
  sh_child found[4];
  begin(2);
  (void)call(0, r.class_id, 1, NULL);
  sh_children_hand_over(&r.worker[0], slot, true, true);
  die();
  EXPECT_EQ(sh_load32_relaxed(&sh_slot_at(&r.d.seg, slot)->x_made), 0);
  EXPECT_EQ(children(found, 4), 1);
  sh_ref_drop(&r.worker[0], found[0].r);
  while (rig_work(&r.worker[1])) {
  }
  finish_parent();
  end();
}

/* Its attempt is over time. What it has called is cancelled; but it goes on calling, until it is killed. */
static void test_what_an_overdue_attempt_calls_before_it_is_killed_is_told(void) {
  sh_child found[4];
  begin_as(&(rig_call){.max_retries = 1, .flags = SH_SLOT_RETRY_OVERDUE, .timeout_ns = 1000});
  sh_ref first = call(0, actor_class, 1, NULL);
  uint64_t late_ns = sh_load_relaxed(&r.worker[0].me->x_since_ns) + 1000U;
  sh_cancel_overdue(&r.d, r.worker[0].index, late_ns);
  sh_cancel_run(&r.d, true, late_ns);
  EXPECT_EQ(rig_error(&r.worker[0], first), SH_ERR_CANCELLED);
  sh_ref second = call(1, actor_class, 1, NULL);
  sh_cancel_run(&r.d, true, late_ns + SH_GRACE_NS);
  EXPECT_EQ(rig_condemned(&r), r.worker[0].index);
  die();
  EXPECT_EQ(sh_load32_relaxed(&sh_slot_at(&r.d.seg, slot)->x_made), SH_MADE_FAILED);
  EXPECT_EQ(children(found, 4), 2);
  EXPECT_EQ(found[0].counter + found[1].counter, 1);
  for (uint32_t i = 0; i < 2; i++)
    if (found[i].counter == 1)
      EXPECT_EQ(sh_ref_pack(found[i].r), sh_ref_pack(second));
  EXPECT(rig_work(&actor) && !rig_work(&actor));
  for (uint32_t i = 0; i < 2; i++)
    sh_ref_drop(&r.worker[0], found[i].r);
  finish_parent();
  end();
}

/* It is on the list of what is being ended, and has ended by itself: the list is looked at later. */
static void test_a_child_that_ended_before_it_could_be_cancelled_is_told(void) {
  sh_child found[2];
  begin_as(&(rig_call){.max_retries = 1, .flags = SH_SLOT_RETRY_OVERDUE, .timeout_ns = 1000});
  sh_ref child = call(0, actor_class, 1, NULL);
  uint32_t claimed = rig_claim(&actor), index = r.worker[0].index;
  sh_cancel_overdue(&r.d, index, sh_load_relaxed(&r.worker[0].me->x_since_ns) + 1000U);
  EXPECT(sh_is_being_ended(&r.d, rig_task_of(&r, child)));
  sh_self_close(&r.worker[0]);
  sh_sweep_client(&r.d, index);
  rig_attach(&r, &r.worker[0], SH_ROLE_WORKER, -1, RIG_ROOT);
  run_parent();
  EXPECT_EQ(children(NULL, 0), 0); /* it may be cancelled yet */
  rig_finish(&actor, claimed);
  EXPECT_EQ(children(found, 2), 1);
  EXPECT_EQ(sh_ref_pack(found[0].r), sh_ref_pack(child));
  sh_ref_drop(&r.worker[0], found[0].r);
  finish_parent();
  end();
}

/* What the parent had not published when it died is no child: nobody would resolve it. */
static void test_a_call_that_was_not_published_is_not_told(void) {
  begin(1);
  sh_self *w = &r.worker[0];
  sh_call c = {.class_id = r.class_id, .n_returns = 1};
  uint32_t building;
  uint8_t *payload;
  sh_ref made;
  EXPECT_EQ(sh_submit_begin(w, &c, 8, 0, &building, &payload, &made), SH_OK);
  w->parent = parent();
  sh_child_made(w, building, &made);
  w->parent = 0;
  EXPECT(sh_origin_of(&r.d.seg, made));
  die();
  EXPECT_EQ(children(NULL, 0), 0);
  finish_parent();
  end();
}

static void test_the_task_that_fails_for_good_lets_go(void) {
  begin(1);
  (void)call(0, r.class_id, 1, NULL);
  die();
  EXPECT_EQ(r.d.counts.n_kept, 1);
  while (rig_work(&r.worker[1])) {
  }
  rig_replace(&r, &r.worker[0]);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_WORKER_DIED);
  rig_rounds(&r, 1);
  EXPECT_EQ(r.d.counts.n_kept, 0);
  end();
}

static void test_digests_tell_calls_apart_but_not_what_is_drawn(void) {
  sh_id128 a = sh_id_child(sh_id_root(7), 1), b = sh_id_child(sh_id_root(7), 2);
  uint64_t none = sh_digest_begin(0, 1, 1);
  EXPECT(none != sh_digest_begin(0, 2, 1));
  EXPECT(none != sh_digest_begin(0, 1, 2));
  EXPECT(none != sh_digest_begin(SH_SLOT_ACTOR_CALL, 1, 1));
  EXPECT_EQ(none, sh_digest_begin(SH_SLOT_HAS_ROWS, 1, 1));
  EXPECT(sh_digest_add(none, a, 0) != sh_digest_add(none, b, 0));
  EXPECT(sh_digest_add(none, a, 0) != sh_digest_add(none, a, 1));
  EXPECT_EQ(sh_digest_add(none, a, SH_NUMBER_PUT), sh_digest_add(none, b, SH_NUMBER_PUT));
  sh_id128 drawn = sh_id_child(sh_id_draw(sh_id_root(7), 99), 3);
  EXPECT(sh_id_is_drawn(drawn) && sh_id_is_drawn(sh_id_child(drawn, 1)) && !sh_id_is_drawn(a));
  EXPECT_EQ(sh_digest_add(none, drawn, 0), sh_digest_add(none, sh_id_draw(a, 5), 0));
}

int main(void) {
  RUN(test_results_are_kept_while_the_task_runs);
  RUN(test_without_another_attempt_nothing_is_kept);
  RUN(test_large_results_are_kept_up_to_a_bound);
  RUN(test_the_next_attempt_is_told_after_a_death);
  RUN(test_a_live_process_hands_its_children_over);
  RUN(test_a_death_in_the_handing_over_changes_nothing);
  RUN(test_what_an_overdue_attempt_calls_before_it_is_killed_is_told);
  RUN(test_a_child_that_ended_before_it_could_be_cancelled_is_told);
  RUN(test_a_call_that_was_not_published_is_not_told);
  RUN(test_the_task_that_fails_for_good_lets_go);
  RUN(test_digests_tell_calls_apart_but_not_what_is_drawn);
  return 0;
}
