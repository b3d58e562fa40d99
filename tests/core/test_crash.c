/* SPDX-License-Identifier: Apache-2.0
 * A process is killed before each store to shared memory of each operation, and once more in the sweep of it; the others
 * go on within 100 ms of work, nothing is lost, leaked or freed twice. Needs SH_HOOKS. */
#include "stage.h"

#include "base/os.h"

#if !defined(SH_HOOKS) || !SH_HOOKS
int main(void) {
  puts("built without hooks: nothing to test");
  return 0;
}
#else

#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SURVIVE_NS 100000000U

static stage s;
static char name[96];
static uint32_t left; /* hooks to pass before the end */

static void kill_self(const volatile void *word) {
  (void)word;
  if (--left == 0)
    kill(getpid(), SIGKILL);
}

/* The victim plays its part in a process of its own until the `hook`-th store. True if it got to the end. */
static bool play(const scenario *which, uint32_t hook) {
  stage_set(&s, which);
  fflush(NULL);
  pid_t pid = fork();
  EXPECT(pid >= 0);
  if (pid == 0) {
    left = hook;
    sh_hook_fn = kill_self;
    which->act(&s);
    _exit(0);
  }
  int status;
  EXPECT(waitpid(pid, &status, 0) == pid);
  bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  EXPECT(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
  return !killed;
}

static uint64_t cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

/* -> number of stores that the operation makes. */
static uint32_t killed_anywhere(const scenario *which) {
  stage_open(&s);
  for (uint32_t hook = 1;; hook++) {
    (void)snprintf(name, sizeof name, "%s, killed before store %u", which->name, hook);
    rig_running(name);
    bool done = play(which, hook);
    uint64_t start = cpu_ns();
    stage_finish(&s, done ? STAGE_LIVED : STAGE_DIED);
    EXPECT(cpu_ns() - start < SURVIVE_NS);
    if (!done)
      continue;
    stage_close(&s);
    return hook - 1U;
  }
}

/* ---- and once more, in the sweep ---- */

static jmp_buf out;

static void jump_out(const volatile void *word) {
  (void)word;
  if (--left == 0)
    longjmp(out, 1);
}

/* The sweep is left before its `hook`-th store. True if it got to the end. */
static bool sweep_until(uint32_t hook) {
  (void)sh_counts_read(&s.r.d.counts); /* its position in the logs is private: nothing of it can be begun again */
  left = hook;
  if (setjmp(out)) {
    sh_hook_fn = NULL;
    return false;
  }
  sh_hook_fn = jump_out;
  sh_sweep_client(&s.r.d, s.victim->index);
  sh_hook_fn = NULL;
  return true;
}

/* Interrupted at any store and begun again. The repair thread dies with its counts and its node, so what is asked here is
 * that the shared records bear it: every task ends, and nobody's object is touched. */
static void killed_and_sweep_interrupted(const scenario *which, uint32_t stores, uint32_t kill_step,
                                         uint32_t sweep_step) {
  for (uint32_t hook = 1; hook <= stores; hook += kill_step) {
    uint32_t at = 1U + hook % sweep_step;
    for (bool swept = false; !swept; at += sweep_step) {
      (void)snprintf(name, sizeof name, "%s, killed before store %u, sweep left before %u", which->name, hook, at);
      rig_running(name);
      stage_open(&s);
      (void)play(which, hook);
      swept = sweep_until(at);
      stage_finish(&s, STAGE_DAMAGED);
      stage_close(&s);
    }
  }
}

/* ---- registration: the daemon writes the record, the client nothing that matters ---- */

static bool register_until(uint32_t hook, uint32_t *index, uint32_t *epoch) {
  left = hook;
  if (setjmp(out)) {
    sh_hook_fn = NULL;
    pthread_mutex_unlock(&s.r.d.lock);
    return false;
  }
  sh_hook_fn = jump_out;
  EXPECT_EQ(sh_repair_register(&s.r.d, sh_os_pid(), -1, SH_ROLE_WORKER, -1, RIG_ROOT, index, epoch), SH_OK);
  sh_hook_fn = NULL;
  return true;
}

static void test_interrupted_registration_is_begun_again(void) {
  stage_open(&s);
  bool done = false;
  for (uint32_t hook = 1; !done; hook++) {
    uint32_t index, epoch;
    (void)snprintf(name, sizeof name, "register, left before store %u", hook);
    rig_running(name);
    done = register_until(hook, &index, &epoch);
    if (!done) /* whatever is there now belongs to nobody, or to a client that never came */
      EXPECT_EQ(sh_repair_register(&s.r.d, sh_os_pid(), -1, SH_ROLE_WORKER, -1, RIG_ROOT, &index, &epoch), SH_OK);
    sh_self self;
    EXPECT_EQ(sh_self_open_over(&self, &s.r.d.seg, s.r.d.poke_fd, index, epoch), SH_OK);
    EXPECT_EQ(sh_self_usable(&self), SH_OK);
    sh_ref ref = rig_put(&s.r.driver, 1, 8);
    sh_ref_drop(&s.r.driver, ref);
    ref = rig_submit_one(&s.r, hook, NULL, 0);
    EXPECT(rig_work(&self));
    EXPECT_EQ(rig_value(&s.r.driver, ref), hook);
    sh_ref_drop(&s.r.driver, ref);
    rig_detach(&s.r, &self);
  }
  stage_close(&s);
}

int main(void) {
  test_interrupted_registration_is_begun_again();
  bool thorough = getenv("SHOAL_LONG") != NULL;
  for (uint32_t i = 0; i < stage_n_scenarios; i++) {
    uint32_t stores = killed_anywhere(&stage_scenarios[i]);
    EXPECT(stores > 2); /* it did something */
    killed_and_sweep_interrupted(&stage_scenarios[i], stores, thorough ? 5 : 1U + stores / 2U, thorough ? 11 : 29);
    if (getenv("SHOAL_TEST_VERBOSE"))
      fprintf(stderr, "%s: %u stores\n", stage_scenarios[i].name, stores);
  }
  return 0;
}
#endif
