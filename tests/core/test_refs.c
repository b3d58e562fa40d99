/* SPDX-License-Identifier: Apache-2.0
 * References: freed by the owner alone while unshared; counted from the logs once shared; containers without recursion. */
#include "rig.h"

/* A million releases take many times what one round of the repair thread spends on them. */
#define FEW_ROUNDS 3U

static rig r;

static bool alive(sh_ref ref) {
  return sh_entry_checked(&r.d.seg, ref) != NULL;
}

static uint64_t log_events(void) {
  sh_stats stats;
  sh_repair_stats(&r.d, &stats);
  return stats.log_events;
}

static void test_unshared_object_dies_without_an_event(void) {
  rig_open(&r, 1, 1);
  sh_ref ref = rig_put(&r.driver, 1, 8);
  sh_ref_again(&r.driver, ref);
  sh_ref_drop(&r.driver, ref);
  EXPECT(alive(ref));
  sh_ref_drop(&r.driver, ref);
  EXPECT(!alive(ref));
  sh_ref_drop(&r.driver, ref); /* a reference too many does no harm */
  EXPECT_EQ(log_events(), 0);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_receiver_keeps_what_the_giver_dropped(void) {
  rig_open(&r, 1, 1);
  sh_ref ref = rig_put(&r.driver, 5, 8);
  sh_ref_share(&r.driver, ref);
  EXPECT_EQ(sh_ref_take(&r.worker[0], ref), SH_OK);
  sh_ref_drop(&r.driver, ref);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.worker[0], ref), 5);
  sh_ref_drop(&r.worker[0], ref);
  rig_rounds(&r, 1);
  EXPECT(!alive(ref));
  EXPECT_EQ(sh_ref_take(&r.worker[0], ref), SH_LOST);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_drop_may_be_read_before_the_hold_that_covers_it(void) {
  /* The worker's hold is logged before the driver's drop, but the driver's log is read first. */
  rig_open(&r, 1, 1);
  for (uint32_t i = 0; i < 50; i++) {
    sh_ref ref = rig_put(&r.driver, i, 8);
    sh_ref_share(&r.driver, ref);
    if (i % 2)
      rig_rounds(&r, 1);
    EXPECT_EQ(sh_ref_take(&r.worker[0], ref), SH_OK);
    sh_ref_drop(&r.driver, ref);
    rig_rounds(&r, 1);
    EXPECT(alive(ref));
    sh_ref_drop(&r.worker[0], ref);
  }
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_task_holds_its_arguments_until_it_is_done(void) {
  rig_open(&r, 1, 1);
  sh_ref arg = rig_put(&r.driver, 3, 100);
  sh_ref out = rig_submit_one(&r, 1, &arg, 1);
  sh_ref_drop(&r.driver, arg);
  rig_rounds(&r, 2);
  EXPECT(alive(arg));
  EXPECT(rig_work(&r.worker[0]));
  rig_rounds(&r, 2);
  EXPECT(!alive(arg));
  EXPECT_EQ(rig_value(&r.driver, out), 4);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_container_holds_its_children(void) {
  rig_open(&r, 1, 1);
  sh_ref children[3] = {rig_put(&r.driver, 1, 8), rig_put(&r.driver, 2, 100), rig_submit_one(&r, 9, NULL, 0)};
  sh_ref inner = rig_put_container(&r.driver, children, 3);
  sh_ref pair[2] = {inner, inner}; /* the same child twice */
  sh_ref outer = rig_put_container(&r.driver, pair, 2);
  for (uint32_t i = 0; i < 3; i++)
    sh_ref_drop(&r.driver, children[i]);
  sh_ref_drop(&r.driver, inner);
  rig_work_all(&r);
  EXPECT(alive(inner) && alive(children[0]) && alive(children[1]) && alive(children[2]));
  sh_ref_drop(&r.driver, outer);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_long_chain_of_containers_is_freed_without_recursion(void) {
  enum { N = 10000 }; /* deep enough to end a recursive release, with 100-byte frames, in the small segment's pool */
  rig_open(&r, 0, 1);
  sh_ref ref = rig_put(&r.driver, 1, 8);
  for (uint32_t i = 0; i < N; i++) {
    sh_ref outer = rig_put_container(&r.driver, &ref, 1);
    sh_ref_drop(&r.driver, ref);
    ref = outer;
    if (i % 1000 == 0)
      rig_rounds(&r, 1); /* read the log: it has room for 16,384 events */
  }
  rig_rounds(&r, 2);
  sh_stats stats;
  sh_repair_stats(&r.d, &stats);
  EXPECT_EQ(stats.live_entries, N + 1);
  sh_ref_drop(&r.driver, ref);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* A node of full size: room for a million objects. */
static void open_large(void) {
  memset(&r, 0, sizeof r);
  sh_segment_config config = {.store_bytes = 512ULL << 20, .n_seats = 1, .cores = 2};
  EXPECT_EQ(sh_repair_open(&r.d, &config), SH_OK);
  rig_attach(&r, &r.driver, SH_ROLE_DRIVER, -1, RIG_ROOT);
}

/* Rounds until everything is freed. */
static uint32_t rounds_until_freed(void) {
  uint32_t n = 0;
  do
    rig_rounds(&r, 1);
  while (n++, r.d.counts.n_work);
  return n;
}

static void test_very_long_chain_on_a_full_size_segment(void) {
  enum { N = 1000000 };
  open_large();
  sh_ref ref = rig_put(&r.driver, 1, 8);
  for (uint32_t i = 0; i < N; i++) {
    sh_ref outer = rig_put_container(&r.driver, &ref, 1);
    sh_ref_drop(&r.driver, ref);
    ref = outer;
    if (i % 4000 == 0)
      rig_rounds(&r, 1);
  }
  sh_ref_drop(&r.driver, ref);
  EXPECT(rounds_until_freed() > FEW_ROUNDS);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_large_container_is_freed_in_slices(void) {
  enum { N = 1000000 };
  open_large();
  sh_ref *children = malloc(N * sizeof *children);
  for (uint32_t i = 0; i < N; i++) {
    children[i] = rig_put(&r.driver, i, 8);
    sh_ref_share(&r.driver, children[i]);
    if (i % 4000 == 0)
      rig_rounds(&r, 1);
  }
  sh_ref outer = rig_put_container(&r.driver, children, N);
  (void)rounds_until_freed();
  for (uint32_t i = 0; i < N; i++) {
    sh_ref_drop(&r.driver, children[i]);
    if (i % 4000 == 0)
      rig_rounds(&r, 1);
  }
  sh_ref_drop(&r.driver, outer);
  EXPECT(rounds_until_freed() > FEW_ROUNDS);
  free(children);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_objects_of_a_dead_client_are_freed_in_slices(void) {
  enum { N = 1000000 };
  open_large();
  sh_self victim;
  rig_attach(&r, &victim, SH_ROLE_DRIVER, -1, RIG_ROOT);
  for (uint32_t i = 0; i < N; i++) {
    sh_ref ref = rig_put(&victim, i, 8);
    if (i % 2)
      sh_ref_share(&victim, ref);
    if (i % 4000 == 0)
      rig_rounds(&r, 1);
  }
  rig_detach(&r, &victim);
  sh_stats stats;
  sh_repair_stats(&r.d, &stats);
  EXPECT(stats.live_entries > N / 2); /* the sweep has listed them, and releases a slice */
  EXPECT(rounds_until_freed() > FEW_ROUNDS);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_returned_container_is_counted_for_its_owner(void) {
  rig_open(&r, 1, 1);
  uint32_t slot;
  sh_ref out = rig_submit_one(&r, 0, NULL, 0);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  sh_ref inside = rig_put(&r.worker[0], 6, 8);
  rig_fill_container(&r.worker[0], out, inside);
  EXPECT_EQ(sh_commit(&r.worker[0], slot), SH_OK);
  sh_ref_drop(&r.worker[0], inside);
  rig_rounds(&r, 2);
  EXPECT(alive(inside));
  EXPECT_EQ(sh_ref_take(&r.driver, inside), SH_OK); /* unpickled */
  sh_ref_drop(&r.driver, out);
  rig_rounds(&r, 2);
  EXPECT(!alive(out));
  EXPECT_EQ(rig_value(&r.driver, inside), 6);
  sh_ref_drop(&r.driver, inside);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_buried_references_are_dropped_by_the_next_flush(void) {
  enum { N = 1000 };
  rig_open(&r, 0, 1);
  for (uint32_t i = 0; i < N; i++)
    sh_ref_bury(&r.driver, rig_put(&r.driver, i, 100));
  sh_stats stats;
  sh_repair_stats(&r.d, &stats);
  EXPECT_EQ(stats.live_entries, N);
  sh_ref_flush(&r.driver);
  rig_expect_empty(&r);
  sh_ref ref = rig_put(&r.driver, 1, 8);
  sh_self_forked(&r.driver);
  sh_ref_bury(&r.driver, ref);
  EXPECT_EQ(r.driver.n_dead, 0);
  EXPECT_EQ(sh_self_usable(&r.driver), SH_INVALID);
  rig_close(&r);
}

static void test_daemon_may_hold(void) {
  rig_open(&r, 0, 1);
  sh_ref ref = rig_put(&r.driver, 1, 8);
  sh_ref_share(&r.driver, ref);
  EXPECT(sh_repair_hold(&r.d, ref));
  sh_ref_drop(&r.driver, ref);
  rig_rounds(&r, 2);
  EXPECT(alive(ref));
  sh_repair_drop(&r.d, ref);
  EXPECT(!sh_repair_hold(&r.d, ref));
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_drop_of_the_daemon_comes_after_holds_that_it_has_not_read(void) {
  rig_open(&r, 1, 1);
  sh_ref ref = rig_put(&r.driver, 7, 100);
  sh_ref_share(&r.driver, ref);
  EXPECT(sh_repair_hold(&r.d, ref));
  sh_ref_drop(&r.driver, ref);
  rig_rounds(&r, 2); /* from here on only the daemon holds it */
  EXPECT_EQ(sh_ref_take(&r.worker[0], ref), SH_OK);
  sh_repair_drop(&r.d, ref);
  EXPECT_EQ(rig_value(&r.worker[0], ref), 7);
  sh_ref_drop(&r.worker[0], ref);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_object_that_the_daemon_tells_of_is_held_for_who_is_told(void) {
  rig_open(&r, 2, 1);
  sh_self *asker = &r.worker[0];
  sh_ref ref = rig_put(&r.driver, 7, 100);
  sh_ref_share(&r.driver, ref);
  EXPECT(!sh_repair_hold_for(&r.d, asker->index, asker->epoch + 1U, ref)); /* another process's record by now */
  EXPECT(sh_repair_hold_for(&r.d, asker->index, asker->epoch, ref));
  sh_ref_drop(&r.driver, ref);
  rig_rounds(&r, 2);
  EXPECT_EQ(sh_ref_adopt(asker, ref), SH_OK);
  EXPECT(sh_repair_hold_for(&r.d, asker->index, asker->epoch, ref)); /* told once more */
  EXPECT_EQ(sh_ref_adopt(asker, ref), SH_OK);
  sh_ref_drop(asker, ref);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(asker, ref), 7);
  sh_ref_drop(asker, ref);
  rig_rounds(&r, 2);
  EXPECT(!alive(ref));
  EXPECT(!sh_repair_hold_for(&r.d, asker->index, asker->epoch, ref));
  ref = rig_put(&r.driver, 8, 100);
  sh_ref_share(&r.driver, ref);
  EXPECT(sh_repair_hold_for(&r.d, asker->index, asker->epoch, ref)); /* and it dies before it takes it */
  sh_ref_drop(&r.driver, ref);
  rig_detach(&r, asker);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* What another thread of the process does while one waits for room in the log. */
static void (*meanwhile)(void);
static sh_ref wanted;

static void wait_and_let_others_run(sh_a32 *word, uint32_t seq, uint64_t ns) {
  (void)word, (void)seq, (void)ns;
  rig_rounds(&r, 1);
  void (*act)(void) = meanwhile;
  meanwhile = NULL;
  if (act)
    act();
}

static void wait_for_nothing(sh_a32 *word, uint32_t seq, uint64_t ns) {
  (void)word, (void)seq, (void)ns;
  meanwhile();
  meanwhile = NULL;
}

static void fill_log(sh_self *self, sh_ref ref) {
  while (sh_load_relaxed(&self->me->x_log_tail) - sh_load_relaxed(&self->me->x_log_counted) < SH_LOG_CELLS) {
    EXPECT_EQ(sh_ref_take(self, ref), SH_OK);
    sh_ref_drop(self, ref);
  }
  self->wait_hook = wait_and_let_others_run;
}

static void take_too(void) {
  EXPECT_EQ(sh_ref_take(&r.worker[0], wanted), SH_OK);
}

static void share_and_give(void) {
  sh_ref_share(&r.driver, wanted);
  EXPECT_EQ(sh_ref_take(&r.worker[0], wanted), SH_OK);
  sh_ref_drop(&r.worker[0], wanted);
  rig_rounds(&r, 2); /* the driver's own hold must have been logged */
  EXPECT_EQ(rig_value(&r.driver, wanted), 3);
}

static void test_full_log_lets_other_threads_take_and_share_the_same(void) {
  rig_open(&r, 1, 1);
  sh_ref other = rig_put(&r.driver, 1, 8);
  wanted = rig_put(&r.driver, 2, 100);
  sh_ref_share(&r.driver, other);
  sh_ref_share(&r.driver, wanted);
  rig_rounds(&r, 1);
  fill_log(&r.worker[0], other);
  meanwhile = take_too;
  EXPECT_EQ(sh_ref_take(&r.worker[0], wanted), SH_OK);
  EXPECT(!meanwhile);
  sh_ref_drop(&r.driver, wanted);
  sh_ref_drop(&r.worker[0], wanted);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.worker[0], wanted), 2);
  sh_ref_drop(&r.worker[0], wanted);

  wanted = rig_put(&r.driver, 3, 100);
  sh_ref_drop(&r.driver, other);
  other = rig_put(&r.worker[0], 4, 8);
  sh_ref_share(&r.worker[0], other);
  rig_rounds(&r, 1);
  fill_log(&r.driver, other);
  meanwhile = share_and_give;
  sh_ref_share(&r.driver, wanted);
  EXPECT(!meanwhile);
  rig_rounds(&r, 2);
  sh_ref_drop(&r.worker[0], other);
  sh_ref_drop(&r.driver, wanted);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_who_leaves_keeps_only_what_it_looks_at(void) {
  rig_open(&r, 1, 1);
  sh_ref given = rig_put(&r.driver, 1, 8), pinned = rig_put(&r.worker[0], 2, 100);
  sh_ref_share(&r.driver, given);
  EXPECT_EQ(sh_ref_take(&r.worker[0], given), SH_OK);
  sh_ref_again(&r.worker[0], given);
  (void)rig_put(&r.worker[0], 3, 8);
  sh_pin(&r.worker[0], pinned);
  sh_ref_leave(&r.worker[0]);
  sh_ref_drop(&r.driver, given);
  rig_rounds(&r, 2);
  sh_stats stats;
  sh_repair_stats(&r.d, &stats);
  EXPECT_EQ(stats.live_entries, 1);
  EXPECT_EQ(rig_value(&r.worker[0], pinned), 2);
  sh_ref_drop(&r.worker[0], given); /* too late, and harmless */
  rig_detach(&r, &r.worker[0]);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void lose(void) {
  sh_self_lost(&r.driver);
}

static void test_full_log_of_a_lost_node_ends_the_wait(void) {
  rig_open(&r, 1, 1);
  sh_ref other = rig_put(&r.worker[0], 1, 8), mine = rig_put(&r.driver, 2, 8);
  sh_ref_share(&r.worker[0], other);
  rig_rounds(&r, 1);
  fill_log(&r.driver, other);
  r.driver.wait_hook = wait_for_nothing;
  meanwhile = lose;
  sh_ref_share(&r.driver, mine);
  EXPECT(!meanwhile);
  EXPECT_EQ(sh_self_usable(&r.driver), SH_FENCED);
  rig_close(&r);
}

static void test_actor_without_handles_is_told(void) {
  rig_open(&r, 0, 1);
  sh_self actor;
  uint32_t class_id = rig_actor(&r, &actor);
  sh_ref handle;
  rig_call create = {.class_id = class_id, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL | SH_SLOT_CREATES_ACTOR};
  rig_submit(&r.driver, &create, &handle);
  EXPECT(rig_work(&actor));
  EXPECT(!sh_should_exit(&actor));
  sh_ref call;
  rig_call method = {.class_id = class_id, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL, .addend = 3};
  rig_submit(&r.driver, &method, &call);
  sh_ref_drop(&r.driver, handle);
  rig_rounds(&r, 2);
  EXPECT(!sh_should_exit(&actor)); /* its queued call comes first */
  EXPECT(rig_work(&actor));
  EXPECT(!rig_work(&actor));
  EXPECT(sh_should_exit(&actor));
  EXPECT_EQ(rig_value(&r.driver, call), 3);
  sh_event events[16];
  bool told = false;
  for (uint32_t i = sh_repair_events(&r.d, events, 16); i > 0; i--)
    told |= events[i - 1].kind == SH_EVENT_ACTOR_UNREFERENCED && events[i - 1].a == (int64_t)class_id;
  EXPECT(told);
  sh_ref_drop(&r.driver, call);
  rig_detach(&r, &actor);
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_unshared_object_dies_without_an_event);
  RUN(test_receiver_keeps_what_the_giver_dropped);
  RUN(test_drop_may_be_read_before_the_hold_that_covers_it);
  RUN(test_task_holds_its_arguments_until_it_is_done);
  RUN(test_container_holds_its_children);
  RUN(test_long_chain_of_containers_is_freed_without_recursion);
  RUN(test_very_long_chain_on_a_full_size_segment);
  RUN(test_large_container_is_freed_in_slices);
  RUN(test_objects_of_a_dead_client_are_freed_in_slices);
  RUN(test_returned_container_is_counted_for_its_owner);
  RUN(test_buried_references_are_dropped_by_the_next_flush);
  RUN(test_daemon_may_hold);
  RUN(test_drop_of_the_daemon_comes_after_holds_that_it_has_not_read);
  RUN(test_object_that_the_daemon_tells_of_is_held_for_who_is_told);
  RUN(test_full_log_lets_other_threads_take_and_share_the_same);
  RUN(test_who_leaves_keeps_only_what_it_looks_at);
  RUN(test_full_log_of_a_lost_node_ends_the_wait);
  RUN(test_actor_without_handles_is_told);
  return 0;
}
