/* SPDX-License-Identifier: Apache-2.0
 * Who waits for resources that are not there holds up nobody whose are. */
#include "rig.h"

#include "base/os.h"
#include "node/group.h"

#define NEVER 5U /* kinds of resources; there is nothing of this one */
#define DOOR 6U
#define MANY 600U
#define CREW 99U /* nobody is of it, unless a test says so */

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

/* One round while this worker waits for something to do. */
static void serve(sh_self *worker) {
  sh_idle_announce(worker);
  rig_rounds(&r, 1);
  sh_idle_withdraw(worker);
}

/* It may be woken for other work before. */
static void work_under_a_lease(sh_self *worker) {
  for (uint32_t tries = 0; !rig_work(worker); tries++) {
    EXPECT(tries < 10);
    serve(worker);
  }
}

static uint32_t class_of_crew(uint32_t crew, uint32_t kind) {
  sh_shape shape = {.root = RIG_ROOT, .crew = crew, .cpu_milli = kind ? 0 : 500, .n_demands = kind != 0};
  uint32_t class_id;
  shape.kinds[0] = kind;
  shape.milli[0] = kind ? 1000 : 0;
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
  return class_id;
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
  serve(&r.worker[0]);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 2000), SH_OK);
  serve(&r.worker[0]);
  EXPECT(is_granted(late));
  EXPECT(rig_work(&r.worker[0]));
  EXPECT(rig_is_closed(&r.driver, last));
  EXPECT_EQ(sh_repair_set_capacity(&r.d, NEVER, MANY), SH_OK);
  for (uint32_t i = 0; i < MANY; i++) { /* who came first is first */
    work_under_a_lease(&r.worker[0]);
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

static void test_who_was_served_is_last(void) {
  rig_open(&r, 2, 2);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 2000), SH_OK);
  uint32_t often = rig_define(&r, 0, DOOR), once = rig_define(&r, 500, DOOR);
  sh_ref refs[4] = {rig_submit_to(&r, often), rig_submit_to(&r, often), rig_submit_to(&r, often),
                    rig_submit_to(&r, once)};
  serve(&r.worker[0]);
  EXPECT(rig_work(&r.worker[0]));
  EXPECT(rig_is_closed(&r.driver, refs[0])); /* it has a worker, and would use another */
  serve(&r.worker[1]);
  EXPECT(rig_work(&r.worker[1]));
  EXPECT(rig_is_closed(&r.driver, refs[3]));
  EXPECT(rig_work(&r.worker[0]) && rig_work(&r.worker[0]));
  for (uint32_t i = 0; i < 2; i++)
    EXPECT(!rig_work(&r.worker[i]));
  for (uint32_t i = 0; i < 4; i++)
    sh_ref_drop(&r.driver, refs[i]);
  rig_expect_empty(&r);
  rig_close(&r);
}

static uint32_t crews_asked_for(void) {
  sh_event events[64];
  uint32_t found = 0;
  for (uint32_t n = sh_repair_events(&r.d, events, 64), i = 0; i < n; i++)
    found += events[i].kind == SH_EVENT_NEED_WORKERS && events[i].b == -1;
  return found;
}

static void test_many_classes_ask_once_for_a_worker_of_their_crew(void) {
  rig_open(&r, 0, 1);
  sh_ref refs[5];
  for (uint32_t i = 0; i < 5; i++) {
    sh_shape shape = {.root = RIG_ROOT, .crew = i < 3 ? 0 : CREW, .cpu_milli = 100 + i};
    uint32_t class_id;
    EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
    refs[i] = rig_submit_to(&r, class_id);
  }
  for (uint32_t rounds = 0; rounds < 2; rounds++) {
    rig_rounds(&r, 1);
    EXPECT_EQ(crews_asked_for(), 2);
  }
  for (uint32_t i = 0; i < 5; i++)
    sh_ref_drop(&r.driver, refs[i]);
  sh_repair_end_root(&r.d, RIG_ROOT);
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
  uint32_t never = waiting_actor(0, NEVER), both = waiting_actor(2000, 0), elsewhere = class_of_crew(CREW, 0);
  sh_ref third = rig_submit_to(&r, elsewhere);
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
  sh_system_error error = {.code = SH_ERR_ENVIRONMENT, .wait_status = -1};
  sh_repair_fail_class(&r.d, elsewhere, &error);
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, second);
  sh_ref_drop(&r.driver, third);
  rig_expect_empty(&r);
  EXPECT_EQ(r.d.repairs, 0);
  rig_close(&r);
}

static void test_seats_are_not_kept_for_who_lacks_something_else_by_now(void) {
  rig_open(&r, 2, 2);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 1000), SH_OK);
  sh_ref first = rig_submit_one(&r, 1, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]), both = waiting_actor(2000, DOOR);
  rig_rounds(&r, 1);
  EXPECT_EQ(leased_seats(), 1);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 0), SH_OK);
  rig_rounds(&r, 1);
  EXPECT_EQ(leased_seats(), 0);
  rig_finish(&r.worker[0], slot);
  end(both);
  sh_ref_drop(&r.driver, first);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* What an actor that asks for the first time takes for itself, without having enough, is not kept for others. */
static void test_seats_are_not_kept_for_who_was_collected_for_before(void) {
  rig_open(&r, 2, 2);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 1000), SH_OK);
  sh_ref first = rig_submit_one(&r, 1, NULL, 0), wide = rig_submit_to(&r, rig_define(&r, 2000, DOOR));
  uint32_t slot = rig_claim(&r.worker[0]);
  serve(&r.worker[1]);
  EXPECT_EQ(leased_seats(), 1);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 0), SH_OK);
  serve(&r.worker[1]);
  EXPECT_EQ(leased_seats(), 0);
  end(waiting_actor(2000, 0));
  EXPECT_EQ(leased_seats(), 1);
  rig_rounds(&r, 1);
  EXPECT_EQ(leased_seats(), 0);
  rig_finish(&r.worker[0], slot);
  EXPECT(!rig_work(&r.worker[0]));
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 1000), SH_OK);
  work_under_a_lease(&r.worker[1]);
  EXPECT(rig_is_closed(&r.driver, wide));
  EXPECT(!rig_work(&r.worker[1]));
  sh_ref_drop(&r.driver, first);
  sh_ref_drop(&r.driver, wide);
  rig_expect_empty(&r);
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

/* A task computes on one of two seats, an actor waits for both: the other seat is held for it. */
static uint32_t slot_of_task;
static sh_ref out_of_task;
static uint32_t collecting_actor(uint32_t kind) {
  rig_open(&r, 2, 2);
  out_of_task = rig_submit_one(&r, 1, NULL, 0);
  slot_of_task = rig_claim(&r.worker[0]);
  return waiting_actor(2000, kind);
}
static void expect_granted_in_the_end(uint32_t both) {
  EXPECT(!is_granted(both));
  EXPECT_EQ(leased_seats(), 1);
  rig_finish(&r.worker[0], slot_of_task);
  EXPECT(!rig_work(&r.worker[0]));
  rig_rounds(&r, 1);
  EXPECT(is_granted(both));
  end(both);
  sh_ref_drop(&r.driver, out_of_task);
}

static void test_who_needs_no_cpu_passes_one_that_waits_for_them(void) {
  uint32_t both = collecting_actor(0), door = waiting_actor(0, DOOR);
  rig_rounds(&r, 1);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 2000), SH_OK);
  sh_ref task = rig_submit_to(&r, rig_define(&r, 0, DOOR));
  serve(&r.worker[1]);
  EXPECT(is_granted(door));
  EXPECT_EQ(leased_seats(), 1);
  EXPECT(rig_work(&r.worker[1]));
  EXPECT(!rig_work(&r.worker[1])); /* gives its lease back */
  end(door);
  expect_granted_in_the_end(both);
  sh_ref_drop(&r.driver, task);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_nobody_passes_who_takes_what_the_first_needs(void) {
  uint32_t both = collecting_actor(DOOR), door = waiting_actor(0, DOOR), half = waiting_actor(500, NEVER);
  sh_demand bundle = {.n = 1, .kinds = {DOOR}, .milli = {1000}};
  uint32_t group;
  EXPECT_EQ(sh_repair_define_group(&r.d, &bundle, 1, &group), SH_OK);
  EXPECT(!sh_repair_reserve_group(&r.d, group));
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 1000), SH_OK);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, NEVER, 1000), SH_OK);
  rig_rounds(&r, 1);
  EXPECT(!is_granted(door) && !is_granted(half) && !r.d.groups[group]->is_granted);
  expect_granted_in_the_end(both);
  rig_rounds(&r, 1);
  EXPECT(is_granted(door) && is_granted(half));
  sh_repair_end_root(&r.d, RIG_ROOT);
  rig_rounds(&r, 1);
  EXPECT(r.d.groups[group]->is_granted);
  sh_repair_remove_group(&r.d, group);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_nobody_passes_a_group_who_takes_of_its_bundles(void) {
  rig_open(&r, 2, 2);
  uint32_t slot, group;
  sh_ref out = rig_submit_one(&r, 1, NULL, 0);
  slot = rig_claim(&r.worker[0]);
  sh_demand bundles[2] = {{.cpu_milli = 2000}, {.n = 1, .kinds = {DOOR}, .milli = {1000}}};
  EXPECT_EQ(sh_repair_define_group(&r.d, bundles, 2, &group), SH_OK);
  EXPECT(!sh_repair_reserve_group(&r.d, group));
  uint32_t door = waiting_actor(0, DOOR), other = waiting_actor(0, NEVER);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 1000), SH_OK);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, NEVER, 1000), SH_OK);
  rig_rounds(&r, 1);
  EXPECT(is_granted(other) && !is_granted(door));
  rig_finish(&r.worker[0], slot);
  EXPECT(!rig_work(&r.worker[0]));
  rig_rounds(&r, 1);
  EXPECT(r.d.groups[group]->is_granted);
  sh_repair_remove_group(&r.d, group);
  rig_rounds(&r, 1);
  EXPECT(is_granted(door));
  sh_repair_end_root(&r.d, RIG_ROOT);
  sh_ref_drop(&r.driver, out);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_what_runs_in_a_group_passes_who_waits_for_the_like_of_the_node(void) {
  rig_open(&r, 2, 3);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 2000), SH_OK);
  uint32_t group, in_group;
  sh_demand bundle = {.cpu_milli = 1000, .n = 1, .kinds = {DOOR}, .milli = {1000}};
  EXPECT_EQ(sh_repair_define_group(&r.d, &bundle, 1, &group), SH_OK);
  EXPECT(sh_repair_reserve_group(&r.d, group));
  sh_ref out = rig_submit_one(&r, 1, NULL, 0);
  uint32_t slot = rig_claim(&r.worker[0]), both = waiting_actor(2000, DOOR);
  rig_rounds(&r, 1);
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = 1000, .n_demands = 1, .kinds = {DOOR}, .milli = {1000}};
  shape.group = group + 1U;
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &in_group), SH_OK);
  sh_ref task = rig_submit_to(&r, in_group);
  serve(&r.worker[1]);
  EXPECT(rig_work(&r.worker[1]));
  EXPECT(rig_is_closed(&r.driver, task));
  EXPECT(!rig_work(&r.worker[1]));
  EXPECT(!is_granted(both));
  rig_finish(&r.worker[0], slot);
  EXPECT(!rig_work(&r.worker[0]));
  rig_rounds(&r, 1);
  EXPECT(is_granted(both));
  end(both);
  sh_repair_remove_group(&r.d, group);
  sh_ref_drop(&r.driver, out);
  sh_ref_drop(&r.driver, task);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_no_task_takes_the_worker_of_one_that_is_collected_for(void) {
  rig_open(&r, 2, 2);
  EXPECT_EQ(sh_repair_set_capacity(&r.d, DOOR, 3000), SH_OK);
  sh_ref out = rig_submit_one(&r, 1, NULL, 0), wide = rig_submit_to(&r, rig_define(&r, 2000, 0)), door, crews;
  uint32_t slot = rig_claim(&r.worker[0]), index, epoch;
  sh_idle_announce(&r.worker[1]);
  rig_rounds(&r, 1);
  door = rig_submit_to(&r, rig_define(&r, 0, DOOR));
  rig_rounds(&r, 1);
  EXPECT_EQ(sh_load_relaxed(&r.worker[1].me->x_lease), 0);
  sh_self other; /* an actor, and a task of another crew, need none of its workers */
  uint32_t late = actor(0, DOOR);
  r.d.actor_waits[late] = 1;
  crews = rig_submit_to(&r, class_of_crew(CREW, DOOR));
  EXPECT_EQ(sh_repair_register(&r.d, sh_os_pid(), -1, SH_ROLE_WORKER, -1, RIG_ROOT, CREW, &index, &epoch), SH_OK);
  EXPECT_EQ(sh_self_open_over(&other, &r.d.seg, r.d.poke_fd, index, epoch), SH_OK);
  serve(&other);
  EXPECT(is_granted(late));
  EXPECT(rig_work(&other));
  EXPECT(rig_is_closed(&r.driver, crews));
  EXPECT(!rig_work(&other));
  EXPECT_EQ(sh_load_relaxed(&r.worker[1].me->x_lease), 0);
  rig_finish(&r.worker[0], slot);
  EXPECT(!rig_work(&r.worker[0]));
  rig_rounds(&r, 1);
  EXPECT(rig_work(&r.worker[1]));
  EXPECT(rig_is_closed(&r.driver, wide));
  EXPECT(!rig_work(&r.worker[1]));
  work_under_a_lease(&r.worker[1]);
  EXPECT(!rig_work(&r.worker[1]));
  EXPECT(rig_is_closed(&r.driver, door));
  sh_ref all[] = {out, wide, door, crews};
  for (uint32_t i = 0; i < 4; i++)
    sh_ref_drop(&r.driver, all[i]);
  end(late);
  rig_detach(&r, &other);
  rig_expect_empty(&r);
  rig_close(&r);
}

int main(void) {
  RUN(test_however_many_actors_wait_for_what_is_not_there_others_are_served);
  RUN(test_however_many_tasks_wait_for_what_is_not_there_others_are_served);
  RUN(test_who_has_waited_longest_is_served_first_whatever_its_number);
  RUN(test_who_was_served_is_last);
  RUN(test_many_classes_ask_once_for_a_worker_of_their_crew);
  RUN(test_a_seat_that_cannot_do_for_who_waits_stays_with_tasks);
  RUN(test_seats_that_were_collected_for_who_went_are_for_tasks_though_others_wait);
  RUN(test_seats_are_not_kept_for_who_lacks_something_else_by_now);
  RUN(test_seats_are_not_kept_for_who_was_collected_for_before);
  RUN(test_who_is_collected_for_keeps_its_seats_while_its_worker_is_away);
  RUN(test_who_needs_no_cpu_passes_one_that_waits_for_them);
  RUN(test_nobody_passes_who_takes_what_the_first_needs);
  RUN(test_nobody_passes_a_group_who_takes_of_its_bundles);
  RUN(test_what_runs_in_a_group_passes_who_waits_for_the_like_of_the_node);
  RUN(test_no_task_takes_the_worker_of_one_that_is_collected_for);
  return 0;
}
