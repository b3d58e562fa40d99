/* SPDX-License-Identifier: Apache-2.0
 * A caller's calls of an actor start in the order they were made, whoever else hints them. */
#include "rig.h"

#include "node/claim.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static rig r;

static sh_ref call(uint32_t class_id, uint64_t addend, const sh_ref *dep) {
  rig_call c = {.class_id = class_id, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL, .addend = addend};
  c.deps = dep;
  c.n_deps = dep != NULL;
  sh_ref out;
  rig_submit(&r.driver, &c, &out);
  return out;
}

/* The actor claims its next call; it must be the one that resolves `expected`. */
static void expect_next(sh_self *actor, sh_ref expected) {
  uint32_t slot;
  EXPECT_EQ(sh_next_try(actor, &slot), SH_OK);
  EXPECT_EQ(sh_ref_pack(sh_slot_return(&r.d.seg, sh_slot_at(&r.d.seg, slot), 0)), sh_ref_pack(expected));
  rig_finish(actor, slot);
}

static void drop_all(const sh_ref *refs, uint32_t n) {
  for (uint32_t i = 0; i < n; i++)
    sh_ref_drop(&r.driver, refs[i]);
}

static void test_a_rescan_does_not_reorder_calls(void) {
  rig_open(&r, 1, 1);
  sh_self actor;
  uint32_t class_id = rig_actor(&r, &actor);
  sh_ref out[100];
  for (uint32_t i = 0; i < 50; i++)
    out[i] = call(class_id, i, NULL);
  for (uint32_t i = 0; i < 10; i++)
    expect_next(&actor, out[i]);
  sh_sweep_rescan(&r.d); /* every waiting call is hinted once more, by the daemon's ring */
  for (uint32_t i = 50; i < 100; i++)
    out[i] = call(class_id, i, NULL);
  sh_sweep_rescan(&r.d);
  for (uint32_t i = 10; i < 100; i++)
    expect_next(&actor, out[i]);
  EXPECT(!rig_work(&actor));
  EXPECT(!sh_next_possible(&actor));
  drop_all(out, 100);
  rig_detach(&r, &actor);
  rig_rounds(&r, 2);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_a_rescan_does_not_overtake_a_stalled_call(void) {
  rig_open(&r, 1, 1);
  sh_self actor;
  uint32_t class_id = rig_actor(&r, &actor);
  sh_ref late = rig_submit_one(&r, 7, NULL, 0), out[5];
  out[0] = call(class_id, 0, &late);
  for (uint32_t i = 1; i < 5; i++)
    out[i] = call(class_id, i, NULL);
  EXPECT(!rig_work(&actor)); /* the first one waits, and the others behind it */
  sh_sweep_rescan(&r.d);
  EXPECT(!rig_work(&actor));
  EXPECT(rig_work(&r.worker[0])); /* answers the argument */
  for (uint32_t i = 0; i < 5; i++)
    expect_next(&actor, out[i]);
  EXPECT(!rig_work(&actor));
  drop_all(out, 5);
  sh_ref_drop(&r.driver, late);
  rig_detach(&r, &actor);
  rig_rounds(&r, 2);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* What was cancelled behind a stalled call is not kept for as long as that one waits. */
static void test_cancelled_calls_are_not_kept(void) {
  rig_open(&r, 1, 1);
  sh_self actor;
  uint32_t class_id = rig_actor(&r, &actor);
  sh_ref late = rig_submit_one(&r, 7, NULL, 0), first = call(class_id, 0, &late), last;
  for (uint32_t i = 0; i < 5000; i++) {
    sh_ref out = call(class_id, i, NULL);
    EXPECT(!rig_work(&actor));
    EXPECT_EQ(rig_cancel(&r, out), SH_OK);
    rig_rounds(&r, 1);
    EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_CANCELLED);
    sh_ref_drop(&r.driver, out);
  }
  last = call(class_id, 1, NULL);
  EXPECT(!rig_work(&actor));
  EXPECT(actor.stalls[r.driver.index].cap < 100);
  EXPECT(rig_work(&r.worker[0]));
  expect_next(&actor, first);
  expect_next(&actor, last);
  EXPECT(!rig_work(&actor));
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, last);
  sh_ref_drop(&r.driver, late);
  rig_detach(&r, &actor);
  rig_rounds(&r, 2);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* A peer wrote over a call: whose it was is not known. */
static void test_call_of_nobody_is_passed_over(void) {
  rig_open(&r, 1, 1);
  sh_self actor;
  uint32_t class_id = rig_actor(&r, &actor);
  sh_ref late = rig_submit_one(&r, 7, NULL, 0), first = call(class_id, 0, &late), second = call(class_id, 1, NULL);
  EXPECT(!rig_work(&actor));
  sh_sweep_rescan(&r.d);
  EXPECT(!rig_work(&actor));
  EXPECT_EQ(actor.late->n, 1); /* the second, which came by the daemon's ring, too */
  sh_slot *t = sh_slot_at(&r.d.seg, rig_task_of(&r, second).index);
  uint16_t submitter = t->submitter;
  t->submitter = UINT16_MAX;
  EXPECT(!sh_actor_has_late(&actor, class_id));
  EXPECT(!rig_work(&actor));
  t->submitter = submitter;
  EXPECT(rig_work(&r.worker[0]));
  expect_next(&actor, first);
  expect_next(&actor, second);
  EXPECT(!rig_work(&actor));
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  sh_ref_drop(&r.driver, late);
  rig_detach(&r, &actor);
  rig_rounds(&r, 2);
  rig_expect_empty(&r);
  rig_close(&r);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which abort when there is no memory */

/* From here on no malloc of this process succeeds, of whatever size. */
static void exhaust_memory(void) {
  struct rlimit limit;
  EXPECT_EQ(getrlimit(RLIMIT_AS, &limit), 0);
  limit.rlim_cur = 0;
  EXPECT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
  void *volatile taken;
  for (size_t bytes = 1U << 24; bytes > 0; bytes -= bytes > 4096U ? bytes / 2U : 8U)
    do
      taken = malloc(bytes);
    while (taken);
}

/* An actor that has no memory to keep its calls ends, and the next process finds all of them, in their order. */
static void expect_nothing_lost(uint32_t n_calls, bool has_queues, bool is_rescanned) {
  rig_open(&r, 1, 1);
  sh_self actor;
  sh_ref late = rig_submit_one(&r, 7, NULL, 0), out[40];
  uint32_t class_id = rig_actor(&r, &actor), slot;
  sh_repair_set_restarts(&r.d, class_id, true, 0);
  for (uint32_t i = 0; i < n_calls; i++)
    out[i] = call(class_id, i, i == 0 ? &late : NULL);
  pid_t child = fork();
  EXPECT(child >= 0);
  if (child == 0) {
    struct rlimit none = {0};
    (void)setrlimit(RLIMIT_CORE, &none);
    if (has_queues) { /* room for a few calls */
      EXPECT(sh_stall_push(sh_stall_of(&actor, r.driver.index), 1));
      sh_stall_pop(sh_stall_of(&actor, r.driver.index));
    }
    if (is_rescanned) {
      EXPECT_EQ(sh_next_try(&actor, &slot), SH_EMPTY);
      sh_sweep_rescan(&r.d);
    }
    exhaust_memory();
    (void)sh_next_try(&actor, &slot);
    _exit(0); /* it took what it could not keep */
  }
  int status;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  rig_restart_actor(&r, &actor, class_id, 1);
  EXPECT(!rig_work(&actor));
  EXPECT(rig_work(&r.worker[0]));
  for (uint32_t i = 0; i < n_calls; i++)
    expect_next(&actor, out[i]);
  EXPECT(!rig_work(&actor));
  drop_all(out, n_calls);
  sh_ref_drop(&r.driver, late);
  rig_detach(&r, &actor);
  sh_system_error gone = {.code = SH_ERR_ACTOR_DIED, .class_id = class_id, .wait_status = -1};
  sh_repair_close_class(&r.d, class_id, &gone);
  rig_rounds(&r, 2);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_without_memory_no_call_is_lost(void) {
  expect_nothing_lost(1, false, false); /* for the first that waits */
  expect_nothing_lost(40, true, false); /* for those behind it */
  expect_nothing_lost(5, true, true);   /* for those that others have hinted */
}
#endif

int main(void) {
  RUN(test_a_rescan_does_not_reorder_calls);
  RUN(test_a_rescan_does_not_overtake_a_stalled_call);
  RUN(test_cancelled_calls_are_not_kept);
  RUN(test_call_of_nobody_is_passed_over);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  RUN(test_without_memory_no_call_is_lost);
#endif
  return 0;
}
