/* SPDX-License-Identifier: Apache-2.0
 * What a survey tells: each record as it is, nothing of one that is gone, and no crash whatever a peer wrote. */
#include "rig.h"

#include "node/survey.h"

static rig r;

static bool same(sh_ref a, sh_ref b) {
  return a.index == b.index && a.generation == b.generation;
}

static void test_a_task_is_seen_from_submission_to_commit(void) {
  uint32_t slot;
  sh_task_view v;
  rig_open(&r, 1, 1);
  EXPECT_EQ(sh_survey_end(&r.d.seg, SH_POOL_SLOT), 0);
  sh_ref first = rig_submit_one(&r, 1, NULL, 0), second = rig_submit_one(&r, 2, &first, 1);
  sh_object_view promise;
  EXPECT(sh_survey_object(&r.d.seg, first.index, &promise));
  EXPECT(!promise.closed && promise.where == SH_LOC_NONE && promise.size == 0);
  EXPECT_EQ(promise.owner, r.driver.index);

  EXPECT(sh_survey_task(&r.d.seg, promise.producer.index, &v));
  EXPECT(same(v.task, promise.producer));
  EXPECT_EQ(v.state, SH_TASK_READY);
  EXPECT_EQ(v.who, r.class_id);
  EXPECT_EQ(v.submitter, r.driver.index);
  EXPECT_EQ(v.root, RIG_ROOT);
  EXPECT_EQ(v.id.lo, promise.id.lo);
  EXPECT_EQ(v.id.hi, promise.id.hi);

  sh_object_view other;
  EXPECT(sh_survey_object(&r.d.seg, second.index, &other));
  EXPECT(sh_survey_task(&r.d.seg, other.producer.index, &v));
  EXPECT_EQ(v.state, SH_TASK_WAITING);
  EXPECT(same(v.awaits, first));
  sh_ref rows[4];
  EXPECT_EQ(sh_survey_arguments(&r.d.seg, other.producer, rows, 4), 1);
  EXPECT(same(rows[0], first));
  EXPECT_EQ(sh_survey_arguments(&r.d.seg, other.producer, rows, 0), 0);

  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  EXPECT(sh_survey_task(&r.d.seg, slot, &v));
  EXPECT_EQ(v.state, SH_TASK_RUNNING);
  EXPECT_EQ(v.who, r.worker[0].index);
  sh_client_view c;
  EXPECT(sh_survey_client(&r.d.seg, r.worker[0].index, &c));
  EXPECT(same(c.current, v.task));
  EXPECT_EQ(c.role, SH_ROLE_WORKER);
  rig_finish(&r.worker[0], slot);
  rig_rounds(&r, 2);
  EXPECT(!sh_survey_task(&r.d.seg, promise.producer.index, &v));
  EXPECT_EQ(sh_survey_arguments(&r.d.seg, promise.producer, rows, 4), 0);
  EXPECT(sh_survey_object(&r.d.seg, first.index, &promise));
  EXPECT(promise.closed && promise.where == SH_LOC_INLINE && promise.size > 0);
  rig_work_all(&r);
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  rig_close(&r);
}

static void test_a_large_spec_is_read_where_it_lies(void) {
  rig_open(&r, 0, 1);
  sh_ref parts[3] = {rig_put(&r.driver, 1, 8), rig_put(&r.driver, 2, 3000), rig_put(&r.driver, 3, 200000)}, out[1],
         rows[8];
  rig_call call = {.class_id = r.class_id, .n_returns = 1, .n_deps = 3, .deps = parts, .padding = 5000};
  rig_submit(&r.driver, &call, out);
  sh_object_view v;
  EXPECT(sh_survey_object(&r.d.seg, out[0].index, &v));
  EXPECT_EQ(sh_survey_arguments(&r.d.seg, v.producer, rows, 8), 3);
  for (uint32_t i = 0; i < 3; i++)
    EXPECT(same(rows[i], parts[i]));
  EXPECT_EQ(sh_survey_arguments(&r.d.seg, v.producer, rows, 2), 2);
  EXPECT(sh_survey_object(&r.d.seg, parts[2].index, &v));
  EXPECT_EQ(v.where, SH_LOC_RUN);
  EXPECT(v.size >= 200000);
  EXPECT(v.number & SH_NUMBER_PUT);
  EXPECT_EQ(v.producer.generation, 0);
  rig_close(&r);
}

static void test_containers_pins_and_waiters_are_seen(void) {
  rig_open(&r, 1, 1);
  sh_ref inside = rig_put(&r.driver, 1, 3000), rows[4];
  sh_ref box = rig_put_container(&r.driver, &inside, 1);
  EXPECT_EQ(sh_survey_contents(&r.d.seg, box, rows, 4), 1);
  EXPECT(same(rows[0], inside));
  EXPECT_EQ(sh_survey_contents(&r.d.seg, inside, rows, 4), 0);
  sh_pin(&r.driver, inside);
  EXPECT(sh_survey_is_pinned(&r.d.seg, r.driver.index, inside.index));
  EXPECT(!sh_survey_is_pinned(&r.d.seg, r.worker[0].index, inside.index));
  sh_unpin(&r.driver, inside);
  EXPECT(!sh_survey_is_pinned(&r.d.seg, r.driver.index, inside.index));
  sh_ref promise = rig_submit_one(&r, 1, NULL, 0);
  EXPECT_EQ(sh_watch(&r.driver, promise), SH_OK);
  uint32_t found = 0;
  for (uint32_t i = 0, end = sh_survey_end(&r.d.seg, SH_POOL_WAITER); i < end; i++) {
    sh_waiter_view w;
    if (!sh_survey_waiter(&r.d.seg, i, &w))
      continue;
    found++;
    EXPECT(same(w.object, promise));
    EXPECT_EQ(w.kind, SH_WAITS_CLIENT);
    EXPECT_EQ(w.target, r.driver.index);
  }
  EXPECT_EQ(found, 1);
  rig_work_all(&r);
  rig_close(&r);
}

static void test_shared_objects_are_told_with_their_holders(void) {
  sh_holding found[8];
  rig_open(&r, 1, 1);
  sh_ref alone = rig_put(&r.driver, 1, 8), shared = rig_put(&r.driver, 2, 8);
  EXPECT_EQ(sh_repair_holdings(&r.d, found, 8), 0);
  sh_ref_share(&r.driver, shared);
  EXPECT_EQ(sh_ref_take(&r.worker[0], shared), SH_OK);
  EXPECT_EQ(sh_repair_holdings(&r.d, found, 8), 2);
  for (uint32_t i = 0; i < 2; i++) {
    EXPECT(same(found[i].object, shared));
    EXPECT_EQ(found[i].count, 1);
    EXPECT_EQ(found[i].client, i == 0 ? r.driver.index : r.worker[0].index);
  }
  EXPECT_EQ(sh_repair_holdings(&r.d, found, 1), 1);
  sh_ref_drop(&r.worker[0], shared);
  EXPECT_EQ(sh_repair_holdings(&r.d, found, 8), 1);
  sh_ref_drop(&r.driver, shared);
  sh_ref_drop(&r.driver, alone);
  rig_rounds(&r, 2);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_classes_are_seen_with_their_demands(void) {
  sh_class_view v;
  uint32_t class_id;
  rig_open(&r, 0, 1);
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = 500, .n_demands = 1, .kinds = {5}, .milli = {1500}};
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
  EXPECT(sh_survey_class(&r.d.seg, class_id, &v));
  EXPECT_EQ(v.kind, SH_CLASS_LEASE);
  EXPECT_EQ(v.cpu_milli, 500);
  EXPECT_EQ(v.n_demands, 1);
  EXPECT_EQ(v.kinds[0], 5);
  EXPECT_EQ(v.milli[0], 1500);
  EXPECT(!sh_survey_class(&r.d.seg, class_id + 1U, &v));
  EXPECT(!sh_survey_class(&r.d.seg, SH_MAX_CLASSES, &v));
  rig_close(&r);
}

static void test_an_observer_sees_the_same_and_may_not_write(void) {
  sh_segment seen;
  sh_object_view a, b;
  rig_open(&r, 0, 1);
  sh_ref put = rig_put(&r.driver, 1, 3000);
  EXPECT_EQ(sh_segment_observe(&seen, r.d.seg.fd), SH_OK);
  EXPECT(sh_survey_object(&r.d.seg, put.index, &a));
  EXPECT(sh_survey_object(&seen, put.index, &b));
  EXPECT(same(a.object, b.object) && a.size == b.size && a.where == b.where);
  EXPECT(seen.base == seen.read_base);
  sh_segment_detach(&seen);
  EXPECT_EQ(sh_segment_observe(&seen, -1), SH_OS);
  rig_close(&r);
}

static uint64_t state;
static uint64_t next_random(void) {
  state = state * 6364136223846793005ULL + 1442695040888963407ULL;
  return state >> 16 | state << 48;
}

/* Whatever a record says, the reader stays inside the segment. */
static void test_any_garbage_in_a_record_is_survived(void) {
  sh_ref out[1], rows[16];
  rig_open(&r, 0, 1);
  sh_ref parts[2] = {rig_put(&r.driver, 1, 8), rig_put(&r.driver, 2, 3000)};
  sh_ref box = rig_put_container(&r.driver, parts, 2);
  rig_call call = {.class_id = r.class_id, .n_returns = 1, .n_deps = 2, .deps = parts, .padding = 5000};
  rig_submit(&r.driver, &call, out);
  sh_object_view o;
  EXPECT(sh_survey_object(&r.d.seg, out[0].index, &o));
  sh_slot *t = sh_slot_at(&r.d.seg, o.producer.index), whole_slot;
  sh_entry *e = sh_entry_at(&r.d.seg, box.index), whole_entry;
  memcpy(&whole_slot, t, sizeof whole_slot);
  memcpy(&whole_entry, e, sizeof whole_entry);
  for (uint32_t i = 0; i < 20000; i++) {
    sh_task_view v;
    state = i;
    uint32_t at = 1U + (uint32_t)(next_random() % (sizeof(sh_slot) / 8U - 1U));
    ((volatile uint64_t *)(void *)t)[at] = next_random();
    (void)sh_survey_task(&r.d.seg, o.producer.index, &v);
    (void)sh_survey_arguments(&r.d.seg, o.producer, rows, 16);
    memcpy(t, &whole_slot, sizeof whole_slot);
    at = 1U + (uint32_t)(next_random() % (sizeof(sh_entry) / 8U - 1U));
    ((volatile uint64_t *)(void *)e)[at] = next_random();
    (void)sh_survey_object(&r.d.seg, box.index, &o);
    (void)sh_survey_contents(&r.d.seg, box, rows, 16);
    memcpy(e, &whole_entry, sizeof whole_entry);
    (void)sh_survey_object(&r.d.seg, out[0].index, &o);
  }
  sh_task_view v;
  EXPECT(!sh_survey_task(&r.d.seg, UINT32_MAX, &v));
  EXPECT(!sh_survey_object(&r.d.seg, UINT32_MAX, &o));
  sh_waiter_view w;
  EXPECT(!sh_survey_waiter(&r.d.seg, UINT32_MAX, &w));
  sh_client_view c;
  EXPECT(!sh_survey_client(&r.d.seg, UINT32_MAX, &c));
  rig_close(&r);
}

static void test_a_wait_is_seen_as_long_as_it_lasts(void) {
  sh_client_view c;
  rig_open(&r, 1, 1);
  sh_ref promise = rig_submit_one(&r, 1, NULL, 0);
  sh_client *me = r.worker[0].me;
  EXPECT(sh_survey_client(&r.d.seg, r.worker[0].index, &c));
  EXPECT_EQ(c.waits, 0);
  EXPECT_EQ(c.awaits, SH_AWAITS_NOTHING);
  sh_store_release(&me->x_awaits, sh_ref_pack(promise));
  sh_store_release(&me->x_waits, 4096U | SH_WAIT_SOLE);
  EXPECT(sh_survey_client(&r.d.seg, r.worker[0].index, &c));
  EXPECT_EQ(c.awaits, sh_ref_pack(promise));
  EXPECT_EQ(c.waits & ~(uint64_t)SH_WAIT_ENDS_BY, 4096);
  EXPECT_EQ(c.waits & SH_WAIT_ENDS_BY, SH_WAIT_SOLE);
  sh_store_release(&me->x_waits, 0);
  sh_store_release(&me->x_awaits, SH_AWAITS_NOTHING);
  rig_work_all(&r);
  sh_ref_drop(&r.driver, promise);
  rig_close(&r);
}

int main(void) {
  RUN(test_a_task_is_seen_from_submission_to_commit);
  RUN(test_a_large_spec_is_read_where_it_lies);
  RUN(test_containers_pins_and_waiters_are_seen);
  RUN(test_shared_objects_are_told_with_their_holders);
  RUN(test_classes_are_seen_with_their_demands);
  RUN(test_an_observer_sees_the_same_and_may_not_write);
  RUN(test_a_wait_is_seen_as_long_as_it_lasts);
  RUN(test_any_garbage_in_a_record_is_survived);
  return 0;
}
