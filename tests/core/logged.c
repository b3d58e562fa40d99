/* SPDX-License-Identifier: Apache-2.0 */
#include "logged.h"

#include "node/call_log.h"
#include "node/children.h"

#define CALLS 5U
#define COVERED 3U /* calls that the last checkpoint covers, where there is one */

/* The driver's calls, which run in this order. The i-th raises if i is odd: that is, it is said of it. */
static struct {
  sh_ref out[CALLS];
  uint32_t n, n_covered;
  bool have_children;
} calls;

static uint32_t nth_of(const stage *s, uint32_t slot) {
  for (uint32_t i = 0; i < calls.n; i++)
    if (rig_task_of(&s->r, calls.out[i]).index == slot)
      return i;
  rig_fail(__FILE__, __LINE__, "it is none of the calls", slot, calls.n);
}

static uint64_t packed(const stage *s, uint32_t slot) {
  return sh_ref_pack(
      (sh_ref){.index = slot, .generation = sh_word_generation(sh_load_relaxed(&sh_slot_at(&s->r.d.seg, slot)->word))});
}

static void call_a_child(stage *s, sh_self *actor, uint32_t slot) {
  const sh_slot *t = sh_slot_at(&s->r.d.seg, slot);
  actor->task_id = (sh_id128){.lo = t->id_lo, .hi = t->id_hi};
  actor->task_counter = 0;
  actor->parent = packed(s, slot);
  sh_ref_drop(actor, stage_submit(s, actor, &(rig_call){.addend = 1})); /* it is kept */
  actor->parent = 0;
}

static void run(stage *s, sh_self *actor, uint32_t slot, bool calls_a_child) {
  uint64_t task = packed(s, slot);
  sh_log_begin(actor, slot);
  if (calls_a_child)
    call_a_child(s, actor, slot);
  if (nth_of(s, slot) % 2U)
    sh_log_raised(actor, slot);
  rig_fill(actor, slot, BLOCK);
  EXPECT_EQ(sh_commit(actor, slot), SH_OK);
  sh_children_end(actor, task);
}

/* ---- the next process ---- */

/* Every call that the checkpoint does not cover has been logged, in order, or is still to be run: nothing is lost, and nothing
 * is applied twice. */
static void next_process(stage *s) {
  uint32_t slot, at = calls.n_covered;
  sh_child found[2];
  sh_repair_set_restarts(&s->r.d, s->actor_class, true, 2);
  rig_attach(&s->r, &s->actor, SH_ROLE_ACTOR, (int32_t)s->actor_class, RIG_ROOT);
  EXPECT(sh_log_open(&s->actor, 2U * calls.n_covered));
  for (uint32_t i = 0; i < s->actor.n_logged; i++, at++) {
    slot = s->actor.logged[i].slot;
    EXPECT_EQ(nth_of(s, slot), at);
    EXPECT_EQ(s->actor.logged[i].position, 2U * (at + 1U));
    EXPECT_EQ(sh_log_has_raised(&s->actor, slot), at % 2U);
    EXPECT(rig_is_closed(&s->r.driver, calls.out[at]));
    if (calls.have_children) {
      EXPECT_EQ(sh_repair_children(&s->r.d, s->actor.index, s->actor.epoch, sh_ref_unpack(packed(s, slot)), found, 2),
                1);
      EXPECT_EQ(sh_ref_adopt(&s->actor, found[0].r), SH_OK);
      sh_ref_drop(&s->actor, found[0].r);
    }
  }
  for (; sh_next_try(&s->actor, &slot) == SH_OK; at++) {
    EXPECT_EQ(nth_of(s, slot), at);
    run(s, &s->actor, slot, false);
  }
  EXPECT_EQ(at, calls.n);
  EXPECT_EQ(s->actor.n_logged, calls.n - calls.n_covered);
  for (uint32_t i = 0; i < calls.n; i++)
    EXPECT(rig_is_closed(&s->r.driver, calls.out[i]) && rig_error(&s->r.driver, calls.out[i]) == 0);
  sh_log_cut(&s->actor, s->actor.position);
  EXPECT_EQ(s->actor.n_logged, 0);
}

/* ---- what survivors prepare ---- */

/* One call without more, one with rows, one whose spec is in the heap, and again. */
static void call_it(stage *s, uint32_t n, bool rows) {
  sh_ref arg = rig_put(&s->r.driver, 100, BLOCK);
  calls.n = n;
  calls.n_covered = 0;
  calls.have_children = false;
  for (uint32_t i = 0; i < n; i++) {
    rig_call call = {.class_id = s->actor_class, .flags = SH_SLOT_ACTOR_CALL, .addend = i, .max_retries = 3};
    bool has_rows = rows || i == 1;
    call.deps = &arg;
    call.n_deps = has_rows;
    call.padding = i == 2 ? BLOCK : 0;
    calls.out[i] = stage_submit(s, &s->r.driver, &call);
    stage_promise_add(s, calls.out[i], has_rows ? 100 + i : i, true);
  }
  sh_ref_drop(&s->r.driver, arg);
  s->follow = next_process;
}

static void some_calls(stage *s) {
  call_it(s, 3, false);
}

static void calls_with_rows(stage *s) {
  call_it(s, 2, true);
  calls.have_children = true;
}

static void run_next(stage *s) {
  uint32_t slot;
  EXPECT_EQ(sh_next_try(&s->actor, &slot), SH_OK);
  run(s, &s->actor, slot, calls.have_children);
}

static void run_to_the_checkpoint_and_on(stage *s) {
  call_it(s, CALLS, false);
  for (uint32_t i = 0; i <= COVERED; i++)
    run_next(s);
  calls.n_covered = COVERED;
}

/* The process that ran them is dead. */
static void calls_of_one_that_died(stage *s) {
  run_to_the_checkpoint_and_on(s);
  rig_restart_actor(&s->r, &s->actor, s->actor_class, 1);
}

/* It has logged one, and runs another as its class is closed. */
static void last_call(stage *s) {
  sh_system_error end = {.code = SH_ERR_ACTOR_DIED, .class_id = s->actor_class, .wait_status = -1};
  call_it(s, 2, true);
  run_next(s);
  EXPECT_EQ(sh_next_try(&s->actor, &s->slot), SH_OK);
  sh_repair_close_class(&s->r.d, s->actor_class, &end);
  s->follow = NULL;
}

/* ---- what the victim does ---- */

static void run_all(stage *s) {
  for (uint32_t i = 0; i < calls.n; i++)
    run_next(s);
}

static void run_the_last(stage *s) {
  run(s, &s->actor, s->slot, false);
}

/* The first attempt raises; the same process makes another one, after a checkpoint that covers what the first did. */
static void run_all_and_repeat_one(stage *s) {
  EXPECT_EQ(sh_next_try(&s->actor, &s->slot), SH_OK);
  sh_log_begin(&s->actor, s->slot);
  sh_log_raised(&s->actor, s->slot);
  rig_fill(&s->actor, s->slot, BLOCK);
  sh_children_hand_over(&s->actor, s->slot, true, true);
  EXPECT(sh_repeat_here(&s->actor, s->slot));
  EXPECT(sh_log_is_due(&s->actor, UINT32_MAX));
  sh_log_forget(sh_slot_at(&s->r.d.seg, s->slot));
  s->actor.position -= 2U; /* the log of the next process is compared by position */
  run(s, &s->actor, s->slot, false);
  for (uint32_t i = 1; i < calls.n; i++)
    run_next(s);
}

static void cut_and_go_on(stage *s) {
  sh_log_cut(&s->actor, 2U * COVERED);
  EXPECT_EQ(s->actor.n_logged, 1);
  run_next(s);
}

static void open_and_go_on(stage *s) {
  EXPECT(sh_log_open(&s->actor, 2U * COVERED));
  EXPECT_EQ(s->actor.n_logged, 1);
  run_next(s);
}

const scenario logged_scenarios[] = {
    {"log a call", STAGE_LOGGING_ACTOR, some_calls, run_all},
    {"log a call with rows and children", STAGE_LOGGING_ACTOR, calls_with_rows, run_all},
    {"log a call that was repeated here", STAGE_LOGGING_ACTOR, some_calls, run_all_and_repeat_one},
    {"log a call of a closed class", STAGE_LOGGING_ACTOR, last_call, run_the_last},
    {"cut a log", STAGE_LOGGING_ACTOR, run_to_the_checkpoint_and_on, cut_and_go_on},
    {"open a log", STAGE_LOGGING_ACTOR, calls_of_one_that_died, open_and_go_on},
};
const uint32_t logged_n_scenarios = sizeof logged_scenarios / sizeof *logged_scenarios;
