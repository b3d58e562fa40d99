/* SPDX-License-Identifier: Apache-2.0 */
#include "rare.h"

#include "base/os.h"
#include "node/board.h"

static void nothing(stage *s) {
  (void)s;
}

static void one_task(stage *s) {
  stage_promise_add(s, stage_submit(s, &s->r.driver, &(rig_call){.addend = 5, .max_retries = 1}), 5, true);
}

static void run_one(sh_self *worker) {
  EXPECT(rig_work(worker));
  sh_seat_leave(worker);
}

/* ---- others sleep ---- */

static void task_of_a_sleeper(stage *s) {
  one_task(s);
  stage_sleep(s, &s->r.driver);
}

static void sleeping_workers(stage *s) {
  for (uint32_t i = 1; i < RIG_WORKERS; i++)
    stage_sleep(s, &s->r.worker[i]);
}

static void work(stage *s) {
  for (uint32_t slot; sh_next_try(s->victim, &slot) == SH_OK;)
    rig_finish(s->victim, slot);
}

static void submit_one(stage *s) {
  (void)stage_submit(s, s->victim, &(rig_call){.addend = 1});
}

/* ---- a party sleeps until the other one has told it something ---- */

static _Alignas(128) uint8_t board_lines[2 * 128];

static sh_board board_of(uint32_t me) {
  return (sh_board){.lines = board_lines, .n_parties = 2, .n_words = 2, .me = me};
}

static void party_that_sleeps(stage *s) {
  memset(board_lines, 0, sizeof board_lines);
  sh_board b = board_of(1);
  sh_board_join(&s->r.driver, &b);
  stage_sleep(s, &s->r.driver);
}

static void join_and_tell(stage *s) {
  sh_board b = board_of(0);
  sh_board_join(s->victim, &b);
  sh_board_tell(s->victim, &b, 1, 3);
}

/* ---- reports of what was resolved ---- */

/* The victim watched an object that is resolved now; and there is one that is not. */
static void unread_report(stage *s) {
  sh_ref resolved = stage_submit(s, &s->r.driver, &(rig_call){.addend = 29});
  sh_ref_share(&s->r.driver, resolved);
  stage_promise_add(s, resolved, 29, false);
  EXPECT_EQ(sh_ref_take(s->victim, resolved), SH_OK);
  EXPECT_EQ(sh_watch(s->victim, resolved), SH_OK);
  sh_magazine *waiters = &s->victim->mags[SH_POOL_WAITER];
  waiters->fresh = waiters->fresh_end; /* the next waiter is the one that is freed now */
  run_one(&s->r.worker[1]);
  s->given = stage_submit(s, &s->r.driver, &(rig_call){.addend = 30});
  sh_ref_share(&s->r.driver, s->given);
  stage_promise_add(s, s->given, 30, true);
}

static void ignore(void *context, sh_ref r) {
  (void)context, (void)r;
}

static void read_reports(stage *s) {
  sh_drain_fired(s->victim, ignore, NULL);
}

static void watch_before_reading(stage *s) {
  EXPECT_EQ(sh_ref_take(s->victim, s->given), SH_OK);
  EXPECT(sh_watch(s->victim, s->given) != SH_FULL);
  sh_drain_fired(s->victim, ignore, NULL);
}

static void mind_and_cease(stage *s) {
  sh_mind_errors(s->victim, true);
  sh_mind_errors(s->victim, false);
}

/* ---- hints that say nothing ---- */

static sh_ring *drivers_ring(stage *s) {
  sh_ring *ring;
  EXPECT_EQ(sh_self_ring(&s->r.driver, s->r.class_id, &ring), SH_OK);
  return ring;
}

static void push_stale_hint(stage *s) {
  sh_ring_memory memory = sh_self_ring_memory(&s->r.driver);
  bool was_empty;
  sh_ref nobody = {.index = 1, .generation = UINT32_MAX};
  EXPECT_EQ(sh_ring_push(drivers_ring(s), &memory, sh_ref_pack(nobody), &was_empty), SH_OK);
}

static void bit_without_ring(stage *s) {
  one_task(s);
  uint32_t other = s->r.worker[3].index;
  sh_fetch_or(&sh_class_at(&s->r.d.seg, s->r.class_id)->x_bits[other / 64U], 1ULL << (other % 64U));
}

#if defined(SH_HOOKS) && SH_HOOKS

static bool meddled;

static bool is_in(const char *function) {
  return !meddled && strcmp(sh_hook_site->function, function) == 0;
}

static void arrives(stage *s, const volatile void *word) {
  (void)word;
  if (!is_in("sh_claim_take"))
    return;
  meddled = true;
  void (*hook)(const volatile void *) = sh_hook_fn;
  const sh_site *site = sh_hook_site;
  sh_hook_fn = NULL;
  push_stale_hint(s);
  sh_hook_fn = hook;
  sh_hook_site = site;
}

static void is_taken(stage *s, const volatile void *word) {
  sh_ring *ring = drivers_ring(s);
  if (!is_in("sh_ring_pop") || word != &ring->x_head || sh_ring_length(ring) != 1)
    return;
  meddled = true;
  atomic_fetch_add(&ring->x_head, 1U);
}

static void is_resolved(stage *s, const volatile void *word) {
  sh_entry *e = sh_entry_at(&s->r.d.seg, s->withheld.index);
  if (is_in("sh_waiter_push") && word == &e->head)
    atomic_fetch_or(&e->head, SH_HEAD_CLOSED);
}

static void interrupt(stage *s, void (*meddle)(stage *s, const volatile void *word)) {
  meddled = false;
  s->meddle = meddle;
}

#else
#define interrupt(s, meddle) ((void)(s))
#endif

static void hint_that_arrives(stage *s) {
  one_task(s);
  interrupt(s, arrives);
}

static void hint_that_another_takes(stage *s) {
  one_task(s);
  push_stale_hint(s);
  interrupt(s, is_taken);
}

/* ---- an argument that is resolved while its waiter is pushed ---- */

static void withheld_object(stage *s) {
  s->withheld = stage_submit(s, &s->r.driver, &(rig_call){.addend = 30});
  sh_ref_share(&s->r.driver, s->withheld);
  EXPECT_EQ(sh_next_try(&s->r.worker[2], &s->withheld_slot), SH_OK);
  rig_fill(&s->r.worker[2], s->withheld_slot, BLOCK);
  interrupt(s, is_resolved);
}

static void submit_with_it(stage *s) {
  EXPECT_EQ(sh_ref_take(s->victim, s->withheld), SH_OK);
  (void)stage_submit(s, s->victim, &(rig_call){.addend = 1, .deps = &s->withheld, .n_deps = 1});
}

/* ---- room ---- */

static void put_two_runs(stage *s) {
  (void)rig_put(s->victim, 1, LARGE);
  sh_ref_drop(s->victim, rig_put(s->victim, 2, LARGE));
}

static void put_over_arenas(stage *s) {
  sh_put put;
  EXPECT_EQ(sh_put_begin(s->victim, SH_ARENA_BYTES + SH_UNIT_BYTES, &put), SH_OK);
  sh_put_commit(s->victim, &put, 0);
  sh_ref_drop(s->victim, put.ref);
}

static void put_too_much(stage *s) {
  sh_put put;
  EXPECT_EQ(sh_put_begin(s->victim, 1ULL << 40, &put), SH_FULL);
}

static void put_and_think_better(stage *s) {
  sh_put put;
  EXPECT_EQ(sh_put_begin(s->victim, BLOCK, &put), SH_OK);
  sh_put_abort(s->victim, &put);
}

static void bury_and_flush(stage *s) {
  sh_ref_bury(s->victim, rig_put(s->victim, 1, BLOCK));
  sh_ref_flush(s->victim);
}

static void open_anew(stage *s) {
  sh_self again;
  EXPECT_EQ(sh_self_open_over(&again, &s->r.d.seg, s->r.d.poke_fd, s->victim->index, s->victim->epoch), SH_OK);
  sh_ref_drop(&again, rig_put(&again, 1, BLOCK));
  sh_self_close(&again);
}

/* No chunk of rings may be claimed by it: a task that it makes ready finds no room for its hint. */
static void no_room_for_rings(stage *s) {
  sh_ref first = stage_submit(s, &s->r.driver, &(rig_call){.addend = 5});
  stage_promise_add(s, stage_submit(s, &s->r.driver, &(rig_call){.addend = 1, .deps = &first, .n_deps = 1}), 6, true);
  stage_promise_add(s, first, 5, true);
  s->victim->seg.fixed.records_bytes = 0;
}

/* ---- closed classes ---- */

static void closed_class(stage *s) {
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = 0};
  EXPECT_EQ(sh_repair_define_class(&s->r.d, &shape, &s->slot), SH_OK);
  sh_system_error end = {.code = SH_ERR_ROOT_ENDED, .wait_status = -1};
  sh_repair_close_class(&s->r.d, s->slot, &end);
}

static void submit_to_it(stage *s) {
  (void)stage_submit(s, s->victim, &(rig_call){.class_id = s->slot, .addend = 1});
}

/* ---- seats ---- */

/* The daemon collects the free seats for a lease that does not come. */
static void free_seats_are_collected(stage *s) {
  for (uint32_t i = 0; i < 4; i++) {
    sh_seat *seat = &sh_seats_of(&s->r.d.seg)->seat[i];
    uint64_t word = sh_load_relaxed(&seat->word);
    if (sh_seat_state_of(word) == SH_SEAT_FREE)
      atomic_compare_exchange_strong(&seat->word, &word, sh_seat_word(0, SH_SEAT_LEASED, (uint32_t)(word >> 32) + 1U));
  }
}

static void running_task(stage *s) {
  one_task(s);
  EXPECT_EQ(sh_next_try(s->victim, &s->slot), SH_OK);
}

static void come_back_without_a_seat(stage *s) {
  sh_block(s->victim);
  free_seats_are_collected(s);
  sh_unblock(s->victim);
  rig_finish(s->victim, s->slot);
  sh_seat_rest(s->victim);
}

/* ---- what there is one of ---- */

static void two_tasks(stage *s, uint32_t class_id) {
  for (uint32_t i = 5; i < 7; i++) {
    rig_call like = {.class_id = class_id, .addend = i, .max_retries = 1};
    stage_promise_add(s, stage_submit(s, &s->r.driver, &like), i, true);
  }
}

/* While it has a task under the lease the other one waits for what the lease is for. */
static void only_lease(stage *s) {
  sh_shape shape = {.root = RIG_ROOT, .n_demands = 1, .kinds = {5}, .milli = {1000}};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_set_capacity(&s->r.d, 5, 1000), SH_OK);
  EXPECT_EQ(sh_repair_define_class(&s->r.d, &shape, &class_id), SH_OK);
  two_tasks(s, class_id);
  sh_idle_announce(s->victim);
  rig_rounds(&s->r, 1);
  EXPECT_EQ(sh_lease_state(sh_load_relaxed(&s->victim->me->x_lease)), SH_LEASE_GRANTED);
}

static void only_seat(stage *s) {
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = 3000};
  uint32_t gpus;
  EXPECT_EQ(sh_repair_define_actor(&s->r.d, &shape, &s->seat_holder), SH_OK);
  EXPECT(sh_repair_reserve_actor(&s->r.d, s->seat_holder++, &gpus));
  two_tasks(s, 0);
  s->independent = true;
}

static void running_on_the_only_seat(stage *s) {
  only_seat(s);
  EXPECT_EQ(sh_next_try(s->victim, &s->slot), SH_OK);
}

static void finish_and_work(stage *s) {
  rig_finish(s->victim, s->slot);
  work(s);
}

/* ---- an actor's calls that did not come in their order ---- */

static sh_ref call(stage *s, uint64_t addend, const sh_ref *dep) {
  rig_call like = {.class_id = s->actor_class, .addend = addend, .flags = SH_SLOT_ACTOR_CALL};
  like.deps = dep;
  like.n_deps = dep != NULL;
  return stage_submit(s, &s->r.driver, &like);
}

static void stalled_calls(stage *s) {
  sh_ref late = stage_submit(s, &s->r.driver, &(rig_call){.addend = 7});
  uint32_t slot;
  stage_promise_add(s, call(s, 1, &late), 8, true);
  stage_promise_add(s, call(s, 2, NULL), 2, true);
  stage_promise_add(s, late, 7, false);
  EXPECT_EQ(sh_next_try(s->victim, &slot), SH_EMPTY); /* both are its own business now */
  run_one(&s->r.worker[1]);                           /* its hint comes by this worker's ring */
}

static void calls_hinted_twice(stage *s) {
  stage_promise_add(s, call(s, 1, NULL), 1, true);
  stage_promise_add(s, call(s, 2, NULL), 2, true);
  sh_sweep_rescan(&s->r.d);
}

const scenario rare_scenarios[] = {
    {"work for a sleeper", STAGE_WORKER, task_of_a_sleeper, work},
    {"join and tell a sleeping party", STAGE_WORKER, party_that_sleeps, join_and_tell},
    {"submit to sleepers", STAGE_DRIVER, sleeping_workers, submit_one},
    {"read reports", STAGE_DRIVER, unread_report, read_reports},
    {"watch before reading reports", STAGE_DRIVER, unread_report, watch_before_reading},
    {"mind errors and cease", STAGE_DRIVER, nothing, mind_and_cease},
    {"look for a ring that is not there", STAGE_WORKER, bit_without_ring, work},
    {"work as a hint arrives", STAGE_WORKER, hint_that_arrives, work},
    {"work as another takes the hint", STAGE_WORKER, hint_that_another_takes, work},
    {"submit as an argument is resolved", STAGE_DRIVER, withheld_object, submit_with_it},
    {"put two runs", STAGE_DRIVER, nothing, put_two_runs},
    {"put over arenas", STAGE_DRIVER, nothing, put_over_arenas},
    {"put too much", STAGE_DRIVER, nothing, put_too_much},
    {"put and think better", STAGE_DRIVER, nothing, put_and_think_better},
    {"bury and flush", STAGE_DRIVER, nothing, bury_and_flush},
    {"open anew", STAGE_DRIVER, nothing, open_anew},
    {"work without room for hints", STAGE_WORKER, no_room_for_rings, work},
    {"submit to a closed class", STAGE_DRIVER, closed_class, submit_to_it},
    {"come back without a seat", STAGE_WORKER, running_task, come_back_without_a_seat},
    {"come back without the only seat", STAGE_WORKER, running_on_the_only_seat, come_back_without_a_seat},
    {"work on the only seat", STAGE_WORKER, only_seat, work},
    {"finish on the only seat", STAGE_WORKER, running_on_the_only_seat, finish_and_work},
    {"work under the only lease", STAGE_WORKER, only_lease, work},
    {"serve calls that were stalled", STAGE_ACTOR, stalled_calls, work},
    {"serve calls that were hinted twice", STAGE_ACTOR, calls_hinted_twice, work},
};
const uint32_t rare_n_scenarios = sizeof rare_scenarios / sizeof *rare_scenarios;
