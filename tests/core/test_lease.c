/* SPDX-License-Identifier: Apache-2.0
 * Who waits for resources that are not there holds up nobody whose are. */
#include "rig.h"

#include "node/group.h"

#define NEVER 5U /* kinds of resources; there is nothing of this one */
#define DOOR 6U
#define MANY 600U

static rig r;

static uint32_t actor(uint32_t cpu_milli, uint32_t kind) {
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = cpu_milli, .n_demands = kind != 0, .kinds = {kind}, .milli = {1000}};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_actor(&r.d, &shape, &class_id), SH_OK);
  return class_id;
}

static bool reserve(uint32_t class_id) {
  uint32_t mask;
  return sh_repair_reserve_actor(&r.d, class_id, &mask);
}

static bool is_granted(uint32_t class_id) {
  return r.d.actors[class_id].class_id == class_id + 1U;
}

static uint32_t waiting_actor(uint32_t cpu_milli, uint32_t kind) {
  uint32_t class_id = actor(cpu_milli, kind);
  EXPECT(!reserve(class_id));
  return class_id;
}

static void end(uint32_t class_id) {
  sh_system_error error = {.code = SH_ERR_ACTOR_DIED, .wait_status = -1};
  sh_repair_close_class(&r.d, class_id, &error);
}

/* One round while all workers wait for something to do. */
static void serve(void) {
  for (uint32_t i = 0; i < r.n_workers; i++)
    if (r.worker[i].me->x_lease == 0)
      sh_idle_announce(&r.worker[i]);
  rig_rounds(&r, 1);
  for (uint32_t i = 0; i < r.n_workers; i++)
    sh_idle_withdraw(&r.worker[i]);
}

static void test_however_many_actors_wait_for_what_is_not_there_others_are_served(void) {
  rig_open(&r, 1, 1);
  for (uint32_t i = 0; i < MANY; i++)
    (void)waiting_actor(0, NEVER);
  uint32_t last = waiting_actor(0, DOOR);
  rig_rounds(&r, 1);
  EXPECT(!is_granted(last));
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 1000), SH_OK);
  rig_rounds(&r, 1);
  EXPECT(is_granted(last));
  sh_repair_end_root(&r.d, RIG_ROOT);
  rig_close(&r);
}

static void test_however_many_tasks_wait_for_what_is_not_there_others_are_served(void) {
  rig_open(&r, 1, 1);
  sh_ref refs[MANY];
  for (uint32_t i = 0; i < MANY; i++) {
    sh_shape shape = {.root = RIG_ROOT, .n_demands = 1, .kinds = {NEVER}, .milli = {i + 1U}};
    uint32_t class_id;
    EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
    refs[i] = rig_submit_to(&r, class_id);
  }
  uint32_t late = waiting_actor(0, DOOR);
  sh_ref last = rig_submit_to(&r, rig_define(&r, 500, DOOR));
  serve();
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 2000), SH_OK);
  serve();
  EXPECT(is_granted(late));
  EXPECT(rig_work(&r.worker[0]));
  EXPECT(rig_is_closed(&r.driver, last));
  EXPECT_EQ(sh_repair_set_capacity(&r.d, NEVER, MANY), SH_OK);
  for (uint32_t i = 0; i < MANY; i++) { /* who came first is first */
    while (!rig_work(&r.worker[0]))
      serve();
    EXPECT(rig_is_closed(&r.driver, refs[i]));
    sh_ref_drop(&r.driver, refs[i]);
  }
  sh_ref_drop(&r.driver, last);
  uint32_t slot;
  EXPECT_EQ(sh_next_try(&r.worker[0], &slot), SH_EMPTY);
  end(late);
  rig_expect_empty(&r);
  rig_close(&r);
}

static uint32_t group_of_one_cpu(void) {
  sh_demand bundle = {.cpu_milli = 1000};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_group(&r.d, &bundle, 1, &class_id), SH_OK);
  (void)sh_repair_reserve_group(&r.d, class_id);
  return class_id;
}

/* The number of a class says nothing about its age: those of the ended are used again. */
static void test_who_has_waited_longest_is_served_first_whatever_its_number(void) {
  rig_open(&r, 1, 1);
  uint32_t holder = group_of_one_cpu(), first = group_of_one_cpu(), old = group_of_one_cpu();
  rig_rounds(&r, 1);
  sh_repair_remove_group(&r.d, first);
  EXPECT(group_of_one_cpu() < old);
  sh_repair_remove_group(&r.d, holder);
  rig_rounds(&r, 1);
  EXPECT(r.d.groups[old]->is_granted);
  EXPECT(!r.d.groups[first]->is_granted);
  rig_close(&r);
}

static uint32_t leased_seats(void) {
  sh_stats stats;
  sh_repair_stats(&r.d, &stats);
  return (uint32_t)stats.leased_seats;
}

/* Two seats, one of them with an actor: another that needs both must wait for that one's end, and tasks need not. */
static void test_a_seat_that_cannot_do_for_who_waits_stays_with_tasks(void) {
  rig_open(&r, 1, 2);
  uint32_t holder = actor(1000, 0), both = actor(2000, 0);
  EXPECT(reserve(holder) && !reserve(both));
  EXPECT_EQ(leased_seats(), 1);
  rig_rounds(&r, 1);
  EXPECT_EQ(leased_seats(), 1);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT(!rig_work(&r.worker[0]));
  sh_ref_drop(&r.driver, out);
  end(holder);
  rig_rounds(&r, 1); /* collects the seat that the worker keeps at hand, too */
  EXPECT(is_granted(both));
  end(both);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_seats_that_were_collected_for_who_went_are_for_tasks_though_others_wait(void) {
  rig_open(&r, 2, 2);
  sh_ref first = rig_submit_one(&r, 1, NULL, 0), second = rig_submit_one(&r, 2, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]), none;
  uint32_t never = waiting_actor(0, NEVER), both = waiting_actor(2000, 0);
  rig_rounds(&r, 1);
  EXPECT_EQ(leased_seats(), 1);
  EXPECT_EQ(sh_next_try(&r.worker[1], &none), SH_EMPTY);
  sh_idle_announce(&r.worker[1]);
  end(both);
  rig_rounds(&r, 1);
  EXPECT_EQ(leased_seats(), 0);
  EXPECT_EQ(sh_load_relaxed(&r.d.seg.header->x_idle[0]), 0); /* it was woken for it */
  sh_idle_withdraw(&r.worker[1]);
  EXPECT(rig_work(&r.worker[1]));
  rig_finish(&r.worker[0], slot);
  end(never);
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  rig_expect_empty(&r);
  EXPECT_EQ(r.d.repairs, 0);
  rig_close(&r);
}

/* Its worker looks for other work for a moment: what was collected until then is not lost to a stream of small tasks. */
static void test_who_is_collected_for_keeps_its_seats_while_its_worker_is_away(void) {
  rig_open(&r, 2, 2);
  sh_ref narrow = rig_submit_one(&r, 1, NULL, 0), next = rig_submit_one(&r, 2, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]);
  uint32_t never = waiting_actor(0, NEVER);
  sh_ref wide = rig_submit_to(&r, rig_define(&r, 2000, 0));
  sh_idle_announce(&r.worker[1]);
  rig_rounds(&r, 1);
  EXPECT_EQ(leased_seats(), 1);
  sh_idle_withdraw(&r.worker[1]);
  rig_rounds(&r, 1);
  EXPECT_EQ(leased_seats(), 1);
  EXPECT(!rig_work(&r.worker[1]));
  sh_idle_announce(&r.worker[1]);
  rig_rounds(&r, 1);
  rig_finish(&r.worker[0], slot);
  EXPECT(!rig_work(&r.worker[0])); /* the wide one has waited longer */
  rig_rounds(&r, 1);
  EXPECT_EQ(leased_seats(), 2);
  EXPECT(rig_work(&r.worker[1]));
  EXPECT(rig_is_closed(&r.driver, wide));
  EXPECT(!rig_work(&r.worker[1]));
  rig_rounds(&r, 1);
  EXPECT(rig_work(&r.worker[0]));
  end(never);
  sh_ref all[] = {narrow, next, wide};
  for (uint32_t i = 0; i < 3; i++)
    sh_ref_drop(&r.driver, all[i]);
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_however_many_actors_wait_for_what_is_not_there_others_are_served);
  RUN(test_however_many_tasks_wait_for_what_is_not_there_others_are_served);
  RUN(test_who_has_waited_longest_is_served_first_whatever_its_number);
  RUN(test_a_seat_that_cannot_do_for_who_waits_stays_with_tasks);
  RUN(test_seats_that_were_collected_for_who_went_are_for_tasks_though_others_wait);
  RUN(test_who_is_collected_for_keeps_its_seats_while_its_worker_is_away);
  return 0;
}
