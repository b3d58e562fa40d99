/* SPDX-License-Identifier: Apache-2.0
 * Placement groups: all bundles or none, who may use them, and what becomes of it all at their end. */
#include "rig.h"

#include "node/group.h"

#include <sys/resource.h>

#define DISK 3U
#define ANY 0U

static rig r;

static sh_demand bundle_of(uint32_t cpu_milli, uint32_t gpu_milli, uint32_t disk_milli) {
  sh_demand demand = {.cpu_milli = cpu_milli, .gpu_milli = gpu_milli, .n = disk_milli != 0};
  demand.kinds[0] = DISK;
  demand.milli[0] = disk_milli;
  return demand;
}

static uint32_t define(const sh_demand *bundles, uint32_t n) {
  uint32_t group;
  EXPECT_EQ(sh_repair_define_group(&r.d, bundles, n, &group), SH_OK);
  return group;
}

static uint32_t granted_group(sh_demand bundle) {
  uint32_t group = define(&bundle, 1);
  EXPECT(sh_repair_reserve_group(&r.d, group));
  return group;
}

/* A class of tasks in a group; bundle: its number + 1, or ANY. */
static uint32_t class_in(uint32_t group, uint32_t bundle, uint32_t cpu_milli, uint32_t gpu_milli) {
  sh_shape shape = {
      .root = RIG_ROOT, .cpu_milli = cpu_milli, .gpu_milli = gpu_milli, .group = group + 1U, .bundle = bundle};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
  return class_id;
}

/* One round while all workers wait for something to do. */
static void serve(void) {
  for (uint32_t i = 0; i < r.n_workers; i++)
    if (r.worker[i].me->x_lease == 0)
      sh_idle_announce(&r.worker[i]);
  rig_rounds(&r, 1);
}

static bool is_granted_by_event(uint32_t group) {
  sh_event events[64];
  uint32_t n = sh_repair_events(&r.d, events, 64);
  for (uint32_t i = 0; i < n; i++)
    if (events[i].kind == SH_EVENT_GRANTED && events[i].a == group)
      return true;
  return false;
}

static uint32_t leased_seats(void) {
  sh_stats stats;
  sh_repair_stats(&r.d, &stats);
  return (uint32_t)stats.leased_seats;
}

static sh_self *holder(void) {
  for (uint32_t i = 0; i < r.n_workers; i++)
    if (sh_lease_state(sh_load_relaxed(&r.worker[i].me->x_lease)) == SH_LEASE_GRANTED)
      return &r.worker[i];
  return NULL;
}

static void expect_nothing_booked(void) {
  EXPECT_EQ(r.d.ledger.used[DISK], 0);
  EXPECT_EQ(sh_ledger_gpu_used(&r.d.ledger), 0);
  EXPECT_EQ(r.d.seat_pool_milli, 0);
}

static void test_all_bundles_or_none(void) {
  rig_open(&r, 1, 4);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DISK, 3000), SH_OK);
  sh_demand two[2] = {bundle_of(1000, 0, 2000), bundle_of(500, 0, 2000)};
  uint32_t first = granted_group(bundle_of(1000, 0, 2000)), second = define(two, 2);
  EXPECT(!sh_repair_reserve_group(&r.d, second)); /* its first bundle would not fit, nor its second */
  EXPECT_EQ(r.d.ledger.used[DISK], 2000);
  EXPECT_EQ(r.d.seat_pool_milli, 1000);
  sh_repair_remove_group(&r.d, first);
  rig_rounds(&r, 1);
  EXPECT(!is_granted_by_event(second)); /* one of the two fits */
  EXPECT_EQ(r.d.ledger.used[DISK], 0);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DISK, 4000), SH_OK);
  rig_rounds(&r, 1);
  EXPECT(is_granted_by_event(second));
  EXPECT_EQ(r.d.ledger.used[DISK], 4000);
  EXPECT_EQ(leased_seats(), 2); /* one and a half */
  sh_repair_remove_group(&r.d, second);
  expect_nothing_booked();
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_a_group_waits_for_seats_that_are_collected_for_it(void) {
  uint32_t slot, none;
  rig_open(&r, 2, 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0), next = rig_submit_one(&r, 2, NULL, 0);
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_OK);
  sh_demand one = bundle_of(1000, 0, 0);
  uint32_t group = define(&one, 1);
  EXPECT(!sh_repair_reserve_group(&r.d, group));
  rig_rounds(&r, 1);
  rig_finish(&r.worker[0], slot);
  EXPECT_EQ(sh_next_try(&r.worker[0], &none), SH_EMPTY); /* the seat goes to the group, which has waited */
  rig_rounds(&r, 1);
  EXPECT(is_granted_by_event(group));
  sh_repair_remove_group(&r.d, group);
  EXPECT(rig_work(&r.worker[0]));
  sh_ref_drop(&r.driver, out);
  sh_ref_drop(&r.driver, next);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_tasks_of_a_group_use_what_it_holds_and_no_more(void) {
  uint32_t slot;
  rig_open(&r, 3, 2);
  uint32_t group = granted_group(bundle_of(1000, 0, 0)), in = class_in(group, ANY, 1000, 0);
  sh_ref a = rig_submit_to(&r, in), b = rig_submit_to(&r, in);
  serve();
  sh_self *first = holder();
  EXPECT(first);
  EXPECT_EQ(sh_next_try(first, &slot), SH_OK);
  serve();
  EXPECT(!holder()); /* the other seat of the node is not the group's */
  EXPECT_EQ(leased_seats(), 1);
  sh_block(first); /* its task waits in get: its CPU goes on in the group */
  serve();
  sh_self *second = holder();
  EXPECT(second && second != first);
  sh_unblock(first);
  rig_finish(first, slot);
  EXPECT(rig_work(second));
  for (uint32_t i = 0; i < r.n_workers; i++)
    EXPECT_EQ(sh_next_try(&r.worker[i], &slot), SH_EMPTY);
  rig_rounds(&r, 1);
  sh_bundle seen;
  EXPECT(sh_repair_look_at_bundle(&r.d, group, 0, &seen));
  EXPECT_EQ(seen.cpu_used, 0);
  sh_repair_remove_group(&r.d, group);
  EXPECT(!sh_repair_look_at_bundle(&r.d, group, 0, &seen));
  sh_ref_drop(&r.driver, a);
  sh_ref_drop(&r.driver, b);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_tasks_wait_for_their_group(void) {
  rig_open(&r, 2, 2);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DISK, 1000), SH_OK);
  sh_demand one = bundle_of(0, 0, 1000);
  uint32_t before = granted_group(one), group = define(&one, 1);
  EXPECT(!sh_repair_reserve_group(&r.d, group));
  sh_ref out = rig_submit_to(&r, class_in(group, ANY, 0, 0)); /* demands nothing, but to be in it */
  serve();
  EXPECT(!holder());
  sh_repair_remove_group(&r.d, before);
  serve();
  serve();
  EXPECT(holder());
  EXPECT(rig_work(holder()));
  sh_ref_drop(&r.driver, out);
  sh_repair_remove_group(&r.d, group);
  uint32_t slot;
  for (uint32_t i = 0; i < r.n_workers; i++)
    EXPECT_EQ(sh_next_try(&r.worker[i], &slot), SH_EMPTY);
  rig_expect_empty(&r);
  expect_nothing_booked();
  rig_close(&r);
}

static void test_gpus_are_those_of_the_bundle(void) {
  uint32_t slot;
  rig_open(&r, 2, 2);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, 0, 2000), SH_OK);
  sh_demand two[2] = {bundle_of(0, 500, 0), bundle_of(0, 1000, 0)};
  uint32_t group = define(two, 2);
  EXPECT(sh_repair_reserve_group(&r.d, group));
  sh_ref whole = rig_submit_to(&r, class_in(group, ANY, 0, 1000)); /* only the second bundle has a whole one */
  serve();
  EXPECT_EQ((uint32_t)(sh_load_relaxed(&holder()->me->x_lease) >> 32), 1U << 1);
  EXPECT(rig_work(holder()));
  sh_ref part = rig_submit_to(&r, class_in(group, 1, 0, 250));
  serve();
  EXPECT_EQ((uint32_t)(sh_load_relaxed(&holder()->me->x_lease) >> 32), 1U << 0);
  EXPECT(rig_work(holder()));
  for (uint32_t i = 0; i < r.n_workers; i++)
    EXPECT_EQ(sh_next_try(&r.worker[i], &slot), SH_EMPTY);
  sh_ref_drop(&r.driver, whole);
  sh_ref_drop(&r.driver, part);
  sh_repair_remove_group(&r.d, group);
  rig_expect_empty(&r);
  expect_nothing_booked();
  rig_close(&r);
}

static void test_removal_ends_what_waits_and_what_runs(void) {
  uint32_t slot;
  rig_open(&r, 2, 2);
  uint32_t group = granted_group(bundle_of(1000, 0, 0)), in = class_in(group, ANY, 1000, 0);
  rig_call call = {.class_id = in, .n_returns = 1, .max_retries = 5};
  sh_ref running, queued, late, other = rig_submit_one(&r, 3, NULL, 0);
  rig_submit(&r.driver, &call, &running);
  rig_submit(&r.driver, &call, &queued);
  serve();
  sh_self *worker = holder();
  EXPECT_EQ(sh_next_try(worker, &slot), SH_OK);
  sh_repair_remove_group(&r.d, group);
  EXPECT_EQ(rig_error(&r.driver, queued), SH_ERR_GROUP_REMOVED);
  EXPECT(!rig_is_closed(&r.driver, running));
  EXPECT_EQ(rig_condemned(&r), worker->index);
  EXPECT_EQ(leased_seats(), 1); /* it still computes on it */
  rig_submit(&r.driver, &call, &late);
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, late), SH_ERR_GROUP_REMOVED);
  rig_fill(worker, slot, 16);
  EXPECT_EQ(sh_commit(worker, slot), SH_LOST);
  rig_replace(&r, worker);
  rig_rounds(&r, 1);
  EXPECT_EQ(rig_error(&r.driver, running), SH_ERR_GROUP_REMOVED);
  EXPECT_EQ(leased_seats(), 0);
  EXPECT(rig_work(worker)); /* what is not of the group goes on */
  sh_ref all[] = {running, queued, late, other};
  for (uint32_t i = 0; i < 4; i++)
    sh_ref_drop(&r.driver, all[i]);
  rig_expect_empty(&r);
  EXPECT_EQ(r.d.n_endings, 0);
  expect_nothing_booked();
  rig_close(&r);
}

static void test_removal_gives_back_what_an_actor_held_when_it_ends(void) {
  rig_open(&r, 1, 2);
  uint32_t group = granted_group(bundle_of(1000, 0, 0)), actor, mask;
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = 1000, .group = group + 1U};
  EXPECT_EQ(sh_repair_define_actor(&r.d, &shape, &actor), SH_OK);
  EXPECT(sh_repair_reserve_actor(&r.d, actor, &mask));
  sh_repair_remove_group(&r.d, group);
  EXPECT_EQ(leased_seats(), 1);
  sh_system_error end = {.code = SH_ERR_ACTOR_DIED, .wait_status = -1};
  sh_repair_close_class(&r.d, actor, &end);
  EXPECT_EQ(leased_seats(), 0);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_numbers_of_a_removed_group_are_not_used_while_its_job_may_use_them(void) {
  rig_open(&r, 1, 2);
  uint32_t group = granted_group(bundle_of(1000, 0, 0)), in = class_in(group, ANY, 1000, 0);
  sh_repair_remove_group(&r.d, group);
  EXPECT_EQ(granted_group(bundle_of(1000, 0, 0)), group); /* nobody submits to the group itself */
  sh_repair_remove_group(&r.d, group);
  EXPECT_EQ(r.d.known_classes[in].x_unreferenced, 0);
  sh_repair_end_root(&r.d, RIG_ROOT);
  EXPECT_EQ(r.d.known_classes[in].x_unreferenced, 1);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_a_group_larger_than_any_node_gets_nothing(void) {
  static const uint32_t milli[] = {3000, UINT32_MAX - 200U,
                                   UINT32_MAX}; /* and what comes to more when it is rounded up */
  rig_open(&r, 1, 2);
  for (uint32_t i = 0; i < 3; i++) {
    sh_demand large[2] = {bundle_of(milli[i], 0, 0), bundle_of(milli[i], 0, 0)};
    for (uint32_t n = 1; n <= 2; n++) {
      uint32_t group = define(large, n);
      EXPECT(!sh_repair_reserve_group(&r.d, group));
      rig_rounds(&r, 1);
      EXPECT(!is_granted_by_event(group));
      EXPECT_EQ(leased_seats(), 0); /* nothing is collected for it */
      sh_repair_remove_group(&r.d, group);
      expect_nothing_booked();
    }
  }
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_what_was_asked_twice_is_booked_once(void) {
  rig_open(&r, 1, 2);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DISK, 5000), SH_OK);
  uint32_t group = granted_group(bundle_of(1000, 0, 2000)), none = group + 1U;
  EXPECT(sh_repair_reserve_group(&r.d, group));
  EXPECT_EQ(r.d.ledger.used[DISK], 2000);
  EXPECT_EQ(leased_seats(), 1);
  EXPECT(!sh_repair_reserve_group(&r.d, none));
  EXPECT_EQ(r.d.actor_waits[none], 0); /* nobody waits */
  sh_repair_remove_group(&r.d, group);
  sh_repair_remove_group(&r.d, group);
  expect_nothing_booked();
  rig_expect_empty(&r);
  rig_close(&r);
}

/* An actor that was not granted its share yet, and one that lives on for a moment. Their group's number is another's by then. */
static void test_actors_of_a_removed_group_do_not_book_in_the_next_one(void) {
  uint32_t lives, waits, mask, other;
  rig_open(&r, 1, 3);
  sh_demand two[2] = {bundle_of(1000, 0, 0), bundle_of(500, 0, 0)};
  uint32_t group = define(two, 2);
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = 1000, .group = group + 1U, .bundle = 1};
  EXPECT(sh_repair_reserve_group(&r.d, group));
  EXPECT_EQ(sh_repair_define_actor(&r.d, &shape, &lives), SH_OK);
  EXPECT_EQ(sh_repair_define_actor(&r.d, &shape, &waits), SH_OK);
  shape.bundle = 2;
  shape.cpu_milli = 0;
  EXPECT_EQ(sh_repair_define_actor(&r.d, &shape, &other), SH_OK);
  shape.bundle = 3;
  EXPECT_EQ(sh_repair_define_actor(&r.d, &shape, &mask), SH_INVALID); /* it has two */
  EXPECT(sh_repair_reserve_actor(&r.d, lives, &mask));
  EXPECT(!sh_repair_reserve_actor(&r.d, waits, &mask));
  sh_repair_remove_group(&r.d, group);
  EXPECT(!sh_repair_reserve_actor(&r.d, other, &mask)); /* nothing is booked in it any more */
  EXPECT(!sh_repair_reserve_group(&r.d, group));
  EXPECT_EQ(leased_seats(), 2);
  sh_system_error end = {.code = SH_ERR_ACTOR_DIED, .wait_status = -1};
  sh_repair_close_class(&r.d, lives, &end);
  expect_nothing_booked();
  EXPECT_EQ(granted_group(two[0]), group);
  sh_bundle seen;
  EXPECT(!sh_repair_reserve_actor(&r.d, waits, &mask));
  EXPECT(!sh_repair_reserve_actor(&r.d, other, &mask));
  EXPECT(sh_repair_look_at_bundle(&r.d, group, 0, &seen));
  EXPECT_EQ(seen.cpu_used, 0);
  sh_repair_close_class(&r.d, waits, &end);
  sh_repair_close_class(&r.d, other, &end);
  sh_repair_remove_group(&r.d, group);
  expect_nothing_booked();
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_what_is_leased_elsewhere_goes_on(void) {
  rig_open(&r, 2, 3);
  uint32_t group = granted_group(bundle_of(1000, 0, 0)), other = granted_group(bundle_of(1000, 0, 0));
  sh_ref here = rig_submit_to(&r, class_in(group, ANY, 1000, 0)),
         there = rig_submit_to(&r, class_in(other, ANY, 1000, 0)), node = rig_submit_to(&r, rig_define(&r, 500, 0));
  sh_repair_remove_group(&r.d, group);
  EXPECT_EQ(rig_error(&r.driver, here), SH_ERR_GROUP_REMOVED);
  serve();
  while (holder())
    EXPECT(rig_work(holder()));
  uint32_t slot;
  for (uint32_t i = 0; i < r.n_workers; i++)
    EXPECT_EQ(sh_next_try(&r.worker[i], &slot), SH_EMPTY); /* and gives its lease back */
  EXPECT_EQ(rig_error(&r.driver, there), 0);
  EXPECT_EQ(rig_error(&r.driver, node), 0);
  sh_ref all[] = {here, there, node};
  for (uint32_t i = 0; i < 3; i++)
    sh_ref_drop(&r.driver, all[i]);
  sh_repair_remove_group(&r.d, other);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* The job ends, and later the group, which was detached: why what is late ends is the job's end. */
static void test_what_a_job_closed_is_not_closed_again(void) {
  rig_open(&r, 1, 2);
  uint32_t group = granted_group(bundle_of(1000, 0, 0)), in = class_in(group, ANY, 1000, 0);
  sh_repair_end_root(&r.d, RIG_ROOT);
  sh_repair_remove_group(&r.d, group);
  EXPECT_EQ(r.d.known_classes[in].end.code, SH_ERR_ROOT_ENDED);
  rig_expect_empty(&r);
  rig_close(&r);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* which abort when there is no memory */
static void test_without_memory_there_is_no_group(void) {
  static sh_demand most[SH_MAX_BUNDLES];
  uint32_t group = UINT32_MAX;
  struct rlimit before, none;
  rig_open(&r, 1, 2);
  EXPECT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
  EXPECT_EQ(setrlimit(RLIMIT_AS, &none), 0);
  sh_status status = sh_repair_define_group(&r.d, most, SH_MAX_BUNDLES, &group);
  EXPECT_EQ(setrlimit(RLIMIT_AS, &before), 0);
  EXPECT_EQ(status, SH_FULL);
  EXPECT_EQ(group, UINT32_MAX);
  rig_expect_empty(&r);
  rig_close(&r);
}
#endif

static void test_without_numbers_there_is_no_further_group(void) {
  rig_open(&r, 0, 1);
  sh_demand none = bundle_of(0, 0, 0);
  uint32_t group = 0, n = 0;
  while (sh_repair_define_group(&r.d, &none, 1, &group) == SH_OK)
    n++;
  EXPECT_EQ(n, SH_MAX_CLASSES - 1U); /* the rig has a class */
  sh_group *last = r.d.groups[group];
  EXPECT(last);
  EXPECT_EQ(sh_repair_define_group(&r.d, &none, 1, &group), SH_FULL);
  EXPECT(r.d.groups[group] == last);
  sh_repair_remove_group(&r.d, group);
  EXPECT_EQ(sh_repair_define_group(&r.d, &none, 1, &group), SH_OK);
  rig_close(&r);
}

static void test_nothing_is_defined_in_a_removed_group(void) {
  uint32_t group, actor, mask, in;
  rig_open(&r, 1, 2);
  group = granted_group(bundle_of(1000, 0, 0));
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = 1000, .group = group + 1U};
  EXPECT_EQ(sh_repair_define_actor(&r.d, &shape, &actor), SH_OK);
  EXPECT(sh_repair_reserve_actor(&r.d, actor, &mask));
  sh_repair_remove_group(&r.d, group); /* the actor still computes in it */
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &in), SH_INVALID);
  EXPECT_EQ(sh_repair_define_actor(&r.d, &shape, &in), SH_INVALID);
  sh_system_error end = {.code = SH_ERR_ACTOR_DIED, .wait_status = -1};
  sh_repair_close_class(&r.d, actor, &end);
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &in), SH_INVALID);
  expect_nothing_booked();
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_bad_groups_are_refused(void) {
  rig_open(&r, 1, 2);
  uint32_t group;
  sh_demand bad = {.n = 1, .kinds = {0}}, good = bundle_of(1000, 0, 0);
  EXPECT_EQ(sh_repair_define_group(&r.d, &bad, 1, &group), SH_INVALID);
  sh_demand many = {.n = SH_MAX_DEMANDS + 1U, .kinds = {1, 2, 3, 4, 5, 6, 7, 8}};
  EXPECT_EQ(sh_repair_define_group(&r.d, &many, 1, &group), SH_INVALID);
  sh_demand pair[2] = {good, bad};
  EXPECT_EQ(sh_repair_define_group(&r.d, pair, 2, &group), SH_INVALID);
  sh_shape twice = {.root = RIG_ROOT, .n_demands = 2, .kinds = {DISK, DISK}};
  EXPECT_EQ(sh_repair_define_class(&r.d, &twice, &group), SH_INVALID);
  EXPECT_EQ(sh_repair_define_group(&r.d, &good, 0, &group), SH_INVALID);
  static sh_demand most[SH_MAX_BUNDLES + 1U];
  EXPECT_EQ(sh_repair_define_group(&r.d, most, SH_MAX_BUNDLES + 1U, &group), SH_INVALID);
  EXPECT_EQ(sh_repair_define_group(&r.d, most, SH_MAX_BUNDLES, &group), SH_OK);
  sh_shape shape = {.root = RIG_ROOT, .group = 9};
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &group), SH_INVALID);
  sh_repair_remove_group(&r.d, 8);
  EXPECT(!sh_repair_reserve_group(&r.d, 8));
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_all_bundles_or_none);
  RUN(test_a_group_waits_for_seats_that_are_collected_for_it);
  RUN(test_tasks_of_a_group_use_what_it_holds_and_no_more);
  RUN(test_tasks_wait_for_their_group);
  RUN(test_gpus_are_those_of_the_bundle);
  RUN(test_removal_ends_what_waits_and_what_runs);
  RUN(test_removal_gives_back_what_an_actor_held_when_it_ends);
  RUN(test_numbers_of_a_removed_group_are_not_used_while_its_job_may_use_them);
  RUN(test_a_group_larger_than_any_node_gets_nothing);
  RUN(test_what_was_asked_twice_is_booked_once);
  RUN(test_actors_of_a_removed_group_do_not_book_in_the_next_one);
  RUN(test_what_is_leased_elsewhere_goes_on);
  RUN(test_what_a_job_closed_is_not_closed_again);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  RUN(test_without_memory_there_is_no_group);
#endif
  RUN(test_without_numbers_there_is_no_further_group);
  RUN(test_nothing_is_defined_in_a_removed_group);
  RUN(test_bad_groups_are_refused);
  return 0;
}
