/* SPDX-License-Identifier: Apache-2.0
 * The tick leaves alone what moves, or only waits: it takes no seat of who computes, wakes nobody for work that nobody may
 * take, tells of an error once, and counts no repair. What lies while somebody who may take it sleeps it brings together. */
#include "rig.h"

static rig r;
#define TICKS 4U

static void ticks(void) {
  for (uint32_t i = 0; i < TICKS; i++)
    rig_tick(&r);
}

static uint64_t repairs(void) {
  sh_stats stats;
  sh_repair_stats(&r.d, &stats);
  return stats.repairs;
}

/* Asleep without a look at what lies there, as one who was told too early. */
static uint32_t fall_asleep(sh_self *self) {
  uint32_t seq = sh_park_prepare(&self->me->park);
  sh_park_announce(&self->me->park, seq);
  sh_idle_announce(self);
  return seq;
}

static bool wakes(sh_self *self, uint32_t seq) {
  bool woken = sh_park_prepare(&self->me->park) != seq;
  sh_park_cancel(&self->me->park);
  sh_idle_withdraw(self);
  return woken;
}

static void test_seat_of_who_computes_is_not_taken(void) {
  rig_open(&r, 2, 1);
  sh_ref first = rig_submit_one(&r, 1, NULL, 0), second = rig_submit_one(&r, 2, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]), seq = fall_asleep(&r.worker[1]);
  ticks();
  EXPECT_EQ(sh_seats_unused(&r.d.seg), 0);
  EXPECT_EQ(repairs(), 0);
  EXPECT(!wakes(&r.worker[1], seq)); /* there is work, and no seat to do it on */
  rig_finish(&r.worker[0], slot);
  EXPECT(rig_work(&r.worker[0]));
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_who_came_back_without_a_seat_is_not_forgotten(void) {
  rig_open(&r, 3, 1);
  sh_ref outs[3];
  for (uint32_t i = 0; i < 3; i++)
    outs[i] = rig_submit_one(&r, i, NULL, 0);
  uint32_t first = rig_claim(&r.worker[0]);
  sh_block(&r.worker[0]);
  uint32_t second = rig_claim(&r.worker[1]);
  sh_unblock(&r.worker[0]); /* its seat is another's by now */
  EXPECT(r.worker[0].unseated);
  ticks();
  EXPECT(sh_load_relaxed(&r.d.seg.header->x_unseated[r.worker[0].index / 64U]) & (1ULL << (r.worker[0].index % 64U)));
  EXPECT_EQ(repairs(), 0);
  rig_finish(&r.worker[1], second);
  rig_finish(&r.worker[0], first);
  rig_work_all(&r);
  for (uint32_t i = 0; i < 3; i++)
    sh_ref_drop(&r.driver, outs[i]);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_work_that_needs_no_seat_waits_for_none(void) {
  rig_open(&r, 2, 1);
  uint32_t free_run = rig_define(&r, 0, 0);
  sh_ref first = rig_submit_one(&r, 1, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]);
  sh_ref second = rig_submit_to(&r, free_run);
  uint32_t seq = fall_asleep(&r.worker[1]);
  ticks();
  EXPECT(repairs() > 0);
  EXPECT(wakes(&r.worker[1], seq));
  EXPECT(rig_work(&r.worker[1]));
  rig_finish(&r.worker[0], slot);
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_nobody_is_woken_for_what_waits_for_a_lease(void) {
  enum { KIND = 5 };
  rig_open(&r, 2, 1);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, KIND, 1000), SH_OK);
  uint32_t leased = rig_define(&r, 0, KIND);
  sh_ref first = rig_submit_to(&r, leased), second = rig_submit_to(&r, leased);
  sh_idle_announce(&r.worker[0]);
  rig_rounds(&r, 2);
  sh_idle_withdraw(&r.worker[0]);
  uint32_t slot = rig_claim(&r.worker[0]), seq = fall_asleep(&r.worker[1]);
  ticks();
  EXPECT_EQ(repairs(), 0);
  EXPECT(!wakes(&r.worker[1], seq));
  rig_finish(&r.worker[0], slot);
  rig_work_all(&r);
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_nobody_is_woken_for_what_is_over(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0);
  sh_system_error end = {.code = SH_ERR_DAMAGED};
  sh_repair_close_class(&r.d, r.class_id, &end);
  EXPECT(rig_is_closed(&r.driver, out));
  uint32_t seq = fall_asleep(&r.worker[0]);
  ticks();
  EXPECT_EQ(repairs(), 0);
  EXPECT(!wakes(&r.worker[0], seq));
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* A worker that is stopped between its commit and what follows; `closed`: after it has published the result. */
static sh_ref commit_and_stop(bool fails, bool closed, uint32_t *slot) {
  sh_ref out = rig_submit_one(&r, 4, NULL, 0);
  *slot = rig_claim(&r.worker[0]);
  if (fails) {
    sh_system_error error = {.code = SH_ERR_DAMAGED};
    sh_fill_system_error(&r.d.seg, out, &error);
  } else {
    rig_fill(&r.worker[0], *slot, 8);
  }
  sh_a64 *word = &sh_slot_at(&r.d.seg, *slot)->word;
  uint64_t running = sh_load_relaxed(word);
  sh_store_release(word,
                   sh_word(sh_word_generation(running), SH_TASK_COMMITTED, r.worker[0].index, sh_word_tag(running)));
  if (closed)
    sh_seal(&r.worker[0], out);
  return out;
}

/* It goes on. */
static void end(sh_ref out, uint32_t slot) {
  sh_slot *t = sh_slot_at(&r.d.seg, slot);
  uint64_t word = sh_load_relaxed(&t->word), loc = sh_load_relaxed(&t->loc);
  sh_seal(&r.worker[0], out);
  if (sh_loc_in_heap(loc))
    EXPECT(sh_heap_free(&r.d.seg, NULL, r.worker[0].index, loc, sh_tag(SH_TAG_SLOT, rig_task_of(&r, out))));
  EXPECT(sh_pool_free(&r.d.seg, SH_POOL_SLOT, NULL, r.worker[0].index, slot, word));
  sh_ref_drop(&r.driver, out);
}

static void test_result_of_a_stopped_worker_is_published_once(void) {
  rig_open(&r, 1, 1);
  uint32_t slot;
  sh_ref out = commit_and_stop(false, false, &slot);
  uint32_t errors = sh_errors_sealed(&r.driver);
  rig_tick(&r);
  EXPECT(!rig_is_closed(&r.driver, out)); /* it may be on its way */
  ticks();
  EXPECT_EQ(rig_value(&r.driver, out), 4);
  EXPECT_EQ(repairs(), 1);
  EXPECT_EQ(sh_errors_sealed(&r.driver), errors);
  end(out, slot);

  out = commit_and_stop(false, true, &slot);
  ticks();
  EXPECT_EQ(repairs(), 1); /* nothing was missing */
  end(out, slot);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_who_waits_is_told_though_the_result_is_there_already(void) {
  rig_open(&r, 1, 1);
  uint32_t slot;
  sh_ref out = commit_and_stop(false, false, &slot);
  EXPECT_EQ(sh_watch(&r.driver, out), SH_OK);
  (void)sh_entry_close(sh_entry_at(&r.d.seg, out.index), out.generation); /* it is stopped before it walks the list */
  EXPECT(!sh_any_fired(&r.driver));
  ticks();
  EXPECT(sh_any_fired(&r.driver));
  EXPECT_EQ(repairs(), 1);
  end(out, slot);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_error_of_a_stopped_worker_is_told_once(void) {
  rig_open(&r, 1, 1);
  uint32_t slot;
  sh_ref out = commit_and_stop(true, false, &slot);
  uint32_t errors = sh_errors_sealed(&r.driver);
  ticks();
  EXPECT_EQ(rig_error(&r.driver, out), SH_ERR_DAMAGED);
  EXPECT_EQ(sh_errors_sealed(&r.driver), errors + 1U);
  end(out, slot);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* Owners of chunks, and writers of rings in chunks that nobody owns, are in shared memory: they may be anything. */
static void test_writers_that_cannot_be_are_passed_over(void) {
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_one(&r, 4, NULL, 0);
  EXPECT(rig_work(&r.worker[0]));
  const sh_pool *p = sh_pool_of(&r.d.seg, SH_POOL_RING);
  sh_a32 *owner = sh_pool_owner(&r.d.seg, p, 0);
  sh_ring *ring = sh_ring_named(&r.d.seg, r.driver.index, r.class_id);
  EXPECT_EQ(sh_load32_relaxed(owner), r.driver.index + 1U);
  sh_store32_relaxed(owner, 0x7FFFFFFFU);
  ticks();
  sh_store32_relaxed(owner, SH_CHUNK_RELEASED);
  ring->writer = 0x7FFFFFFFU;
  ticks();
  ring->writer = r.driver.index;
  sh_store32_relaxed(owner, r.driver.index + 1U);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

static uint32_t flushes_asked(void) {
  sh_event events[64];
  uint32_t n = 0;
  for (uint32_t i = sh_repair_events(&r.d, events, 64); i > 0; i--)
    n += events[i - 1].kind == SH_EVENT_FLUSH;
  return n;
}

static void test_who_buried_something_is_asked_once_to_flush_it(void) {
  rig_open(&r, 1, 1);
  ticks();
  EXPECT_EQ(flushes_asked(), 0);
  sh_ref_bury(&r.driver, rig_put(&r.driver, 1, 8));
  rig_tick(&r);
  EXPECT_EQ(flushes_asked(), 0);
  ticks();
  EXPECT_EQ(flushes_asked(), 1);
  sh_ref_flush(&r.driver);
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_seat_of_who_computes_is_not_taken);
  RUN(test_who_came_back_without_a_seat_is_not_forgotten);
  RUN(test_work_that_needs_no_seat_waits_for_none);
  RUN(test_nobody_is_woken_for_what_waits_for_a_lease);
  RUN(test_nobody_is_woken_for_what_is_over);
  RUN(test_result_of_a_stopped_worker_is_published_once);
  RUN(test_who_waits_is_told_though_the_result_is_there_already);
  RUN(test_error_of_a_stopped_worker_is_told_once);
  RUN(test_writers_that_cannot_be_are_passed_over);
  RUN(test_who_buried_something_is_asked_once_to_flush_it);
  return 0;
}
