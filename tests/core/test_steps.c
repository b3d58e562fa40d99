/* SPDX-License-Identifier: Apache-2.0
 * A process dies, or is stopped, at every instruction of each operation. Runs on the release build, the code that users run.
 *
 * The victim is single-stepped, and stops before every store to the segment (tracer.h). Between two such stops the segment
 * does not change, and of a process that is killed nothing but the segment is left: to die at one instruction in between is
 * to die at any of them. So each state that a death can leave behind is judged once, in a branch (branch.h): the victim is
 * swept, the others finish, every promise is kept, nothing is left over. In another branch it is stopped, and the others,
 * who sleep, do within 100 ms of ticks what does not wait for its own task. That a death by SIGKILL leaves just this is shown
 * on instructions picked at random. The short run goes from store to store; the long one steps through the instructions
 * in between as well, and counts them. */
#include "branch.h"
#include "onlookers.h"
#include "tracer.h"

#include "base/check.h"
#include "base/os.h"

#if SH_CHECK || (defined(SH_HOOKS) && SH_HOOKS)
int main(void) {
  puts("not a release build: nothing to test");
  return 0;
}
#else

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static stage s;
static const scenario *scene;
static char name[160];
static uint32_t first_seed, seed;
static bool thorough;
static uint64_t instructions, states, kills;

static uint32_t next_random(void) {
  seed = seed * 1664525U + 1013904223U;
  return seed >> 8;
}

static void act(void *context) {
  (void)context;
  scene->act(&s);
}

static void say(const char *what, uint64_t at) {
  (void)snprintf(name, sizeof name, "%s, %s %llu (SHOAL_SEED=%u)", scene->name, what, (unsigned long long)at,
                 first_seed);
  rig_running(name);
}

static void judge(stage_fate fate) {
  pid_t branch = branch_off(&s.r);
  if (branch == 0) {
    onlookers_leave();
    stage_finish(&s, fate);
    branch_exit(0);
  }
  EXPECT_EQ(branch_end(branch), 0);
}

static void judge_stopped(uint32_t extra_tasks) {
  pid_t branch = branch_off(&s.r);
  if (branch == 0) {
    EXPECT(onlookers_go_on(&s, extra_tasks));
    branch_exit(0);
  }
  EXPECT_EQ(branch_end(branch), 0);
}

static void die_in_every_state(void) {
  tracer t;
  uint64_t store = 0;
  stage_open(&s);
  stage_set(&s, scene);
  onlookers_park(&s);
  tracer_start(&t, &s.r.d.seg, true, act, NULL);
  stage_has_pid(&s, (uint32_t)t.pid);
  for (tracer_stop stop; (stop = thorough ? tracer_step(&t) : tracer_next_store(&t)) != TRACER_ENDED;) {
    if (stop != TRACER_STORE)
      continue;
    say("dead before store", store);
    judge(STAGE_DIED);
    say("stopped before store", store);
    if (thorough || next_random() % 4U == 0)
      judge_stopped((uint32_t)(store % 3U));
    store++;
  }
  say("at its end, after store", store);
  judge(STAGE_LIVED);
  states += store + 1U;
  onlookers_leave();
  stage_finish(&s, STAGE_LIVED);
  stage_close(&s);
  instructions += t.instructions;
}

static void be_killed_somewhere(void) {
  tracer t;
  uint64_t at = (uint64_t)next_random() % (thorough ? 20000U : 2000U);
  say("killed at instruction", at);
  stage_open(&s);
  stage_set(&s, scene);
  tracer_start(&t, &s.r.d.seg, false, act, NULL);
  bool lives = true;
  while (lives && t.instructions < at)
    lives = tracer_step(&t) != TRACER_ENDED;
  if (lives)
    tracer_kill(&t);
  kills += lives;
  stage_finish(&s, lives ? STAGE_DIED : STAGE_LIVED);
  stage_close(&s);
}

/* Every n-th scenario, from this one on. */
static void run_part(uint32_t from, uint32_t n) {
  for (uint32_t i = from; i < stage_n_scenarios(); i += n) {
    scene = stage_scenario(i);
    seed = first_seed + i; /* whatever ran before */
    die_in_every_state();
    for (uint32_t k = 0; k < (thorough ? 20 : 1); k++)
      be_killed_somewhere();
  }
  if (getenv("SHOAL_TEST_VERBOSE"))
    fprintf(stderr, "%llu states of the segment, over %llu instructions; %llu processes killed\n",
            (unsigned long long)states, (unsigned long long)instructions, (unsigned long long)kills);
}

int main(void) {
  const char *given = getenv("SHOAL_SEED");
  thorough = getenv("SHOAL_LONG") != NULL;
  first_seed = given ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)getpid() * 2654435761U;
  /* A part for each core: tracer and victim never run at the same time. */
  uint32_t n = sh_os_cores();
  for (uint32_t k = 0; k < n; k++) {
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
      EXPECT_EQ(prctl(PR_SET_PDEATHSIG, SIGKILL), 0); /* the first part that fails ends them all */
      run_part(k, n);
      _exit(0);
    }
  }
  for (uint32_t k = 0; k < n; k++) {
    int status;
    EXPECT(wait(&status) > 0);
    EXPECT_EQ(status, 0);
  }
  return 0;
}
#endif
