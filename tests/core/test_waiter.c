/* SPDX-License-Identifier: Apache-2.0
 * Waiter lists: pushed until closed, walked without being taken apart, detached once. */
#include "rig.h"

#define N 8U
static sh_waiter records[N];
static const sh_waiters ws = {.records = records, .capacity = N};
static sh_a64 head;
static uint32_t told[N];
#define GENERATION 9U
#define PROMISE 1234U

static void fresh(void) {
  memset(records, 0, sizeof records);
  memset(told, 0, sizeof told);
  for (uint32_t i = 0; i < N; i++)
    sh_store_relaxed(&records[i].promise, PROMISE);
  sh_store_relaxed(&head, (uint64_t)GENERATION << 32);
}

static void tell(void *context, uint32_t index, const sh_waiter *w) {
  (void)context, (void)w;
  told[index]++;
}

static void close_list(void) {
  sh_fetch_or(&head, SH_LIST_CLOSED);
}

static void walk(void) {
  sh_waiter_walk(ws, sh_load_relaxed(&head), PROMISE, tell, NULL);
}

static void test_all_pushed_before_close_are_told(void) {
  fresh();
  for (uint32_t i = 0; i < 5; i++)
    EXPECT_EQ(sh_waiter_push(ws, &head, GENERATION, i), SH_OK);
  close_list();
  EXPECT_EQ(sh_waiter_push(ws, &head, GENERATION, 5), SH_EMPTY);
  EXPECT_EQ(sh_waiter_push(ws, &head, GENERATION + 1, 5), SH_LOST);
  walk();
  walk(); /* a helper may do it again */
  for (uint32_t i = 0; i < N; i++)
    EXPECT_EQ(told[i], i < 5 ? 2 : 0);
}

static void test_list_is_detached_once_and_only_when_closed(void) {
  fresh();
  EXPECT_EQ(sh_waiter_push(ws, &head, GENERATION, 2), SH_OK);
  EXPECT_EQ(sh_waiter_detach(&head, GENERATION), 0);
  close_list();
  EXPECT_EQ(sh_waiter_detach(&head, GENERATION + 1), 0);
  EXPECT_EQ(sh_waiter_detach(&head, GENERATION), 3);
  EXPECT_EQ(sh_waiter_detach(&head, GENERATION), 0);
  EXPECT(sh_load_relaxed(&head) & SH_LIST_CLOSED);
}

static void test_walk_is_bounded_on_a_damaged_list(void) {
  fresh();
  for (uint32_t i = 0; i < 3; i++)
    EXPECT_EQ(sh_waiter_push(ws, &head, GENERATION, i), SH_OK);
  sh_store32_relaxed(&records[0].next, 3); /* a cycle */
  close_list();
  walk();
  EXPECT(told[0] + told[1] + told[2] <= N);
  sh_store32_relaxed(&records[0].next, 0x0FFFFFFF); /* out of range */
  walk();
}

static void test_strangers_on_the_way_are_not_told(void) {
  fresh();
  for (uint32_t i = 0; i < 3; i++)
    EXPECT_EQ(sh_waiter_push(ws, &head, GENERATION, i), SH_OK);
  sh_store_relaxed(&records[1].promise, PROMISE + 1); /* freed and used again under the walk */
  close_list();
  walk();
  EXPECT(told[0] == 1 && told[1] == 0 && told[2] == 1);
}

/* ---- the same through a node ---- */

static rig r;
static uint32_t fired;
static sh_ref fired_last;

static void on_fired(void *context, sh_ref ref) {
  (void)context;
  fired++;
  fired_last = ref;
}

static void test_watcher_hears_of_it_once(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0), other = rig_submit_one(&r, 2, NULL, 0);
  EXPECT_EQ(sh_watch(&r.driver, out), SH_OK);
  EXPECT_EQ(sh_watch(&r.driver, out), SH_OK); /* one waiter for both */
  EXPECT_EQ(sh_watch(&r.driver, other), SH_OK);
  sh_stats stats;
  sh_repair_stats(&r.d, &stats);
  EXPECT_EQ(stats.live_waiters, 2);
  fired = 0;
  sh_drain_fired(&r.driver, on_fired, NULL);
  EXPECT_EQ(fired, 0);
  EXPECT(rig_work(&r.worker[0]));
  sh_drain_fired(&r.driver, on_fired, NULL);
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(fired_last.index, out.index);
  sh_drain_fired(&r.driver, on_fired, NULL);
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(sh_watch(&r.driver, out), SH_EMPTY);
  sh_ref_drop(&r.driver, out);
  EXPECT_EQ(sh_watch(&r.driver, out), SH_LOST);
  sh_ref_drop(&r.driver, other); /* dropped while watched */
  EXPECT(rig_work(&r.worker[0]));
  sh_drain_fired(&r.driver, on_fired, NULL);
  EXPECT_EQ(fired, 1);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* The sealer frees a waiter before its owner reads that it fired: the owner may use it for another object meanwhile. */
static void test_report_outlives_the_reuse_of_its_waiter(void) {
  enum { MANY = 2000 };
  static sh_ref refs[MANY];
  rig_open(&r, 1, 1);
  sh_ref first = rig_submit_one(&r, 1, NULL, 0);
  EXPECT_EQ(sh_watch(&r.driver, first), SH_OK);
  uint32_t waiter = r.driver.local[first.index].waiter;
  EXPECT(rig_work(&r.worker[0])); /* fired and freed, not yet drained */
  uint32_t n = 0;
  do {
    refs[n] = rig_submit_one(&r, n, NULL, 0);
    EXPECT_EQ(sh_watch(&r.driver, refs[n]), SH_OK);
  } while (r.driver.local[refs[n++].index].waiter != waiter && n < MANY);
  EXPECT(n < MANY); /* the waiter was used again */
  fired = 0;
  sh_drain_fired(&r.driver, on_fired, NULL);
  EXPECT_EQ(fired, 1);
  EXPECT_EQ(fired_last.index, first.index);
  for (uint32_t i = 0; i < n; i++)
    EXPECT(rig_work(&r.worker[0]));
  sh_drain_fired(&r.driver, on_fired, NULL);
  EXPECT_EQ(fired, n + 1U);
  for (uint32_t i = 0; i < n; i++)
    sh_ref_drop(&r.driver, refs[i]);
  sh_ref_drop(&r.driver, first);
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_all_pushed_before_close_are_told);
  RUN(test_list_is_detached_once_and_only_when_closed);
  RUN(test_walk_is_bounded_on_a_damaged_list);
  RUN(test_strangers_on_the_way_are_not_told);
  RUN(test_watcher_hears_of_it_once);
  RUN(test_report_outlives_the_reuse_of_its_waiter);
  return 0;
}
