/* SPDX-License-Identifier: Apache-2.0
 * Crews: a task runs in a worker of its class's crew and in no other, and what waits for a crew that cannot be is told. */
#include "base/os.h"
#include "rig.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define CREW (1U << 31)

static rig r;

static uint32_t class_of_crew(uint32_t crew, uint32_t cpu_milli) {
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = cpu_milli, .crew = crew};
  uint32_t class_id;
  EXPECT_EQ(sh_repair_define_class(&r.d, &shape, &class_id), SH_OK);
  return class_id;
}

static void attach_to_crew_as(sh_self *self, uint32_t crew, uint32_t pid) {
  uint32_t index, epoch;
  EXPECT_EQ(sh_repair_register(&r.d, pid, -1, SH_ROLE_WORKER, -1, RIG_ROOT, crew, &index, &epoch), SH_OK);
  EXPECT_EQ(sh_self_open_over(self, &r.d.seg, r.d.poke_fd, index, epoch), SH_OK);
}

static void attach_to_crew(sh_self *self, uint32_t crew) {
  attach_to_crew_as(self, crew, sh_os_pid());
}

/* Events that ask for workers since the last look: how many for this crew. */
static uint32_t asked_for(uint32_t crew) {
  sh_event events[64];
  uint32_t n = sh_repair_events(&r.d, events, 64), count = 0;
  for (uint32_t i = 0; i < n; i++)
    if (events[i].kind == SH_EVENT_NEED_WORKERS && events[i].b < 0 && events[i].c == (int64_t)crew)
      count += (uint32_t)events[i].a;
  return count;
}

static void test_a_crew_is_part_of_what_makes_a_class(void) {
  rig_open(&r, 1, 1);
  uint32_t plain = class_of_crew(0, SH_CPU_MILLI), one = class_of_crew(CREW, SH_CPU_MILLI);
  EXPECT_EQ(plain, r.class_id);
  EXPECT(one != plain);
  EXPECT_EQ(class_of_crew(CREW, SH_CPU_MILLI), one);
  EXPECT(class_of_crew(CREW + 1U, SH_CPU_MILLI) != one);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_only_its_crew_takes_a_task_of_each_kind(void) {
  const uint32_t demands[] = {0, SH_CPU_MILLI, 500};
  for (uint32_t i = 0; i < 3U; i++) {
    sh_self mine;
    rig_open(&r, 1, 1);
    sh_ref out = rig_submit_to(&r, class_of_crew(CREW, demands[i]));
    rig_rounds(&r, 3);
    EXPECT(!sh_next_possible(&r.worker[0]));
    EXPECT(!rig_work(&r.worker[0]));
    EXPECT(!sh_wake_worker_of(&r.d.seg, CREW, false));
    attach_to_crew(&mine, CREW);
    sh_idle_announce(&mine); /* a lease is given to who waits for work */
    rig_rounds(&r, 3);
    sh_idle_withdraw(&mine);
    EXPECT(sh_next_possible(&mine));
    EXPECT(rig_work(&mine));
    EXPECT(rig_is_closed(&r.driver, out));
    EXPECT(!rig_work(&mine));
    rig_rounds(&r, 3);
    sh_ref_drop(&r.driver, out);
    rig_detach(&r, &mine);
    rig_expect_empty(&r);
    rig_close(&r);
  }
}

static void test_an_awaited_task_of_another_crew_is_not_run_inline(void) {
  uint32_t slot;
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_to(&r, class_of_crew(CREW, SH_CPU_MILLI));
  EXPECT_EQ(sh_next_awaited(&r.worker[0], out, &slot), SH_EMPTY);
  EXPECT_EQ(rig_state_of(&r, out), SH_TASK_READY);
  EXPECT_EQ(rig_cancel(&r, out), SH_OK);
  rig_close_empty(&r, &out, 1);
}

static void test_workers_are_asked_for_by_crew(void) {
  sh_self mine;
  rig_open(&r, 1, 1);
  sh_ref out = rig_submit_to(&r, class_of_crew(CREW, SH_CPU_MILLI));
  rig_rounds(&r, 3);
  EXPECT(asked_for(CREW) > 0);
  EXPECT_EQ(asked_for(RIG_ROOT), 0);
  attach_to_crew(&mine, CREW);
  rig_rounds(&r, 3);
  EXPECT_EQ(asked_for(CREW), 0);
  EXPECT(rig_work(&mine));
  EXPECT(!rig_work(&mine));
  sh_ref_drop(&r.driver, out);
  rig_detach(&r, &mine);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_crews_of_a_job_take_turns(void) {
  enum { N = 100 };
  sh_self mine;
  rig_open(&r, 1, 1);
  attach_to_crew(&mine, CREW);
  uint32_t class_id = class_of_crew(CREW, SH_CPU_MILLI);
  sh_ref many[N], one;
  for (uint32_t i = 0; i < N; i++)
    many[i] = rig_submit_one(&r, i, NULL, 0);
  one = rig_submit_to(&r, class_id);
  for (uint32_t n = 0; !rig_is_closed(&r.driver, one); n++) {
    EXPECT(n < 20); /* it does not wait for the other crew's queue */
    (void)rig_work(&r.worker[0]);
    (void)rig_work(&mine);
    rig_tick(&r);
  }
  EXPECT(!rig_work(&mine));
  rig_tick(&r);
  rig_work_all(&r);
  for (uint32_t i = 0; i < N; i++)
    sh_ref_drop(&r.driver, many[i]);
  sh_ref_drop(&r.driver, one);
  rig_detach(&r, &mine);
  rig_expect_empty(&r);
  rig_close(&r);
}

/* Nobody of the crew is there to take the hint of a task that is gone; the job's own workers take theirs. */
static void test_no_worker_is_asked_for_on_behalf_of_what_was_cancelled(void) {
  rig_open(&r, 1, 1);
  uint32_t class_id = class_of_crew(CREW, SH_CPU_MILLI);
  sh_ref out[2] = {rig_submit_to(&r, class_id), rig_submit_one(&r, 1, NULL, 0)};
  for (uint32_t i = 0; i < 2; i++)
    EXPECT_EQ(rig_cancel(&r, out[i]), SH_OK);
  EXPECT_EQ(sh_ring_length(sh_ring_named(&r.d.seg, r.driver.index, class_id)), 0);
  EXPECT_EQ(sh_ring_length(sh_ring_named(&r.d.seg, r.driver.index, r.class_id)), 1);
  (void)asked_for(CREW);
  rig_rounds(&r, 3);
  EXPECT_EQ(asked_for(CREW), 0);
  EXPECT(!rig_work(&r.worker[0]));
  rig_close_empty(&r, out, 2);
}

static uint32_t turns_of(uint32_t crew, uint32_t n_ticks) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < n_ticks; i++) {
    rig_tick(&r);
    n += sh_load32_relaxed(&sh_seats_of(&r.d.seg)->x_turn) == crew;
  }
  return n;
}

static void test_a_crew_whose_workers_are_all_stopped_has_no_turn(void) {
  sh_self stopped, mine;
  int status;
  pid_t pid = fork();
  if (pid == 0)
    for (;;)
      pause();
  rig_open(&r, 1, 1);
  attach_to_crew_as(&stopped, CREW, (uint32_t)pid);
  sh_ref out[2] = {rig_submit_to(&r, class_of_crew(CREW, SH_CPU_MILLI)),
                   rig_submit_to(&r, class_of_crew(0, SH_CPU_MILLI))};
  EXPECT_EQ(turns_of(CREW, 10), 5);
  EXPECT_EQ(kill(pid, SIGSTOP), 0);
  EXPECT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  EXPECT_EQ(turns_of(CREW, 10), 0);
  attach_to_crew(&mine, CREW); /* one that moves is enough */
  EXPECT_EQ(turns_of(CREW, 10), 5);
  rig_detach(&r, &mine);
  EXPECT_EQ(turns_of(CREW, 10), 0);
  EXPECT_EQ(kill(pid, SIGCONT), 0);
  EXPECT_EQ(waitpid(pid, &status, WCONTINUED), pid);
  EXPECT_EQ(turns_of(CREW, 10), 5);
  EXPECT_EQ(kill(pid, SIGKILL), 0);
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  for (uint32_t n = 0; !rig_is_closed(&r.driver, out[0]) || !rig_is_closed(&r.driver, out[1]); n++) {
    EXPECT(n < 20);
    (void)rig_work(&r.worker[0]);
    (void)rig_work(&stopped);
    rig_tick(&r);
  }
  EXPECT(!rig_work(&stopped));
  rig_detach(&r, &stopped);
  rig_close_empty(&r, out, 2);
}

static void test_what_waits_for_a_crew_that_cannot_be_is_told_and_the_class_goes_on(void) {
  sh_self mine;
  sh_ref out[3];
  rig_open(&r, 1, 1);
  uint32_t class_id = class_of_crew(CREW, SH_CPU_MILLI);
  out[0] = rig_submit_to(&r, class_id);
  rig_submit(&r.driver, &(rig_call){.class_id = class_id, .n_returns = 1, .n_deps = 1, .deps = &out[0]}, &out[1]);
  sh_system_error end = {.code = SH_ERR_ENVIRONMENT, .epoch = 5, .wait_status = -1, .class_id = class_id};
  sh_repair_fail_class(&r.d, class_id, &end);
  EXPECT_EQ(rig_error(&r.driver, out[0]), SH_ERR_ENVIRONMENT);
  EXPECT_EQ(rig_error(&r.driver, out[1]), SH_ERR_ENVIRONMENT);
  rig_rounds(&r, 3);
  (void)asked_for(CREW);
  rig_rounds(&r, 3);
  EXPECT_EQ(asked_for(CREW), 0); /* nobody waits any more */
  out[2] = rig_submit_to(&r, class_id);
  rig_rounds(&r, 3);
  EXPECT(asked_for(CREW) > 0);
  attach_to_crew(&mine, CREW);
  EXPECT(rig_work(&mine));
  EXPECT_EQ(rig_error(&r.driver, out[2]), 0);
  EXPECT(!rig_work(&mine));
  rig_detach(&r, &mine);
  rig_close_empty(&r, out, 3);
}

int main(void) {
  RUN(test_a_crew_is_part_of_what_makes_a_class);
  RUN(test_only_its_crew_takes_a_task_of_each_kind);
  RUN(test_an_awaited_task_of_another_crew_is_not_run_inline);
  RUN(test_workers_are_asked_for_by_crew);
  RUN(test_crews_of_a_job_take_turns);
  RUN(test_no_worker_is_asked_for_on_behalf_of_what_was_cancelled);
  RUN(test_a_crew_whose_workers_are_all_stopped_has_no_turn);
  RUN(test_what_waits_for_a_crew_that_cannot_be_is_told_and_the_class_goes_on);
  return 0;
}
