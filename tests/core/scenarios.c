/* SPDX-License-Identifier: Apache-2.0
 * The ways that operations go every day; rare.c has the others, streams.c those of generators, repeats.c those of children,
 * logged.c those of actors that log. */
#include "logged.h"
#include "rare.h"
#include "repeats.h"
#include "streams.h"

#include "base/os.h"
#include "node/cancel.h"
#include "node/survey.h"
#include "node/waits.h"

/* ---- what survivors prepare ---- */

sh_ref stage_submit(stage *s, sh_self *by, const rig_call *like) {
  sh_ref out[32];
  rig_call call = *like;
  if (!call.class_id)
    call.class_id = s->r.class_id;
  if (!call.n_returns)
    call.n_returns = 1;
  rig_submit(by, &call, out);
  for (uint32_t i = 1; i < call.n_returns; i++)
    sh_ref_drop(by, out[i]);
  return out[0];
}

static void nothing(stage *s) {
  (void)s;
}

static void one_task(stage *s) {
  stage_promise_add(s, stage_submit(s, &s->r.driver, &(rig_call){.addend = 5, .max_retries = 1}), 5, true);
}

/* One task that others wait for, in both ways, without retries. */
static void awaited_task(stage *s) {
  sh_ref first = stage_submit(s, &s->r.driver, &(rig_call){.addend = 5});
  for (uint32_t i = 1; i < 4; i++)
    stage_promise_add(s, stage_submit(s, &s->r.driver, &(rig_call){.addend = i, .deps = &first, .n_deps = 1}), 5 + i,
                      true);
  stage_promise_add(s, first, 5, true);
}

static void many_returns(stage *s) {
  sh_ref arg = rig_put(&s->r.driver, 100, BLOCK);
  sh_ref first = stage_submit(s, &s->r.driver,
                              &(rig_call){.addend = 5, .n_returns = 20, .deps = &arg, .n_deps = 1, .max_retries = 2});
  sh_ref_drop(&s->r.driver, arg);
  stage_promise_add(s, first, 105, true);
}

static void many_returns_without_rows(stage *s) {
  stage_promise_add(s, stage_submit(s, &s->r.driver, &(rig_call){.addend = 5, .n_returns = 20, .max_retries = 2}), 5,
                    true);
}

static void dropped_result(stage *s) {
  sh_ref_drop(&s->r.driver, stage_submit(s, &s->r.driver, &(rig_call){.addend = 5}));
  stage_promise_add(s, stage_submit(s, &s->r.driver, &(rig_call){.addend = 6, .max_retries = 1}), 6, true);
}

/* Two arguments; the first one is there, so that the task is ready and its claimer waits for the second. */
static void half_ready_task(stage *s) {
  sh_ref a = stage_submit(s, &s->r.driver, &(rig_call){.addend = 1}),
         b = stage_submit(s, &s->r.driver, &(rig_call){.addend = 2});
  sh_ref deps[2] = {a, b}, sum = stage_submit(s, &s->r.driver, &(rig_call){.addend = 10, .deps = deps, .n_deps = 2});
  uint32_t slot;
  EXPECT_EQ(sh_next_try(&s->r.worker[1], &s->slot), SH_OK);
  EXPECT_EQ(sh_next_try(&s->r.worker[2], &slot), SH_OK);
  rig_finish(&s->r.worker[1], s->slot);
  s->slot = slot; /* still running, by a survivor */
  stage_promise_add(s, sum, 13, true);
  sh_ref_drop(&s->r.driver, a);
  stage_promise_add(s, b, 2, false);
}

static void pending_for_others(stage *s) {
  s->given = stage_submit(s, &s->r.driver, &(rig_call){.addend = 30});
  sh_ref_share(&s->r.driver, s->given);
  stage_promise_add(s, s->given, 30, false);
}

static void given_object(stage *s) {
  s->given = rig_put(&s->r.driver, 30, BLOCK);
  sh_ref_share(&s->r.driver, s->given);
  stage_promise_add(s, s->given, 30, false);
}

static void lent_object(stage *s) {
  given_object(s);
  for (uint32_t i = 0; i < 2; i++)
    EXPECT(sh_repair_hold_for(&s->r.d, s->victim->index, s->victim->epoch, s->given));
}

static void actor_calls(stage *s) {
  sh_ref late = stage_submit(s, &s->r.driver, &(rig_call){.addend = 7});
  for (uint32_t i = 0; i < 4; i++) {
    rig_call call = {.class_id = s->actor_class, .addend = i, .flags = SH_SLOT_ACTOR_CALL};
    call.deps = &late;
    call.n_deps = i == 1;
    stage_promise_add(s, stage_submit(s, &s->r.driver, &call), i == 1 ? 8 : i, true);
  }
  stage_promise_add(s, late, 7, false);
}

/* The actor had taken all of them, was running one, and is followed by another process: the victim. */
static void calls_of_one_that_died(stage *s) {
  uint32_t index = s->actor.index, slot;
  sh_repair_set_restarts(&s->r.d, s->actor_class, true, 0);
  actor_calls(s);
  EXPECT_EQ(sh_next_try(&s->actor, &slot), SH_OK);
  rig_finish(&s->actor, slot);
  EXPECT_EQ(sh_next_try(&s->actor, &slot), SH_EMPTY); /* all stalled behind the second */
  sh_self_close(&s->actor);
  sh_repair_round(&s->r.d, (int32_t)index);
  sh_repair_set_restarts(&s->r.d, s->actor_class, true, 1);
  rig_attach(&s->r, &s->actor, SH_ROLE_ACTOR, (int32_t)s->actor_class, RIG_ROOT);
}

static void running_task(stage *s) {
  one_task(s);
  EXPECT_EQ(sh_next_try(s->victim, &s->slot), SH_OK);
}

/* It may fail, and its worker die as well. */
static void repeatable_task(stage *s) {
  stage_promise_add(s, stage_submit(s, &s->r.driver, &(rig_call){.addend = 5, .max_retries = 2}), 5, true);
  EXPECT_EQ(sh_next_try(s->victim, &s->slot), SH_OK);
}

/* Nobody watches what fails; the driver sleeps until it is told of an error. */
static void minded_task(stage *s) {
  sh_self *driver = &s->r.driver;
  sh_ref ref = stage_submit(s, driver, &(rig_call){.addend = 5});
  EXPECT_EQ(sh_next_try(s->victim, &s->slot), SH_OK);
  s->promises[s->n_promises++] = (stage_promise){.ref = ref, .value = STAGE_ERROR, .by_victim = true};
  sh_mind_errors(driver, true);
  s->minds = true;
  s->seq = sh_park_prepare(&driver->me->park);
  sh_park_announce(&driver->me->park, s->seq);
}

/* Its worker is to be killed for the memory it holds; the task is to be run again, without a pause. */
static void condemned_task(stage *s) {
  running_task(s);
  s->r.d.pressed_pause_ns = 0;
  sh_ref task = sh_ref_unpack(sh_load_relaxed(&s->victim->me->x_current));
  EXPECT_EQ(sh_repair_condemn(&s->r.d, s->victim->index, s->victim->epoch, task, SH_VERDICT_PRESSURE), SH_OK);
}

/* It was cancelled while it ran. */
static void cancelled_task(stage *s) {
  sh_self *driver = &s->r.driver;
  sh_ref ref = stage_submit(s, driver, &(rig_call){.addend = 5, .max_retries = 1});
  EXPECT_EQ(sh_next_try(s->victim, &s->slot), SH_OK);
  stage_promise_add(s, ref, STAGE_ERROR, true);
  sh_ref task = sh_ref_unpack(sh_load_relaxed(&s->victim->me->x_current));
  EXPECT_EQ(sh_repair_cancel(&s->r.d, task, false, true), SH_OK);
}

static void leased_task(stage *s) {
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = 500};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_class(&s->r.d, &shape, &class_id), SH_OK);
  stage_promise_add(s, stage_submit(s, &s->r.driver, &(rig_call){.class_id = class_id, .addend = 5, .max_retries = 1}),
                    5, true);
  sh_idle_announce(s->victim);
  rig_rounds(&s->r, 1);
}

/* ---- what the victim does ---- */

static void put_and_drop(stage *s) {
  static const uint64_t sizes[] = {8, BLOCK, LARGE};
  for (uint32_t i = 0; i < 3; i++)
    sh_ref_drop(s->victim, rig_put(s->victim, i, sizes[i]));
}

static void put_and_keep(stage *s) {
  (void)rig_put(s->victim, 1, 8);
  (void)rig_put(s->victim, 2, BLOCK);
  (void)rig_put(s->victim, 3, LARGE);
}

static void put_container(stage *s) {
  sh_ref children[2] = {rig_put(s->victim, 1, 8), rig_put(s->victim, 2, BLOCK)};
  sh_ref box = rig_put_container(s->victim, children, 2);
  sh_ref_drop(s->victim, children[0]);
  sh_ref_drop(s->victim, children[1]);
  sh_ref_drop(s->victim, box);
}

static void take_and_drop(stage *s) {
  EXPECT_EQ(sh_ref_take(s->victim, s->given), SH_OK);
  sh_ref_drop(s->victim, s->given);
}

static void adopt_and_drop(stage *s) {
  EXPECT_EQ(sh_ref_adopt(s->victim, s->given), SH_OK);
  EXPECT_EQ(sh_ref_adopt(s->victim, s->given), SH_OK);
  sh_ref_drop(s->victim, s->given);
  sh_ref_drop(s->victim, s->given);
}

static void leave(stage *s) {
  EXPECT_EQ(sh_ref_take(s->victim, s->given), SH_OK);
  sh_ref children[2] = {rig_put(s->victim, 1, 8), rig_put(s->victim, 2, BLOCK)};
  (void)rig_put_container(s->victim, children, 2);
  (void)stage_submit(s, s->victim, &(rig_call){.addend = 1});
  sh_ref_leave(s->victim);
}

static void pin_and_look(stage *s) {
  EXPECT_EQ(sh_ref_take(s->victim, s->given), SH_OK);
  sh_pin(s->victim, s->given);
  EXPECT_EQ(rig_value(s->victim, s->given), 30);
  sh_unpin(s->victim, s->given);
  sh_ref_drop(s->victim, s->given);
}

static void watch_and_drop(stage *s) {
  EXPECT_EQ(sh_ref_take(s->victim, s->given), SH_OK);
  EXPECT(sh_watch(s->victim, s->given) != SH_FULL);
  (void)sh_park_closed(s->victim, s->given, NULL, sh_os_now_ns() + 1, SH_NO_DEADLINE);
  sh_ref_drop(s->victim, s->given);
}

static void submit_some(stage *s) {
  sh_ref a = stage_submit(s, s->victim, &(rig_call){.addend = 1});
  sh_ref b = stage_submit(s, s->victim, &(rig_call){.addend = 1, .n_returns = 20});
  sh_ref c = stage_submit(s, s->victim, &(rig_call){.addend = 1, .padding = LARGE});
  sh_ref_drop(s->victim, a);
  (void)b, (void)c;
}

static void submit_waiting(stage *s) {
  EXPECT_EQ(sh_ref_take(s->victim, s->given), SH_OK);
  sh_ref a = stage_submit(s, s->victim, &(rig_call){.addend = 1, .deps = &s->given, .n_deps = 1});
  sh_ref deps[2] = {a, s->given};
  (void)stage_submit(s, s->victim, &(rig_call){.addend = 1, .deps = deps, .n_deps = 2});
  sh_ref_drop(s->victim, a);
}

static void submit_across_ring_segments(stage *s) {
  sh_ring *ring;
  EXPECT_EQ(sh_self_ring(s->victim, s->r.class_id, &ring), SH_OK);
  for (uint32_t i = 0; i < 3; i++)
    sh_ref_drop(s->victim, stage_submit(s, s->victim, &(rig_call){.addend = 1}));
}

static void long_used_ring(stage *s) {
  sh_ring *ring;
  EXPECT_EQ(sh_self_ring(s->victim, s->r.class_id, &ring), SH_OK);
  uint64_t near_the_end = (sh_load_relaxed(&ring->x_tail) / SH_RING_SEGMENT + 2U) * SH_RING_SEGMENT - 2U;
  sh_store_relaxed(&ring->x_head, near_the_end);
  sh_store_relaxed(&ring->x_tail, near_the_end);
}

static void call_actor(stage *s) {
  rig_call call = {.class_id = s->actor_class, .addend = 1, .flags = SH_SLOT_ACTOR_CALL};
  (void)stage_submit(s, s->victim, &call);
  sh_ref_drop(s->victim, stage_submit(s, s->victim, &call));
}

static void work(stage *s) {
  for (uint32_t slot; sh_next_try(s->victim, &slot) == SH_OK;) {
    rig_fill(s->victim, slot, BLOCK);
    EXPECT_EQ(sh_commit(s->victim, slot), SH_OK);
  }
}

static void work_once_with_large_values(stage *s) {
  uint32_t slot;
  if (sh_next_try(s->victim, &slot) != SH_OK)
    return;
  rig_fill(s->victim, slot, LARGE);
  EXPECT_EQ(sh_commit(s->victim, slot), SH_OK);
  sh_seat_rest(s->victim);
}

static void fill_container(stage *s, uint32_t slot) {
  sh_ref out = sh_slot_return(&s->victim->seg, sh_slot_at(&s->victim->seg, slot), 0);
  sh_ref inside = rig_put(s->victim, 6, BLOCK);
  rig_fill_container(s->victim, out, inside);
  sh_ref_drop(s->victim, inside);
}

static void return_container(stage *s) {
  uint32_t slot;
  if (sh_next_try(s->victim, &slot) != SH_OK)
    return;
  fill_container(s, slot);
  EXPECT_EQ(sh_commit(s->victim, slot), SH_OK);
}

static void claim_and_put_back(stage *s) {
  uint32_t slot;
  if (sh_next_try(s->victim, &slot) == SH_OK)
    sh_unclaim(s->victim, slot);
}

static void repeat(stage *s) {
  rig_fill(s->victim, s->slot, LARGE);
  EXPECT(sh_may_retry(s->victim, s->slot));
  EXPECT(sh_retry(s->victim, s->slot));
  sh_seat_rest(s->victim);
}

static void repeat_here(stage *s) {
  rig_fill(s->victim, s->slot, LARGE);
  EXPECT(sh_repeat_here(s->victim, s->slot));
  rig_fill(s->victim, s->slot, 8);
  EXPECT_EQ(sh_commit(s->victim, s->slot), SH_OK);
  sh_seat_rest(s->victim);
}

static void block_and_finish(stage *s) {
  sh_block(s->victim);
  sh_unblock(s->victim);
  rig_fill(s->victim, s->slot, 8);
  EXPECT_EQ(sh_commit(s->victim, s->slot), SH_OK);
  sh_seat_rest(s->victim);
  sh_seat_leave(s->victim);
}

static void commit_in_vain(stage *s) {
  rig_fill(s->victim, s->slot, LARGE);
  EXPECT_EQ(sh_commit(s->victim, s->slot), SH_LOST);
  EXPECT(sh_should_exit(s->victim));
}

static void commit_a_cancelled_task(stage *s) {
  fill_container(s, s->slot);
  EXPECT_EQ(sh_commit(s->victim, s->slot), SH_LOST);
  EXPECT(!sh_should_exit(s->victim));
  sh_seat_rest(s->victim);
}

/* What it says that it waits for: an object, then all of a list, then any of several. */
static const uint64_t began[] = {4096U | SH_WAIT_LISTED, 4096U | SH_WAIT_ALL, 8192U | SH_WAIT_ALL};

static void tell_what_it_waits_for(stage *s) {
  sh_waits_tell(s->victim, sh_ref_pack(s->promises[0].ref), began[0]);
  sh_waits_change(s->victim, began[1]);
  sh_waits_end(s->victim);
  sh_waits_tell(s->victim, SH_AWAITS_SEVERAL, began[2]);
  sh_waits_end(s->victim);
  rig_fill(s->victim, s->slot, 8);
  EXPECT_EQ(sh_commit(s->victim, s->slot), SH_OK);
  sh_seat_rest(s->victim);
}

/* Since when is never there without for what; who is swept says nothing. */
static bool waits_are_told(stage *s) {
  sh_client_view v;
  if (!sh_survey_client(&s->r.d.seg, s->victim->index, &v) || v.waits == 0)
    return true;
  bool first = v.waits == began[0] || v.waits == began[1];
  return (first || v.waits == began[2]) && v.awaits == (first ? sh_ref_pack(s->promises[0].ref) : SH_AWAITS_SEVERAL);
}

/* Whoever had the record before, and was killed while it said something, says nothing any more. */
static void waiting_task(stage *s) {
  sh_client_view v;
  EXPECT(sh_survey_client(&s->r.d.seg, s->victim->index, &v));
  EXPECT(v.waits == 0 && v.awaits == SH_AWAITS_NOTHING);
  running_task(s);
  s->is_told = waits_are_told;
}

/* The task that it runs needs another one, which it runs itself. */
static void run_the_awaited_task(stage *s) {
  uint32_t inner;
  sh_ref out;
  rig_call call = {.class_id = s->r.class_id, .n_returns = 1, .addend = 1};
  rig_submit(s->victim, &call, &out);
  if (sh_next_awaited(s->victim, out, &inner) == SH_OK) {
    rig_fill(s->victim, inner, BLOCK);
    EXPECT_EQ(sh_commit(s->victim, inner), SH_OK);
  }
  sh_resume(s->victim, s->slot, 0);
  sh_ref_drop(s->victim, out);
  rig_fill(s->victim, s->slot, 8);
  EXPECT_EQ(sh_commit(s->victim, s->slot), SH_OK);
  sh_seat_rest(s->victim);
}

static void fail(stage *s) {
  sh_system_error error = {.code = SH_ERR_DAMAGED};
  sh_fill_system_error(&s->victim->seg, sh_slot_return(&s->victim->seg, sh_slot_at(&s->victim->seg, s->slot), 0),
                       &error);
  EXPECT_EQ(sh_commit(s->victim, s->slot), SH_OK);
  sh_seat_rest(s->victim);
}

static void spin_park_and_work(stage *s) {
  (void)sh_spin_next(s->victim);
  uint32_t seq = sh_park_prepare(&s->victim->me->park);
  sh_park_announce(&s->victim->me->park, seq);
  sh_idle_announce(s->victim);
  (void)sh_park_any(s->victim, seq, sh_os_now_ns() + 1000, SH_NO_DEADLINE);
  sh_idle_withdraw(s->victim);
  work(s);
}

/* Nobody else may spin for as long as it is seen to. */
static void spin_for_nothing(stage *s) {
  (void)sh_spin_next(s->victim);
}

static const scenario scenarios[] = {
    {"put and drop", STAGE_DRIVER, nothing, put_and_drop},
    {"put and keep", STAGE_DRIVER, nothing, put_and_keep},
    {"put a container", STAGE_DRIVER, nothing, put_container},
    {"take and drop", STAGE_DRIVER, given_object, take_and_drop},
    {"adopt and drop", STAGE_DRIVER, lent_object, adopt_and_drop},
    {"leave", STAGE_DRIVER, given_object, leave},
    {"pin and look", STAGE_DRIVER, given_object, pin_and_look},
    {"watch and drop", STAGE_DRIVER, pending_for_others, watch_and_drop},
    {"submit", STAGE_DRIVER, nothing, submit_some},
    {"submit what waits", STAGE_DRIVER, pending_for_others, submit_waiting},
    {"submit over ring segments", STAGE_DRIVER, long_used_ring, submit_across_ring_segments},
    {"call an actor", STAGE_DRIVER, nothing, call_actor},
    {"work", STAGE_WORKER, one_task, work},
    {"work that is awaited", STAGE_WORKER, awaited_task, work},
    {"work with large values", STAGE_WORKER, one_task, work_once_with_large_values},
    {"work with many returns and rows", STAGE_WORKER, many_returns, work},
    {"work with many returns", STAGE_WORKER, many_returns_without_rows, work},
    {"work for nobody", STAGE_WORKER, dropped_result, work},
    {"claim what must wait", STAGE_WORKER, half_ready_task, work},
    {"return a container", STAGE_WORKER, dropped_result, return_container},
    {"claim and put back", STAGE_WORKER, one_task, claim_and_put_back},
    {"repeat an attempt", STAGE_WORKER, repeatable_task, repeat},
    {"repeat an attempt here", STAGE_WORKER, repeatable_task, repeat_here},
    {"block and finish", STAGE_WORKER, running_task, block_and_finish},
    {"fail where errors are minded", STAGE_WORKER, minded_task, fail},
    {"tell what it waits for", STAGE_WORKER, waiting_task, tell_what_it_waits_for},
    {"run the awaited task", STAGE_WORKER, running_task, run_the_awaited_task},
    {"work on though condemned", STAGE_WORKER, condemned_task, commit_in_vain},
    {"end a task that was cancelled", STAGE_WORKER, cancelled_task, commit_a_cancelled_task},
    {"spin for nothing", STAGE_WORKER, nothing, spin_for_nothing},
    {"spin, park and work", STAGE_WORKER, one_task, spin_park_and_work},
    {"work under a lease", STAGE_WORKER, leased_task, work},
    {"serve an actor's calls", STAGE_ACTOR, actor_calls, work},
    {"take over from a dead actor", STAGE_ACTOR, calls_of_one_that_died, work},
};

#define N_SCENARIOS (uint32_t)(sizeof scenarios / sizeof *scenarios)

static const struct {
  const scenario *scenarios;
  const uint32_t *n;
} others[] = {{rare_scenarios, &rare_n_scenarios},
              {stream_scenarios, &stream_n_scenarios},
              {repeat_scenarios, &repeat_n_scenarios},
              {logged_scenarios, &logged_n_scenarios}};
#define N_OTHERS (sizeof others / sizeof *others)

uint32_t stage_n_scenarios(void) {
  uint32_t n = N_SCENARIOS;
  for (uint32_t i = 0; i < N_OTHERS; i++)
    n += *others[i].n;
  return n;
}

const scenario *stage_scenario(uint32_t i) {
  if (i < N_SCENARIOS)
    return &scenarios[i];
  i -= N_SCENARIOS;
  for (uint32_t file = 0;; file++) {
    if (i < *others[file].n)
      return &others[file].scenarios[i];
    i -= *others[file].n;
  }
}
