/* SPDX-License-Identifier: Apache-2.0
 * A process is stopped before each store to shared memory of each operation, while all others are parked: whatever does
 * not depend on what it had claimed is finished within a few ticks. Then it goes on, and everything ends right. Needs
 * SH_HOOKS. */
#include "onlookers.h"

#if !defined(SH_HOOKS) || !SH_HOOKS
int main(void) {
  puts("built without hooks: nothing to test");
  return 0;
}
#else

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* True if it came to the end of its act without a stop. */
static bool play(const scenario *which, uint32_t hook, uint32_t extra_tasks) {
  stage_set(&s, which);
  onlookers_park(&s);
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
  stage_has_pid(&s, (uint32_t)pid);
  EXPECT(onlookers_go_on(&s, extra_tasks));
  if (stopped) {
    kill(pid, SIGCONT);
    EXPECT(waitpid(pid, &status, 0) == pid);
  }
  EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  onlookers_leave();
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
