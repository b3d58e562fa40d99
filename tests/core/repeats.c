/* SPDX-License-Identifier: Apache-2.0 */
#include "repeats.h"

#include "node/children.h"

/* It may fail, and its worker die as well. */
static void parent(stage *s) {
  stage_promise_add(s, stage_submit(s, &s->r.driver, &(rig_call){.addend = 5, .max_retries = 2}), 5, true);
  EXPECT_EQ(sh_next_try(s->victim, &s->slot), SH_OK);
}

static sh_ref call_as_parent(stage *s, const rig_call *like) {
  sh_slot *t = sh_slot_at(&s->r.d.seg, s->slot);
  s->victim->task_id = (sh_id128){.lo = t->id_lo, .hi = t->id_hi};
  s->victim->parent =
      sh_ref_pack((sh_ref){.index = s->slot, .generation = sh_word_generation(sh_load_relaxed(&t->word))});
  sh_ref out = stage_submit(s, s->victim, like);
  s->victim->parent = 0;
  return out;
}

static void end_of_attempt(stage *s, uint64_t task) {
  sh_children_end(s->victim, task);
  sh_seat_rest(s->victim);
}

static uint64_t running(stage *s) {
  const sh_slot *t = sh_slot_at(&s->r.d.seg, s->slot);
  return sh_ref_pack((sh_ref){.index = s->slot, .generation = sh_word_generation(sh_load_relaxed(&t->word))});
}

static void submit_children_and_finish(stage *s) {
  uint64_t task = running(s);
  sh_ref_drop(s->victim, call_as_parent(s, &(rig_call){.addend = 1})); /* it is kept */
  sh_ref second = call_as_parent(s, &(rig_call){.addend = 2, .max_retries = 1});
  rig_fill(s->victim, s->slot, 8);
  EXPECT_EQ(sh_commit(s->victim, s->slot), SH_OK);
  sh_ref_drop(s->victim, second);
  end_of_attempt(s, task);
}

/* What is not kept is written into the task, so that it is not called again: an actor's call that has left the process. */
static void call_an_actor_and_finish(stage *s) {
  uint64_t task = running(s);
  rig_call call = {.class_id = s->actor_class, .flags = SH_SLOT_ACTOR_CALL, .addend = 1};
  sh_ref out = call_as_parent(s, &call);
  sh_ref_share(s->victim, out);
  sh_ref_drop(s->victim, out);
  rig_fill(s->victim, s->slot, 8);
  EXPECT_EQ(sh_commit(s->victim, s->slot), SH_OK);
  end_of_attempt(s, task);
}

static void repeat_with_children(stage *s) {
  uint64_t task = running(s);
  sh_ref_drop(s->victim, call_as_parent(s, &(rig_call){.addend = 1}));
  sh_ref second = call_as_parent(s, &(rig_call){.addend = 2});
  sh_children_hand_over(s->victim, s->slot, true, true);
  EXPECT(sh_retry(s->victim, s->slot));
  sh_ref_drop(s->victim, second);
  end_of_attempt(s, task);
}

const scenario repeat_scenarios[] = {
    {"submit as a child", STAGE_WORKER, parent, submit_children_and_finish},
    {"call an actor as a child", STAGE_WORKER, parent, call_an_actor_and_finish},
    {"repeat an attempt with children", STAGE_WORKER, parent, repeat_with_children},
};
const uint32_t repeat_n_scenarios = sizeof repeat_scenarios / sizeof *repeat_scenarios;
