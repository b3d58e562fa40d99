/* SPDX-License-Identifier: Apache-2.0
 * Waking and reports: one worker is woken for work that it may take, and an object that is watched is reported once, when it
 * has resolved, and to nobody who has let go of it. */
#include "rig.h"

#include "base/os.h"

static rig r;
static uint32_t fired;
static sh_ref fired_last;

static void on_fired(void *context, sh_ref ref) {
  (void)context;
  fired++;
  fired_last = ref;
}

static uint32_t drain(void) {
  fired = 0;
  sh_drain_fired(&r.driver, on_fired, NULL);
  return fired;
}

static bool is_idle(const sh_self *self) {
  return (sh_load_relaxed(&r.d.seg.header->x_idle[self->index / 64U]) & (1ULL << (self->index % 64U))) != 0;
}

static void test_one_idle_worker_is_woken_and_counted_out(void) {
  rig_open(&r, 2, 2);
  uint32_t other = rig_define(&r, 0, 0);
  sh_idle_announce(&r.worker[0]);
  EXPECT(!sh_wake_worker_of(&r.d.seg, RIG_ROOT + 1U, false)); /* it serves another job */
  EXPECT(is_idle(&r.worker[0]));
  EXPECT(sh_wake_worker_of(&r.d.seg, RIG_ROOT, false));
  EXPECT(!is_idle(&r.worker[0]));
  EXPECT(!sh_wake_worker_of(&r.d.seg, RIG_ROOT, false));
  sh_ref first = rig_submit_one(&r, 1, NULL, 0), second = rig_submit_to(&r, other); /* two classes have work */
  sh_idle_announce(&r.worker[0]);
  sh_idle_announce(&r.worker[1]);
  sh_wake_worker(&r.d.seg);
  EXPECT(is_idle(&r.worker[0]) != is_idle(&r.worker[1]));
  sh_idle_withdraw(&r.worker[0]);
  sh_idle_withdraw(&r.worker[1]);
  rig_work_all(&r);
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_nobody_is_woken_without_work_that_it_may_take(void) {
  enum { KIND = 5 };
  rig_open(&r, 1, 1);
  sh_ref done = rig_submit_one(&r, 1, NULL, 0);
  EXPECT(rig_work(&r.worker[0]) && !rig_work(&r.worker[0])); /* the class has been named, and nothing of it is left */
  sh_idle_announce(&r.worker[0]);
  sh_wake_worker(&r.d.seg);
  EXPECT(is_idle(&r.worker[0]));
  sh_idle_withdraw(&r.worker[0]);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, KIND, 1000), SH_OK);
  sh_ref leased = rig_submit_to(&r, rig_define(&r, 0, KIND));
  sh_idle_announce(&r.worker[0]);
  sh_wake_worker(&r.d.seg); /* the daemon will, with a lease */
  EXPECT(is_idle(&r.worker[0]));
  rig_rounds(&r, 2);
  sh_idle_withdraw(&r.worker[0]);
  EXPECT(rig_work(&r.worker[0]) && !rig_work(&r.worker[0]));
  sh_ref_drop(&r.driver, done);
  sh_ref_drop(&r.driver, leased);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_report_comes_when_it_has_resolved_and_once(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0), known = rig_submit_one(&r, 2, NULL, 0);
  EXPECT_EQ(sh_watch(&r.driver, out), SH_OK);
  EXPECT(!sh_any_fired(&r.driver));
  uint32_t waiter = r.driver.local[out.index].waiter - 1U;
  sh_fetch_or(sh_fired_word(&r.d.seg, waiter), 1ULL << (waiter % 64U)); /* an early delivery */
  EXPECT(sh_any_fired(&r.driver));
  EXPECT_EQ(drain(), 0);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT(sh_any_fired(&r.driver));
  EXPECT_EQ(drain(), 1);
  EXPECT(!sh_any_fired(&r.driver));
  EXPECT_EQ(drain(), 0);
  EXPECT_EQ(sh_watch(&r.driver, known), SH_OK);
  EXPECT(rig_work(&r.worker[0]));
  r.driver.local[known.index].flags |= SH_LOCAL_CLOSED; /* its owner has looked itself meanwhile */
  EXPECT_EQ(drain(), 0);
  sh_ref_drop(&r.driver, out);
  sh_ref_drop(&r.driver, known);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* A call whose result the driver watches, and the worker holds too. */
static sh_ref submit_watched(void) {
  sh_ref out = rig_submit_one(&r, 1, NULL, 0);
  sh_ref_share(&r.driver, out);
  EXPECT_EQ(sh_ref_take(&r.worker[0], out), SH_OK);
  EXPECT_EQ(sh_watch(&r.driver, out), SH_OK);
  return out;
}

static void let_go_and_hold_again(sh_ref out) {
  sh_ref_drop(&r.driver, out);
  EXPECT_EQ(sh_ref_take(&r.driver, out), SH_OK);
}

static void test_who_let_go_hears_nothing(void) {
  rig_open(&r, 1, 1);
  sh_ref out = submit_watched();
  let_go_and_hold_again(out);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(drain(), 0);
  sh_ref_drop(&r.driver, out);
  sh_ref_drop(&r.worker[0], out);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* Watch new objects until the waiter is used again. -> how many */
static uint32_t reuse(uint32_t waiter, sh_ref refs[], uint32_t max) {
  uint32_t n = 0;
  do {
    EXPECT(n < max);
    refs[n] = rig_submit_one(&r, n, NULL, 0);
    EXPECT_EQ(sh_watch(&r.driver, refs[n]), SH_OK);
  } while (r.driver.local[refs[n++].index].waiter != waiter);
  return n;
}

static void test_who_let_go_hears_nothing_when_the_waiter_is_used_again(void) {
  enum { MANY = 2000 };
  static sh_ref refs[MANY];
  for (uint32_t hold_again = 0; hold_again < 2; hold_again++) {
    rig_open(&r, 1, 1);
    sh_ref out = submit_watched();
    uint32_t waiter = r.driver.local[out.index].waiter;
    if (hold_again)
      let_go_and_hold_again(out);
    EXPECT(rig_work(&r.worker[0]));
    uint32_t n = reuse(waiter, refs, MANY);
    if (!hold_again)
      sh_ref_drop(&r.driver, out); /* its report was kept, and nobody wants it any more */
    EXPECT_EQ(drain(), 0);
    while (rig_work(&r.worker[0])) {
    }
    EXPECT_EQ(drain(), n);
    for (uint32_t i = 0; i < n; i++)
      sh_ref_drop(&r.driver, refs[i]);
    if (hold_again)
      sh_ref_drop(&r.driver, out);
    sh_ref_drop(&r.worker[0], out);
    rig_expect_empty(&r);
    rig_close(&r);
  }
}

static void test_room_for_kept_reports_grows_only_when_it_is_needed(void) {
  enum { MANY = 2000, KEPT = 8 };
  static sh_ref refs[MANY];
  sh_ref outs[KEPT];
  rig_open(&r, 1, 1);
  for (uint32_t i = 0; i < KEPT; i++) {
    outs[i] = rig_submit_one(&r, i, NULL, 0);
    EXPECT_EQ(sh_watch(&r.driver, outs[i]), SH_OK);
  }
  uint32_t last = r.driver.local[outs[KEPT - 1].index].waiter;
  while (rig_work(&r.worker[0])) {
  }
  uint32_t n = reuse(last, refs, MANY);
  EXPECT_EQ(r.driver.n_overtaken, KEPT);
  EXPECT(r.driver.cap_overtaken <= 64U);
  EXPECT_EQ(drain(), KEPT);
  while (rig_work(&r.worker[0])) {
  }
  for (uint32_t i = 0; i < n; i++)
    sh_ref_drop(&r.driver, refs[i]);
  for (uint32_t i = 0; i < KEPT; i++)
    sh_ref_drop(&r.driver, outs[i]);
  rig_expect_empty(&r);
  rig_close(&r);
}

#if defined(SH_HOOKS) && SH_HOOKS
static sh_ref awaited;

/* It is resolved after the last look before the sleep, by one who is stopped before he wakes anybody. */
static void resolve_silently(const volatile void *word) {
  if (word != &r.driver.me->x_parks)
    return;
  sh_hook_fn = NULL;
  (void)sh_entry_close(sh_entry_at(&r.d.seg, awaited.index), awaited.generation);
}

static void test_what_is_there_when_time_runs_out_is_there(void) {
  rig_open(&r, 1, 1);
  awaited = rig_submit_one(&r, 4, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]);
  rig_fill(&r.worker[0], slot, 8);
  sh_hook_fn = resolve_silently;
  EXPECT_EQ(sh_park_closed(&r.driver, awaited, NULL, sh_os_now_ns() + 1000000U, SH_NO_DEADLINE), SH_OK);
  EXPECT(!sh_hook_fn);
  EXPECT_EQ(sh_commit(&r.worker[0], slot), SH_OK);
  sh_ref_drop(&r.driver, awaited);
  rig_expect_empty(&r);
  rig_close(&r);
}
#endif

/* A list that leads on to a waiter of another object, as after damage: it stays where it is. */
static void test_waiter_of_another_object_is_not_freed(void) {
  rig_open(&r, 1, 1);
  sh_ref first = rig_submit_one(&r, 1, NULL, 0), second = rig_submit_one(&r, 2, NULL, 0);
  EXPECT_EQ(sh_watch(&r.driver, first), SH_OK);
  EXPECT_EQ(sh_watch(&r.driver, second), SH_OK);
  sh_waiters ws = sh_waiters_of(&r.d.seg);
  uint32_t stranger = r.driver.local[second.index].waiter;
  sh_store32_relaxed(&ws.records[r.driver.local[first.index].waiter - 1U].next, stranger);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(sh_word_state(sh_load_relaxed(&ws.records[stranger - 1U].word)), SH_WAITER_LIVE);
  EXPECT_EQ(drain(), 1);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT_EQ(drain(), 1);
  EXPECT_EQ(fired_last.index, second.index);
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_seal_of_an_old_name_tells_nobody(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0);
  sh_ref before = {.index = out.index, .generation = out.generation - 1U};
  uint32_t slot = rig_claim(&r.worker[0]), errors = sh_errors_sealed(&r.driver);
  sh_system_error error = {.code = SH_ERR_DAMAGED};
  sh_fill_system_error(&r.d.seg, out, &error);
  sh_seal(&r.worker[0], before);
  EXPECT(!rig_is_closed(&r.driver, out));
  EXPECT_EQ(sh_errors_sealed(&r.driver), errors);
  EXPECT_EQ(sh_commit(&r.worker[0], slot), SH_OK);
  EXPECT_EQ(sh_errors_sealed(&r.driver), errors + 1U);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_one_idle_worker_is_woken_and_counted_out);
  RUN(test_nobody_is_woken_without_work_that_it_may_take);
  RUN(test_report_comes_when_it_has_resolved_and_once);
  RUN(test_who_let_go_hears_nothing);
  RUN(test_who_let_go_hears_nothing_when_the_waiter_is_used_again);
  RUN(test_room_for_kept_reports_grows_only_when_it_is_needed);
#if defined(SH_HOOKS) && SH_HOOKS
  RUN(test_what_is_there_when_time_runs_out_is_there);
#endif
  RUN(test_waiter_of_another_object_is_not_freed);
  RUN(test_seal_of_an_old_name_tells_nobody);
  return 0;
}
