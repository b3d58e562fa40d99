/* SPDX-License-Identifier: Apache-2.0
 * What a process knows of what it holds (sh_local): by name, not by record; and nothing of it may be wrong while another
 * thread of the process waits for room in the log. */
#include "rig.h"

static rig r;

static bool alive(sh_ref ref) {
  return sh_entry_checked(&r.d.seg, ref) != NULL;
}

static void test_old_name_is_not_held_and_drops_nothing(void) {
  rig_open(&r, 0, 1);
  sh_ref before = rig_put(&r.driver, 1, 8);
  sh_ref_drop(&r.driver, before);
  sh_ref now = rig_put(&r.driver, 2, 8);
  EXPECT_EQ(now.index, before.index);
  EXPECT_EQ(sh_ref_take(&r.driver, before), SH_LOST);
  sh_ref_drop(&r.driver, before); /* a reference too many */
  EXPECT_EQ(rig_value(&r.driver, now), 2);
  sh_ref_drop(&r.driver, now);
  EXPECT(!alive(now));
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_reference_too_many_is_forgotten(void) {
  rig_open(&r, 1, 1);
  sh_ref ref = rig_put(&r.driver, 5, 8);
  sh_ref_share(&r.driver, ref);
  EXPECT_EQ(sh_ref_take(&r.worker[0], ref), SH_OK);
  sh_ref_drop(&r.worker[0], ref);
  sh_ref_drop(&r.worker[0], ref);
  EXPECT_EQ(sh_ref_take(&r.worker[0], ref), SH_OK);
  sh_ref_drop(&r.driver, ref);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.worker[0], ref), 5);
  sh_ref_drop(&r.worker[0], ref);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* The daemon counts a hold for the owner of an object that it has never given away. */
static void test_owner_that_is_told_of_its_own_object_keeps_it(void) {
  rig_open(&r, 0, 1);
  sh_ref ref = rig_put(&r.driver, 5, 8);
  EXPECT(sh_repair_hold_for(&r.d, r.driver.index, r.driver.epoch, ref));
  EXPECT_EQ(sh_ref_adopt(&r.driver, ref), SH_OK);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.driver, ref), 5);
  sh_ref_drop(&r.driver, ref);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.driver, ref), 5);
  sh_ref_drop(&r.driver, ref);
  rig_rounds(&r, 2);
  EXPECT(!alive(ref));
  rig_expect_empty(&r);
  rig_close(&r);
}

/* A view outlives the reference, which comes back by way of the daemon: the view is still known. */
static void test_adopted_object_keeps_its_pins(void) {
  rig_open(&r, 1, 1);
  sh_self *viewer = &r.worker[0];
  sh_ref ref = rig_put(&r.driver, 5, 100);
  sh_ref_share(&r.driver, ref);
  EXPECT_EQ(sh_ref_take(viewer, ref), SH_OK);
  sh_pin(viewer, ref);
  sh_ref_drop(viewer, ref);
  EXPECT(sh_repair_hold_for(&r.d, viewer->index, viewer->epoch, ref));
  EXPECT_EQ(sh_ref_adopt(viewer, ref), SH_OK);
  sh_unpin(viewer, ref);
  EXPECT_EQ(sh_load_relaxed(sh_pins_word(&r.d.seg, viewer->index, ref.index)), 0);
  sh_ref_drop(viewer, ref);
  sh_ref_drop(&r.driver, ref);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_only_who_pinned_unpins(void) {
  rig_open(&r, 0, 1);
  sh_ref before = rig_put(&r.driver, 1, 100);
  sh_ref_drop(&r.driver, before);
  sh_ref ref = rig_put(&r.driver, 5, 100);
  EXPECT_EQ(ref.index, before.index);
  sh_a64 *word = sh_pins_word(&r.d.seg, r.driver.index, ref.index);
  sh_unpin(&r.driver, ref); /* one too many */
  EXPECT_EQ(sh_load_relaxed(word), 0);
  sh_pin(&r.driver, ref);
  EXPECT(sh_load_relaxed(word) != 0);
  sh_unpin(&r.driver, before);
  EXPECT(sh_load_relaxed(word) != 0);
  sh_unpin(&r.driver, ref);
  EXPECT_EQ(sh_load_relaxed(word), 0);
  sh_ref_drop(&r.driver, ref);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_who_leaves_drops_nothing_that_it_dropped_before(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 4, NULL, 0), given = rig_put(&r.driver, 5, 8);
  sh_ref_share(&r.driver, given);
  EXPECT_EQ(sh_ref_take(&r.worker[0], given), SH_OK);
  sh_ref_drop(&r.worker[0], given);
  sh_ref_leave(&r.worker[0]);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.driver, given), 5);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(rig_value(&r.driver, out), 4);
  sh_ref_drop(&r.driver, given);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

static sh_ref wanted;
static bool met;

/* Meanwhile another thread of the worker takes it too, and who gave it drops it. */
static void take_too(sh_a32 *word, uint32_t seq, uint64_t ns) {
  (void)word, (void)seq, (void)ns;
  rig_rounds(&r, 1);
  if (met)
    return;
  met = true;
  EXPECT_EQ(sh_ref_take(&r.worker[0], wanted), SH_OK);
  sh_ref_drop(&r.driver, wanted);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.worker[0], wanted), 2);
}

static void test_full_log_and_an_object_that_was_held_before(void) {
  rig_open(&r, 1, 1);
  sh_ref other = rig_put(&r.driver, 1, 8);
  wanted = rig_put(&r.driver, 2, 8);
  met = false;
  sh_ref_share(&r.driver, other);
  sh_ref_share(&r.driver, wanted);
  EXPECT_EQ(sh_ref_take(&r.worker[0], wanted), SH_OK);
  sh_ref_drop(&r.worker[0], wanted);
  rig_rounds(&r, 2);
  while (sh_load_relaxed(&r.worker[0].me->x_log_tail) - sh_load_relaxed(&r.worker[0].me->x_log_counted) <
         SH_LOG_CELLS) {
    EXPECT_EQ(sh_ref_take(&r.worker[0], other), SH_OK);
    sh_ref_drop(&r.worker[0], other);
  }
  r.worker[0].wait_hook = take_too;
  EXPECT_EQ(sh_ref_take(&r.worker[0], wanted), SH_OK);
  EXPECT(met);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.worker[0], wanted), 2);
  sh_ref_drop(&r.worker[0], wanted);
  sh_ref_drop(&r.worker[0], wanted);
  sh_ref_drop(&r.driver, other);
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_old_name_is_not_held_and_drops_nothing);
  RUN(test_reference_too_many_is_forgotten);
  RUN(test_owner_that_is_told_of_its_own_object_keeps_it);
  RUN(test_adopted_object_keeps_its_pins);
  RUN(test_only_who_pinned_unpins);
  RUN(test_who_leaves_drops_nothing_that_it_dropped_before);
  RUN(test_full_log_and_an_object_that_was_held_before);
  return 0;
}
