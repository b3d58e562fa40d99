/* SPDX-License-Identifier: Apache-2.0
 * A process is stopped before each store to shared memory of each operation, while all others are parked: whatever does
 * not depend on what it had claimed is finished within a few ticks. Then it goes on, and everything ends right. Needs
 * SH_HOOKS. */
#include "stage.h"

#if !defined(SH_HOOKS) || !SH_HOOKS
int main(void) {
  puts("built without hooks: nothing to test");
  return 0;
}
#else

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Two to see that something does not move, and one more for what the first repair set in motion. */
#define TICKS 3U
#define EXTRA_TASKS 3U

static stage s;
static char name[96];
static uint32_t left;

static void stop_self(const volatile void *word) {
  if (s.meddle)
    s.meddle(&s, word);
  if (--left == 0)
    raise(SIGSTOP);
}

/* ---- survivors that sleep, and do nothing unless they are woken ---- */

typedef struct sleeper {
  sh_self *self;
  uint32_t seq;
  bool parked;
} sleeper;
static sleeper sleepers[RIG_WORKERS + 1U];
static uint32_t n_sleepers;

static void park(sleeper *p) {
  p->seq = sh_park_prepare(&p->self->me->park);
  sh_park_announce(&p->self->me->park, p->seq);
  sh_idle_announce(p->self);
  p->parked = true;
}

static void unpark(sleeper *p) {
  sh_park_cancel(&p->self->me->park);
  sh_idle_withdraw(p->self);
  p->parked = false;
}

static void park_survivors(void) {
  sh_self *all[] = {&s.r.worker[0], &s.r.worker[1], &s.r.worker[2], &s.r.worker[3], &s.actor};
  n_sleepers = 0;
  for (uint32_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i] != s.victim && !all[i]->seated_run) {
      sleepers[n_sleepers] = (sleeper){.self = all[i]};
      park(&sleepers[n_sleepers++]);
    }
}

static bool let_the_woken_work(void) {
  bool any = false;
  for (uint32_t i = 0; i < n_sleepers; i++) {
    sleeper *p = &sleepers[i];
    if (sh_park_prepare(&p->self->me->park) == p->seq)
      continue;
    any = true;
    unpark(p);
    while (rig_work(p->self)) {
    }
    park(p);
  }
  return any;
}

/* With no extra tasks there is no push that could wake somebody: only the repair thread does. */
static void others_go_on(uint32_t extra_tasks) {
  if (s.slot && s.r.worker[2].seated_run) {
    rig_finish(&s.r.worker[2], s.slot);
    while (rig_work(&s.r.worker[2])) {
    }
  }
  for (uint32_t i = 0; i < extra_tasks; i++)
    stage_promise_add(&s, rig_submit_one(&s.r, 300 + i, NULL, 0), 300 + i, false);
  while (let_the_woken_work()) {
  }
  for (uint32_t tick = 0; tick < TICKS; tick++) {
    rig_tick(&s.r);
    while (let_the_woken_work()) {
    }
  }
  EXPECT(stage_is_kept_without_victim(&s));
}

/* ---- the victim ---- */

/* True if it came to the end of its act without a stop. */
static bool play(const scenario *which, uint32_t hook, uint32_t extra_tasks) {
  stage_set(&s, which);
  park_survivors();
  fflush(NULL);
  pid_t pid = fork();
  EXPECT(pid >= 0);
  if (pid == 0) {
    left = hook;
    sh_hook_fn = stop_self;
    which->act(&s);
    _exit(0);
  }
  int status;
  EXPECT(waitpid(pid, &status, WUNTRACED) == pid);
  bool stopped = WIFSTOPPED(status);
  others_go_on(extra_tasks);
  if (stopped) {
    kill(pid, SIGCONT);
    EXPECT(waitpid(pid, &status, 0) == pid);
  }
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  for (uint32_t i = 0; i < n_sleepers; i++)
    unpark(&sleepers[i]);
  stage_finish(&s, STAGE_LIVED);
  return !stopped;
}

int main(void) {
  for (uint32_t i = 0; i < 2U * stage_n_scenarios(); i++) {
    const scenario *which = stage_scenario(i / 2U);
    uint32_t extra_tasks = i % 2U ? EXTRA_TASKS : 0;
    stage_open(&s);
    bool done = false;
    for (uint32_t hook = 1; !done; hook++) {
      (void)snprintf(name, sizeof name, "%s, stopped before store %u, %u more tasks", which->name, hook, extra_tasks);
      rig_running(name);
      done = play(which, hook, extra_tasks);
    }
    stage_close(&s);
  }
  return 0;
}
#endif
