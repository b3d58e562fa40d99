/* SPDX-License-Identifier: Apache-2.0
 * The counts that the daemon keeps: events that come twice, too late, or name what never was change nothing that lives. */
#include "rig.h"

#include <sys/resource.h>

static rig r;

static sh_counts *counts(void) {
  return &r.d.counts;
}

/* A shared object, and the name of the one that had its entry before. */
static sh_ref put_after_another(sh_self *self, uint64_t value, sh_ref *before) {
  *before = rig_put(self, 1, 8);
  sh_ref_drop(self, *before);
  sh_ref now = rig_put(self, value, 8);
  EXPECT_EQ(now.index, before->index);
  EXPECT(now.generation != before->generation);
  sh_ref_share(self, now);
  return now;
}

static const sh_ref nowhere = {.index = 0x7FFFFFFFU, .generation = 1};

static void test_events_of_what_is_gone_count_for_nothing(void) {
  rig_open(&r, 1, 1);
  sh_ref before, now = put_after_another(&r.driver, 7, &before);
  EXPECT_EQ(sh_ref_take(&r.worker[0], now), SH_OK);
  rig_rounds(&r, 2);
  static const sh_log_kind kinds[] = {SH_LOG_DROP, SH_LOG_HOLD, SH_LOG_CONTAINS, SH_LOG_FREE, SH_LOG_DONE, SH_LOG_SUB};
  for (uint32_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    sh_log_append(&r.worker[0], kinds[i], nowhere);
    if (kinds[i] != SH_LOG_SUB && kinds[i] != SH_LOG_DONE)
      sh_log_append(&r.worker[0], kinds[i], before);
    rig_rounds(&r, 2);
  }
  sh_ref_drop(&r.worker[0], now);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.driver, now), 7); /* by the driver's own unit, counted before */
  sh_ref_drop(&r.driver, now);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_rows_are_counted_once(void) {
  rig_open(&r, 0, 1);
  sh_ref child = rig_put(&r.driver, 3, 8);
  sh_ref outer = rig_put_container(&r.driver, &child, 1);
  EXPECT(!sh_counts_knows(counts(), outer)); /* the log has not been read */
  rig_rounds(&r, 1);
  EXPECT(sh_counts_knows(counts(), outer));
  EXPECT(!sh_counts_knows(counts(), child));
  EXPECT(!sh_counts_knows(counts(), nowhere));
  sh_log_append(&r.driver, SH_LOG_CONTAINS, outer);
  sh_ref_drop(&r.driver, child);
  sh_ref_share(&r.driver, outer);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.driver, child), 3);
  sh_ref_drop(&r.driver, outer);
  rig_rounds(&r, 2);
  EXPECT(!sh_entry_checked(&r.d.seg, child));
  rig_expect_empty(&r);
  rig_close(&r);
}

/* The daemon forgets what a worker filled: rows that were counted are let go, others were never held. */
static void test_value_that_is_thrown_away_gives_up_only_rows_that_were_counted(void) {
  rig_open(&r, 1, 1);
  sh_ref child = rig_put(&r.driver, 3, 8);
  sh_ref_share(&r.driver, child);
  sh_ref outer = rig_put_container(&r.driver, &child, 1);
  sh_counts_unfill(counts(), outer); /* before its log is read */
  EXPECT(!sh_counts_work(counts(), SH_COUNTS_ALL));
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.driver, child), 3);
  sh_ref_drop(&r.driver, outer);

  outer = rig_put_container(&r.driver, &child, 1);
  sh_ref_drop(&r.driver, child);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.driver, child), 3); /* by its row only */
  sh_counts_unfill(counts(), outer);
  EXPECT(!sh_counts_work(counts(), SH_COUNTS_ALL));
  EXPECT(!sh_entry_checked(&r.d.seg, child));
  sh_ref_drop(&r.driver, outer);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_old_name_throws_nothing_away(void) {
  rig_open(&r, 1, 1);
  sh_ref before, now = put_after_another(&r.driver, 7, &before);
  rig_rounds(&r, 2);
  sh_counts_unfill(counts(), before);
  EXPECT_EQ(rig_value(&r.driver, now), 7);
  sh_ref_drop(&r.driver, now);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_end_of_a_task_frees_no_later_one_in_its_slot(void) {
  rig_open(&r, 1, 1);
  sh_ref arg = rig_put(&r.driver, 3, 8);
  sh_ref first = rig_submit_one(&r, 1, &arg, 1), task = rig_task_of(&r, first);
  EXPECT(rig_work(&r.worker[0]));
  rig_rounds(&r, 2);
  sh_ref second = rig_submit_one(&r, 2, NULL, 0);
  while (rig_task_of(&r, second).index != task.index) { /* until its slot's turn comes */
    EXPECT(rig_work(&r.worker[0]));
    sh_ref_drop(&r.driver, second);
    second = rig_submit_one(&r, 2, NULL, 0);
  }
  sh_log_append(&r.worker[0], SH_LOG_DONE, task);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_state_of(&r, second), SH_TASK_READY);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(rig_value(&r.driver, second), 2);
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  sh_ref_drop(&r.driver, arg);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_what_is_dropped_and_not_made_yet_cannot_be_held(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0);
  sh_ref_share(&r.driver, out);
  EXPECT(sh_repair_hold(&r.d, out));
  sh_repair_drop(&r.d, out);
  sh_ref_drop(&r.driver, out);
  rig_rounds(&r, 2);
  EXPECT(sh_entry_checked(&r.d.seg, out));
  EXPECT(!sh_repair_hold(&r.d, out)); /* it goes as soon as it is made */
  EXPECT(rig_work(&r.worker[0]));
  rig_expect_empty(&r);
  rig_close(&r);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which abort when there is no memory */
/* Each client's table of holds is made at its first one: sooner or later malloc has none left. */
static void test_hold_that_cannot_be_noted_is_not_kept(void) {
  rig_open(&r, 1, 1);
  sh_ref shared = rig_put(&r.driver, 7, 8);
  sh_ref_share(&r.driver, shared);
  rig_rounds(&r, 2);
  struct rlimit before, none;
  EXPECT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
  EXPECT_EQ(setrlimit(RLIMIT_AS, &none), 0);
  uint32_t client = 100;
  while (client < SH_MAX_CLIENTS && sh_counts_hold_for(counts(), client, shared))
    client++;
  EXPECT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  EXPECT(client < SH_MAX_CLIENTS);
  for (uint32_t i = 100; i < client; i++)
    sh_counts_forget(counts(), i);
  sh_ref_drop(&r.driver, shared);
  rig_rounds(&r, 2);
  rig_expect_empty(&r); /* nobody holds it any more */
  rig_close(&r);
}
#endif

int main(void) {
  RUN(test_events_of_what_is_gone_count_for_nothing);
  RUN(test_rows_are_counted_once);
  RUN(test_value_that_is_thrown_away_gives_up_only_rows_that_were_counted);
  RUN(test_old_name_throws_nothing_away);
  RUN(test_end_of_a_task_frees_no_later_one_in_its_slot);
  RUN(test_what_is_dropped_and_not_made_yet_cannot_be_held);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  RUN(test_hold_that_cannot_be_noted_is_not_kept);
#endif
  return 0;
}
