/* SPDX-License-Identifier: Apache-2.0
 * Which children a process keeps, and what it writes of those that it does not; what damage to an origin does. */
#include "family.h"

static sh_self *w(void) {
  return &r.worker[0];
}
static uint32_t made(void) {
  return sh_load32_relaxed(&sh_slot_at(&r.d.seg, slot)->x_made);
}
static bool lives(sh_ref child) {
  return sh_entry_checked(&r.d.seg, child) != NULL;
}
static bool is_shared(sh_ref child) {
  return (w()->local[child.index].flags & SH_LOCAL_SHARED) != 0;
}
static sh_origin *origin(sh_ref child) {
  return sh_origin_at(&r.d.seg, child.index);
}

/* Whoever is there works, but for the parent. */
static void others_work(void) {
  while (rig_work(&r.worker[1]) || rig_work(&actor)) {
  }
}
/* The call at the head fills this much, and is not committed yet -> its slot. */
static uint32_t fill(sh_self *by, uint64_t bytes) {
  uint32_t claimed = rig_claim(by);
  rig_fill(by, claimed, bytes);
  return claimed;
}
static void finish(void) {
  others_work();
  finish_parent();
  EXPECT_EQ(w()->n_kept, 0);
  EXPECT_EQ(w()->kept_bytes, 0);
  end();
}

static void test_what_is_in_its_entry_costs_nothing(void) {
  begin(1);
  sh_ref small = call(0, r.class_id, 1, NULL), large = call(1, r.class_id, 1, NULL);
  EXPECT_EQ(sh_commit(&r.worker[1], fill(&r.worker[1], 8)), SH_OK);
  sh_ref_drop(w(), small);
  EXPECT_EQ(w()->n_kept, 1);
  EXPECT_EQ(w()->kept_bytes, 0);
  uint32_t filled = fill(&r.worker[1], 1000);
  sh_ref_drop(w(), large); /* its bytes count when it is resolved */
  EXPECT_EQ(w()->n_kept, 2);
  EXPECT_EQ(w()->kept_bytes, 0);
  EXPECT_EQ(sh_commit(&r.worker[1], filled), SH_OK);
  for (uint32_t n = 2; n < 4; n++) /* one look at the others for each that is added */
    sh_ref_drop(w(), call(n, r.class_id, 1, NULL));
  EXPECT(w()->kept_bytes >= 1000 && w()->kept_bytes < 2000);
  finish();
}

static void test_what_others_may_hold_is_not_kept(void) {
  begin(1);
  sh_ref shared = call(0, r.class_id, 1, NULL);
  sh_ref_share(w(), shared);
  sh_ref_drop(w(), shared);
  EXPECT_EQ(w()->n_kept, 0);
  EXPECT_EQ(made(), 0); /* a task: it is run again if it has to be */
  finish();
}

static void test_a_result_that_names_objects_is_not_kept(void) {
  begin(1);
  sh_ref child = call(0, r.class_id, 1, NULL), inside = rig_put(&r.worker[1], 1, 8);
  uint32_t claimed = rig_claim(&r.worker[1]);
  uint8_t *data;
  sh_ref_share(&r.worker[1], inside);
  EXPECT_EQ(sh_fill(&r.worker[1], child, sizeof(sh_payload) + sizeof(sh_row), SH_VALUE_HAS_REFS, &data), SH_OK);
  sh_payload head = {.version = SH_PAYLOAD_VERSION, .n_rows = 1};
  sh_row row = {.index = inside.index, .generation = inside.generation};
  memcpy(data, &head, sizeof head);
  memcpy(data + sizeof head, &row, sizeof row);
  sh_log_append(&r.worker[1], SH_LOG_CONTAINS, child);
  sh_ref_drop(&r.worker[1], inside);
  EXPECT_EQ(sh_commit(&r.worker[1], claimed), SH_OK);
  sh_ref_drop(w(), child);
  EXPECT_EQ(w()->n_kept, 0);
  finish();
}

static void test_no_more_are_kept_than_there_is_room_for(void) {
  begin(1);
  w()->kept = calloc(SH_KEPT_MAX, sizeof *w()->kept); /* all but one are of another task */
  w()->cap_kept = SH_KEPT_MAX;
  w()->n_kept = SH_KEPT_MAX - 1U;
  sh_ref last = call(0, r.class_id, 1, NULL), more = call(1, r.class_id, 1, NULL);
  others_work();
  sh_ref_drop(w(), last);
  sh_ref_drop(w(), more);
  EXPECT_EQ(w()->n_kept, SH_KEPT_MAX);
  EXPECT(lives(last) && !lives(more));
  EXPECT_EQ(made(), 0);
  w()->kept[0] = w()->kept[SH_KEPT_MAX - 1U];
  w()->n_kept = 1;
  finish();
}

static void test_large_results_of_tasks_are_let_go_without_a_word(void) {
  begin(1);
  uint64_t bytes = sh_kept_limit(w()) / 2U + 1U;
  for (uint32_t n = 0; n < 4; n++) {
    sh_ref child = call(n, r.class_id, 1, NULL);
    if (n % 2U)
      sh_ref_drop(w(), child);
    EXPECT_EQ(sh_commit(&r.worker[1], fill(&r.worker[1], bytes)), SH_OK);
    if (n % 2U == 0)
      sh_ref_drop(w(), child);
  }
  EXPECT(w()->kept_bytes <= sh_kept_limit(w()));
  sh_ref_drop(w(), call(4, r.class_id, 1, NULL));
  EXPECT_EQ(made(), 0);
  finish();
}

/* The places of an actor's calls that are let go of in any order: all below the last one were made. */
static void test_the_last_place_counts(void) {
  begin(1);
  sh_ref calls[3];
  for (uint32_t n = 0; n < 3; n++) {
    calls[n] = call(n, actor_class, 1, NULL);
    sh_ref_share(w(), calls[n]);
  }
  sh_ref_drop(w(), calls[1]);
  EXPECT_EQ(made(), 2);
  sh_ref_drop(w(), calls[0]);
  EXPECT_EQ(made(), 2);
  sh_ref_drop(w(), calls[2]);
  EXPECT_EQ(made(), 3);
  (void)call(3, r.class_id, 0, NULL); /* a task without returns: it may be run again */
  EXPECT_EQ(made(), 3);
  (void)call(SH_MADE_BELOW, actor_class, 0, NULL); /* a place that cannot be said */
  EXPECT_EQ(made(), 3);
  (void)call(4, actor_class, 0, NULL);
  EXPECT_EQ(made(), 5);
  finish();
}

/* A handle, and what comes in a stream, end with their last reference; they are not found after a death either. */
static void test_actors_and_streams_are_not_kept(void) {
  begin(2);
  sh_ref stream[2], created;
  call_as(0, actor_class, 1, NULL, SH_SLOT_CREATES_ACTOR, &created);
  call_as(1, r.class_id, 2, NULL, SH_SLOT_STREAM, stream);
  EXPECT(!sh_origin_of(&r.d.seg, stream[SH_STREAM_TAIL]));
  EXPECT(sh_origin_of(&r.d.seg, stream[1U - SH_STREAM_TAIL]));
  for (uint32_t i = 0; i < 2; i++)
    sh_ref_drop(w(), stream[i]);
  sh_ref_drop(w(), created);
  EXPECT_EQ(w()->n_kept, 0);
  EXPECT_EQ(made(), 0); /* creating another actor applies nothing twice */
  sh_ref pair[2];
  call_as(2, r.class_id, 2, NULL, 0, pair);
  for (uint32_t i = 0; i < 2; i++)
    EXPECT(sh_origin_of(&r.d.seg, pair[i]));
  rig_rounds(&r, 1);
  uint32_t index = w()->index;
  sh_self_close(w());
  sh_repair_round(&r.d, (int32_t)index);
  EXPECT_EQ(r.d.counts.n_kept, 2);
  rig_attach(&r, w(), SH_ROLE_WORKER, -1, RIG_ROOT);
  uint32_t claimed;
  while ((claimed = rig_claim(w())) != rig_task_of(&r, out).index) {
    if (sh_slot_at(&r.d.seg, claimed)->flags & SH_SLOT_STREAM)
      rig_end_stream(w(), claimed);
    else
      rig_finish(w(), claimed);
  }
  slot = claimed;
  sh_child found[2];
  EXPECT_EQ(sh_repair_children(&r.d, w()->index, w()->epoch, rig_task_of(&r, out), NULL, 0), 2);
  EXPECT_EQ(children(found, 1), 2);
  sh_ref_drop(w(), found[0].r);
  finish();
}

static void test_children_end_with_their_own_task(void) {
  begin(1);
  sh_ref kept = call(0, r.class_id, 1, NULL), held = call(1, r.class_id, 1, NULL);
  sh_ref_drop(w(), kept);
  others_work();
  sh_children_end(w(), parent() + 1U); /* another task's */
  EXPECT(lives(kept));
  finish_parent();
  EXPECT(!lives(kept));
  sh_ref_drop(w(), held); /* its task is over: nobody asks for it any more */
  EXPECT(!lives(held));
  EXPECT_EQ(w()->n_kept, 0);
  end();
}

static void test_a_task_without_another_attempt_hands_nothing_over(void) {
  begin(0);
  sh_ref child = call(0, r.class_id, 1, NULL);
  sh_children_hand_over(w(), slot, true, true);
  EXPECT_EQ(made(), 0);
  rig_rounds(&r, 1);
  EXPECT_EQ(r.d.counts.n_kept, 0);
  sh_ref_drop(w(), child);
  finish();
}

static void test_only_its_own_children_are_handed_over(void) {
  begin(2);
  sh_ref own = call(0, r.class_id, 1, NULL), other = call(1, r.class_id, 1, NULL),
         adopted = call(2, r.class_id, 1, NULL);
  origin(other)->parent += 1U; /* of another task that this process runs */
  sh_ref put = rig_put(w(), 5, 8);
  uint64_t task = parent();
  sh_children_hand_over(w(), slot, false, false);
  rig_rounds(&r, 1);
  EXPECT_EQ(r.d.counts.n_kept, 0);
  sh_children_hand_over(w(), slot, true, false);
  EXPECT(is_shared(own) && is_shared(adopted) && !is_shared(other) && !is_shared(put));
  EXPECT(sh_retry(w(), slot));
  rig_rounds(&r, 1);
  EXPECT_EQ(r.d.counts.n_kept, 2);
  sh_ref all[] = {own, other, adopted, put};
  for (uint32_t i = 0; i < 4; i++)
    sh_ref_drop(w(), all[i]);
  sh_children_end(w(), task);
  run_parent();
  finish();
}

/* The log is full. While it is waited for, another thread of the task lets go of the child, and perhaps makes an object. */
static sh_ref held_by_a_thread, made_by_it;
static bool makes_one;
static void let_go_meanwhile(sh_a32 *word, uint32_t seq, uint64_t ns) {
  (void)word, (void)seq, (void)ns;
  sh_ref_drop(w(), held_by_a_thread);
  if (makes_one)
    made_by_it = rig_put(w(), 6, 8);
  (void)sh_counts_read(&r.d.counts);
}

static void hand_over_while_a_child_goes(bool and_another_comes) {
  begin(2);
  makes_one = and_another_comes;
  held_by_a_thread = call(0, r.class_id, 1, NULL);
  sh_ref other = call(1, r.class_id, 1, NULL), put = rig_put(w(), 5, 8);
  EXPECT_EQ(sh_commit(&r.worker[1], fill(&r.worker[1], sh_kept_limit(w()) + 1U)), SH_OK);
  others_work();
  sh_ref_share(w(), put);
  rig_rounds(&r, 1);
  uint64_t counted = sh_load_relaxed(&w()->me->x_log_counted);
  for (uint32_t n = 0; sh_load_relaxed(&w()->me->x_log_tail) - counted < SH_LOG_CELLS; n++)
    sh_log_append(w(), n % 2U ? SH_LOG_DROP : SH_LOG_HOLD, put);
  void (*before)(sh_a32 *, uint32_t, uint64_t) = w()->wait_hook;
  w()->wait_hook = let_go_meanwhile;
  uint64_t task = parent();
  sh_children_hand_over(w(), slot, true, true);
  w()->wait_hook = before;
  EXPECT(!lives(held_by_a_thread));
  if (makes_one) {
    EXPECT_EQ(made_by_it.index, held_by_a_thread.index);
    EXPECT(lives(made_by_it) && !is_shared(made_by_it));
    sh_ref_drop(w(), made_by_it);
  }
  EXPECT(sh_retry(w(), slot));
  rig_rounds(&r, 1);
  EXPECT_EQ(r.d.counts.n_kept, 1);
  sh_ref_drop(w(), other);
  sh_ref_drop(w(), put);
  sh_children_end(w(), task);
  run_parent();
  finish();
}

static void test_a_child_that_goes_while_the_log_is_full_is_not_handed_over(void) {
  hand_over_while_a_child_goes(false);
  hand_over_while_a_child_goes(true);
}

/* Of a task that ended, or of one in its slot before: it is nobody's child any more. */
static void test_children_of_other_attempts_are_not_collected(void) {
  begin(2);
  sh_ref past = call(0, r.class_id, 1, NULL), own = call(1, r.class_id, 1, NULL);
  origin(past)->parent = sh_ref_pack((sh_ref){.index = slot, .generation = rig_task_of(&r, out).generation + 1U});
  uint32_t index = w()->index;
  sh_self_close(w());
  sh_sweep_client(&r.d, index);
  EXPECT_EQ(r.d.counts.n_kept, 1); /* before the next look lets go of what is nobody's */
  EXPECT(lives(own));
  rig_attach(&r, w(), SH_ROLE_WORKER, -1, RIG_ROOT);
  run_parent();
  finish();
}

static void test_a_kept_child_whose_origin_is_damaged_is_let_go(void) {
  begin(1);
  sh_ref kept = call(0, r.class_id, 1, NULL);
  sh_ref_drop(w(), kept);
  EXPECT_EQ(w()->n_kept, 1);
  sh_store32_relaxed(&origin(kept)->x_generation, 0);
  sh_ref_drop(w(), call(1, r.class_id, 1, NULL)); /* one look at those that are kept */
  EXPECT_EQ(w()->n_kept, 2);
  finish();
}

/* What a peer wrote over leads nowhere, and is not followed. */
static void test_damaged_origins_are_survived(void) {
  static const uint64_t wild[] = {0, UINT64_MAX, 0xFFFFFFFFU, ((uint64_t)1 << 32) | 0x7FFFFFFFU};
  begin(2);
  for (uint32_t i = 0; i < 4; i++) {
    sh_ref child = call(i, r.class_id, 1, NULL);
    origin(child)->parent = wild[i];
    sh_ref_drop(w(), child);
  }
  EXPECT_EQ(w()->n_kept, 0);
  sh_ref put = rig_put(w(), 1, 8);
  sh_log_append(w(), SH_LOG_KEEP, put); /* of no call */
  rig_rounds(&r, 1);
  EXPECT_EQ(r.d.counts.n_kept, 0);
  sh_ref_drop(w(), put);
  sh_ref lost = call(4, r.class_id, 1, NULL);
  sh_store32_relaxed(&origin(lost)->x_generation, 0);
  sh_ref_drop(w(), lost);
  EXPECT_EQ(w()->n_kept, 0);
  sh_ref held = call(6, r.class_id, 1, NULL), orphan = call(7, r.class_id, 1, NULL);
  origin(held)->parent = UINT64_MAX;
  others_work();
  sh_store_relaxed(&sh_entry_at(&r.d.seg, orphan.index)->producer, UINT64_MAX);
  uint32_t index = w()->index;
  sh_self_close(w());
  sh_repair_round(&r.d, (int32_t)index);
  EXPECT_EQ(r.d.counts.n_kept, 1); /* it is resolved: whose it was does not matter */
  sh_store32_relaxed(&origin(orphan)->x_generation, 0);
  rig_attach(&r, w(), SH_ROLE_WORKER, -1, RIG_ROOT);
  run_parent();
  EXPECT_EQ(children(NULL, 0), 0);
  finish();
}

int main(void) {
  RUN(test_what_is_in_its_entry_costs_nothing);
  RUN(test_what_others_may_hold_is_not_kept);
  RUN(test_a_result_that_names_objects_is_not_kept);
  RUN(test_no_more_are_kept_than_there_is_room_for);
  RUN(test_large_results_of_tasks_are_let_go_without_a_word);
  RUN(test_the_last_place_counts);
  RUN(test_actors_and_streams_are_not_kept);
  RUN(test_children_end_with_their_own_task);
  RUN(test_a_task_without_another_attempt_hands_nothing_over);
  RUN(test_only_its_own_children_are_handed_over);
  RUN(test_a_child_that_goes_while_the_log_is_full_is_not_handed_over);
  RUN(test_children_of_other_attempts_are_not_collected);
  RUN(test_a_kept_child_whose_origin_is_damaged_is_let_go);
  RUN(test_damaged_origins_are_survived);
  return 0;
}
