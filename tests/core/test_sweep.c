/* SPDX-License-Identifier: Apache-2.0
 * What becomes of a task when the one that has it dies, its job ends or its actor is gone. */
#include "node/known.h"
#include "rig.h"

static rig r;

/* The worker dies: nothing of its private state survives. */
static void die(sh_self *worker) {
  rig_detach(&r, worker);
}

static void replace(sh_self *worker) {
  rig_attach(&r, worker, SH_ROLE_WORKER, -1, RIG_ROOT);
}

static sh_ref submit_with_retries(uint32_t max_retries) {
  sh_ref out;
  rig_call call = {.class_id = r.class_id, .n_returns = 1, .max_retries = max_retries, .addend = 8};
  rig_submit(&r.driver, &call, &out);
  return out;
}

static void test_task_is_retried_until_its_retries_are_used(void) {
  rig_open(&r, 2, 2);
  uint32_t slot;
  sh_ref out = submit_with_retries(2);
  for (uint32_t attempt = 0; attempt < 3; attempt++) {
    EXPECT(!rig_is_closed(&r.driver, out));
    EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
    EXPECT_EQ(sh_load32_relaxed(&sh_slot_at(&r.d.seg, slot)->x_attempt), attempt);
    rig_fill(&r.worker[0], slot, attempt == 1 ? 100000 : 8); /* filled, not committed: thrown away */
    die(&r.worker[0]);
    EXPECT_EQ(sh_seats_free(&r.d.seg), 2);
    replace(&r.worker[0]);
  }
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_WORKER_DIED);
  sh_ref_drop(&r.driver, out);
  sh_ref again = submit_with_retries(1);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  die(&r.worker[0]);
  EXPECT(rig_work(&r.worker[1]));
  EXPECT_EQ(rig_value(&r.driver, again), 8);
  sh_ref_drop(&r.driver, again);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_error_reaches_whoever_depends_on_it(void) {
  rig_open(&r, 2, 2);
  uint32_t slot;
  sh_ref out = submit_with_retries(0);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  sh_ref sum = rig_submit_one(&r, 1, &out, 1);
  die(&r.worker[0]);
  EXPECT(rig_work(&r.worker[1]));
  EXPECT_EQ(rig_error(&r.driver, sum), SH_ERR_WORKER_DIED);
  sh_ref_drop(&r.driver, sum);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_dead_client_record_is_reused_under_a_new_epoch(void) {
  rig_open(&r, 1, 1);
  uint32_t index = r.worker[0].index, epoch = r.worker[0].epoch;
  die(&r.worker[0]);
  replace(&r.worker[0]);
  EXPECT_EQ(r.worker[0].index, index);
  EXPECT_EQ(r.worker[0].epoch, epoch + 1);
  sh_event events[8];
  uint32_t n = sh_repair_events(&r.d, events, 8), swept = 0;
  for (uint32_t i = 0; i < n; i++)
    swept += events[i].kind == SH_EVENT_CLIENT_SWEPT && events[i].a == (int64_t)index && events[i].b == (int64_t)epoch;
  EXPECT_EQ(swept, 1);
  for (uint32_t i = 0; i < 3; i++) { /* the ring it inherits still works */
    sh_ref out;
    rig_call call = {.class_id = r.class_id, .n_returns = 1, .addend = i};
    rig_submit(&r.worker[0], &call, &out);
    EXPECT(rig_work(&r.worker[0]));
    EXPECT_EQ(rig_value(&r.worker[0], out), i);
    sh_ref_drop(&r.worker[0], out);
    die(&r.worker[0]);
    replace(&r.worker[0]);
  }
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_objects_of_the_dead_go_unless_others_hold_them(void) {
  rig_open(&r, 2, 2);
  sh_ref mine = rig_put(&r.worker[0], 1, 100000), shared = rig_put(&r.worker[0], 2, 100000);
  sh_ref in_task = rig_put(&r.worker[0], 3, 100), watched;
  sh_ref_share(&r.worker[0], shared);
  EXPECT_EQ(sh_ref_take(&r.worker[1], shared), SH_OK);
  rig_call call = {.class_id = r.class_id, .n_returns = 1, .n_deps = 1, .deps = &in_task, .addend = 1};
  sh_ref lost; /* a task of the dead runs, and nobody is there to take its result */
  rig_submit(&r.worker[0], &call, &lost);
  watched = rig_submit_one(&r, 5, NULL, 0);
  EXPECT_EQ(sh_ref_take(&r.worker[0], (sh_ref_share(&r.driver, watched), watched)), SH_OK);
  EXPECT_EQ(sh_watch(&r.worker[0], watched), SH_OK);
  die(&r.worker[0]);
  EXPECT(sh_entry_checked(&r.d.seg, mine) == NULL);
  EXPECT_EQ(rig_value(&r.worker[1], shared), 2);
  EXPECT_EQ(rig_value(&r.worker[1], in_task), 3);
  rig_work_all(&r);
  EXPECT_EQ(rig_value(&r.driver, watched), 5);
  sh_ref_drop(&r.driver, watched);
  sh_ref_drop(&r.worker[1], shared);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_ended_root_resolves_what_waits_and_refuses_what_comes(void) {
  rig_open(&r, 1, 1);
  sh_ref running = rig_submit_one(&r, 1, NULL, 0), ready = rig_submit_one(&r, 2, NULL, 0);
  sh_ref waiting = rig_submit_one(&r, 3, &ready, 1);
  uint32_t slot;
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  sh_ref late = rig_submit_one(&r, 3, &running, 1);
  sh_repair_end_root(&r.d, RIG_ROOT);
  EXPECT_EQ(rig_error(&r.driver, ready), SH_ERR_ROOT_ENDED);
  EXPECT_EQ(rig_error(&r.driver, waiting), SH_ERR_ROOT_ENDED);
  EXPECT_EQ(rig_error(&r.driver, late), SH_ERR_ROOT_ENDED);
  sh_ref refused = rig_submit_one(&r, 4, NULL, 0);
  EXPECT_EQ(rig_error(&r.driver, refused), SH_ERR_ROOT_ENDED);
  sh_ref depends = rig_submit_one(&r, 5, &running, 1); /* ready only after the scan */
  rig_finish(&r.worker[0], slot);
  EXPECT_EQ(rig_value(&r.driver, running), 1);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_error(&r.driver, depends), SH_ERR_ROOT_ENDED);
  sh_ref all[] = {running, ready, waiting, late, refused, depends};
  for (uint32_t i = 0; i < 6; i++)
    sh_ref_drop(&r.driver, all[i]);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_EMPTY);
  rig_expect_empty(&r);
  rig_close(&r);
}

static sh_ref call_actor(uint32_t class_id, uint64_t addend, const sh_ref *dep) {
  sh_ref out;
  rig_call call = {.class_id = class_id,
                   .n_returns = 1,
                   .flags = SH_SLOT_ACTOR_CALL,
                   .addend = addend,
                   .deps = dep,
                   .n_deps = dep ? 1 : 0,
                   .max_retries = 3};
  rig_submit(&r.driver, &call, &out);
  return out;
}

static void test_actor_calls_start_in_order_and_stall_behind_a_missing_argument(void) {
  rig_open(&r, 1, 1);
  sh_self actor, other;
  uint32_t class_id = rig_actor(&r, &actor), slot;
  rig_attach(&r, &other, SH_ROLE_DRIVER, -1, RIG_ROOT);
  sh_ref missing = rig_submit_one(&r, 100, NULL, 0);
  sh_ref out[5] = {call_actor(class_id, 0, NULL), call_actor(class_id, 1, &missing), call_actor(class_id, 2, NULL),
                   call_actor(class_id, 3, NULL)};
  rig_call call = {.class_id = class_id, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL, .addend = 50};
  rig_submit(&other, &call, &out[4]);
  EXPECT(rig_work(&actor));
  EXPECT(rig_work(&actor)); /* the other caller is not held up */
  EXPECT(!rig_work(&actor));
  EXPECT(rig_is_closed(&r.driver, out[0]) && rig_is_closed(&r.driver, out[4]));
  EXPECT(rig_work(&r.worker[0])); /* resolves the argument */
  for (uint32_t i = 1; i < 4; i++) {
    EXPECT_EQ(sh_next_try(&actor, &slot), SH_OK);
    EXPECT_EQ(sh_slot_return(&r.d.seg, sh_slot_at(&r.d.seg, slot), 0).index, out[i].index);
    rig_finish(&actor, slot);
  }
  EXPECT_EQ(rig_value(&r.driver, out[1]), 101);
  for (uint32_t i = 0; i < 4; i++)
    sh_ref_drop(&r.driver, out[i]);
  sh_ref_drop(&other, out[4]);
  sh_ref_drop(&r.driver, missing);
  rig_detach(&r, &actor);
  rig_detach(&r, &other);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* An actor dies with calls in every state. `close_first`: its class is closed before the death is seen, as by kill. */
static void dead_actor(bool close_first) {
  rig_open(&r, 1, 1);
  sh_self actor;
  uint32_t class_id = rig_actor(&r, &actor), slot, index = actor.index;
  sh_system_error end = {.code = SH_ERR_ACTOR_DIED, .class_id = class_id, .wait_status = -1};
  sh_ref missing = rig_submit_one(&r, 100, NULL, 0), out[5];
  for (uint32_t i = 0; i < 2; i++)
    out[i] = call_actor(class_id, i, NULL);
  out[2] = call_actor(class_id, 2, &missing);
  out[3] = call_actor(class_id, 3, NULL);
  EXPECT(rig_work(&actor));
  EXPECT_EQ(sh_next_try(&actor, &slot), SH_OK); /* dies in the second one, which is not retried */
  uint32_t stalled;
  EXPECT_EQ(sh_next_try(&actor, &stalled), SH_EMPTY);
  if (close_first)
    sh_repair_close_class(&r.d, class_id, &end);
  sh_self_close(&actor);
  sh_repair_round(&r.d, (int32_t)index);
  if (!close_first)
    sh_repair_close_class(&r.d, class_id, &end);
  out[4] = call_actor(class_id, 4, NULL);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_value(&r.driver, out[0]), 0);
  for (uint32_t i = 1; i < 5; i++)
    EXPECT_EQ(rig_error(&r.driver, out[i]), SH_ERR_ACTOR_DIED);
  rig_work_all(&r);
  for (uint32_t i = 0; i < 5; i++)
    sh_ref_drop(&r.driver, out[i]);
  sh_ref_drop(&r.driver, missing);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_calls_of_a_dead_actor_fail(void) {
  dead_actor(false);
}

static void test_calls_of_a_killed_actor_fail(void) {
  dead_actor(true);
}

/* A call that the actor had claimed when its class was closed comes back as ready, and must not lie there. */
static void test_claimed_call_of_a_killed_actor_fails(void) {
  rig_open(&r, 0, 1);
  sh_self actor;
  uint32_t class_id = rig_actor(&r, &actor), slot, index = actor.index;
  sh_system_error end = {.code = SH_ERR_ACTOR_DIED, .class_id = class_id, .wait_status = -1};
  sh_ref out = call_actor(class_id, 1, NULL);
  EXPECT_EQ(sh_next_try(&actor, &slot), SH_OK);
  sh_slot *t = sh_slot_at(&r.d.seg, slot);
  uint64_t word = sh_load_relaxed(&t->word); /* as a kill between claim and run leaves it */
  sh_store_relaxed(&t->word, sh_word(sh_word_generation(word), SH_TASK_CLAIMED, index, sh_word_tag(word)));
  sh_repair_close_class(&r.d, class_id, &end);
  sh_self_close(&actor);
  sh_repair_round(&r.d, (int32_t)index);
  rig_rounds(&r, 2);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_ACTOR_DIED);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* Whoever ends an actor looks for its calls where callers say that they are, and not in what the node has ever held. */
static void test_calls_are_found_where_their_callers_tell(void) {
  rig_open(&r, 0, 1);
  sh_self actor, second;
  uint32_t class_id = rig_actor(&r, &actor), n_words = sh_claims_words(&r.d.seg), n_bits = 0;
  sh_system_error end = {.code = SH_ERR_ACTOR_DIED, .class_id = class_id, .wait_status = -1};
  rig_attach(&r, &second, SH_ROLE_DRIVER, -1, RIG_ROOT);
  rig_call call = {.class_id = class_id, .n_returns = 1, .flags = SH_SLOT_ACTOR_CALL};
  sh_ref orphan, out = call_actor(class_id, 1, NULL);
  rig_submit(&second, &call, &orphan);
  sh_ref other = rig_submit_one(&r, 5, NULL, 0); /* no call: it tells nothing */
  for (uint32_t w = 0; w < n_words; w++)
    n_bits += (uint32_t)__builtin_popcountll(sh_load_relaxed(sh_called_word(&r.d.seg, class_id, w * 64U)));
  EXPECT_EQ(n_bits, 2);
  uint32_t slot = rig_task_of(&r, orphan).index;
  rig_detach(&r, &second); /* its chunk is somebody else's from now on, its call is still there */
  EXPECT_EQ(sh_word_state(sh_load_relaxed(&sh_slot_at(&r.d.seg, slot)->word)), SH_TASK_READY);
  sh_repair_close_class(&r.d, class_id, &end);
  EXPECT_EQ(sh_word_state(sh_load_relaxed(&sh_slot_at(&r.d.seg, slot)->word)), SH_FREE);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_ACTOR_DIED);
  EXPECT(!rig_is_closed(&r.driver, other));
  /* The number of the class is given to another actor when no handle is left: it has no calls yet. */
  sh_known_class(&r.d, class_id)->x_unreferenced = 1U;
  rig_detach(&r, &actor);
  for (uint32_t i = 0; i < SH_MAX_CLASSES && sh_word_state(sh_known_class(&r.d, class_id)->word) == SH_CLASS_CLOSED;
       i++) {
    sh_shape shape = {.root = RIG_ROOT};
    uint32_t next;
    EXPECT_EQ(sh_repair_define_actor(&r.d, &shape, &next), SH_OK);
  }
  for (uint32_t w = 0; w < n_words; w++)
    EXPECT_EQ(sh_load_relaxed(sh_called_word(&r.d.seg, class_id, w * 64U)), 0);
  rig_close(&r);
}

static void test_a_call_whose_bit_was_overwritten_is_found_by_the_look_at_everything(void) {
  rig_open(&r, 0, 1);
  sh_self actor;
  uint32_t class_id = rig_actor(&r, &actor);
  sh_system_error end = {.code = SH_ERR_ACTOR_DIED, .class_id = class_id, .wait_status = -1};
  sh_ref out = call_actor(class_id, 1, NULL);
  for (uint32_t w = 0; w < sh_claims_words(&r.d.seg); w++)
    sh_store_relaxed(sh_called_word(&r.d.seg, class_id, w * 64U), 0);
  sh_repair_close_class(&r.d, class_id, &end);
  EXPECT(!rig_is_closed(&r.driver, out));
  rig_look_at_everything(&r); /* the first look doubts, the second one acts */
  rig_look_at_everything(&r);
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_ACTOR_DIED);
  EXPECT_EQ(r.d.repairs, 1);
  sh_ref_drop(&r.driver, out);
  rig_detach(&r, &actor);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_damaged_record_is_quarantined_not_followed(void) {
  rig_open(&r, 1, 1);
  sh_ref out[3];
  uint32_t slot;
  rig_call call = {.class_id = r.class_id, .n_returns = 3};
  rig_submit(&r.driver, &call, out);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  sh_slot_at(&r.d.seg, slot)->n_returns = 0x7FFFFFFF;
  die(&r.worker[0]);
  EXPECT_EQ(r.d.quarantined, 1);
  for (uint32_t i = 0; i < 3; i++)
    EXPECT_EQ(rig_error(&r.driver, out[i]), SH_ERR_DAMAGED);
  rig_close(&r);
}

/* A worker dies after it sealed all and freed the spec, whose room somebody else uses before the sweep: the references that
 * the sweep would read there are not the dead task's. */
static void test_freed_spec_is_not_believed(void) {
  enum { N = 20 };
  rig_open(&r, 2, 2);
  sh_ref mine[N], theirs[N];
  uint32_t slot;
  rig_call call = {.class_id = r.class_id, .n_returns = N, .addend = 1};
  rig_submit(&r.driver, &call, mine);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  rig_fill(&r.worker[0], slot, 8);
  sh_slot *t = sh_slot_at(&r.d.seg, slot);
  uint64_t word = sh_load_relaxed(&t->word), spec = sh_load_relaxed(&t->loc);
  sh_ref self = {.index = slot, .generation = sh_word_generation(word)};
  sh_store_relaxed(&t->word, sh_word(self.generation, SH_TASK_COMMITTED, r.worker[0].index, sh_word_tag(word)));
  for (uint32_t i = 0; i < N; i++)
    sh_seal(&r.worker[0], mine[i]);
  EXPECT(sh_heap_free(&r.d.seg, &r.driver.heap, r.driver.index, spec, sh_tag(SH_TAG_SLOT, self)));
  call.addend = 2;
  rig_submit(&r.driver, &call, theirs);
  sh_slot *other =
      sh_slot_at(&r.d.seg, sh_ref_unpack(sh_load_relaxed(&sh_entry_at(&r.d.seg, theirs[0].index)->producer)).index);
  EXPECT_EQ(sh_load_relaxed(&other->loc), spec);
  die(&r.worker[0]);
  for (uint32_t i = 0; i < N; i++)
    EXPECT(!rig_is_closed(&r.driver, theirs[i]));
  EXPECT(rig_work(&r.worker[1]));
  for (uint32_t i = 0; i < N; i++) {
    EXPECT_EQ(rig_value(&r.driver, mine[i]), 1 + i);
    EXPECT_EQ(rig_value(&r.driver, theirs[i]), 2 + i);
    sh_ref_drop(&r.driver, mine[i]);
    sh_ref_drop(&r.driver, theirs[i]);
  }
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_freed_spec_is_not_believed);
  RUN(test_task_is_retried_until_its_retries_are_used);
  RUN(test_error_reaches_whoever_depends_on_it);
  RUN(test_dead_client_record_is_reused_under_a_new_epoch);
  RUN(test_objects_of_the_dead_go_unless_others_hold_them);
  RUN(test_ended_root_resolves_what_waits_and_refuses_what_comes);
  RUN(test_actor_calls_start_in_order_and_stall_behind_a_missing_argument);
  RUN(test_calls_of_a_dead_actor_fail);
  RUN(test_calls_of_a_killed_actor_fail);
  RUN(test_claimed_call_of_a_killed_actor_fails);
  RUN(test_calls_are_found_where_their_callers_tell);
  RUN(test_a_call_whose_bit_was_overwritten_is_found_by_the_look_at_everything);
  RUN(test_damaged_record_is_quarantined_not_followed);
  return 0;
}
