/* SPDX-License-Identifier: Apache-2.0
 * A process is killed before each store to shared memory of each operation, and once more in the sweep of it; the others
 * go on within 100 ms of work, nothing is lost, leaked or freed twice. In the end every place in the source that writes to
 * shared memory has been visited, or is named below with the reason why not. Needs SH_HOOKS.
 *
 * test_crash [WORD]: only scenarios whose name contains it; what is not visited is not asked then. With SHOAL_LONG in the
 * environment every sweep is left before each of its stores. */
#include "branch.h"
#include "sites.h"
#include "stage.h"

#include "base/os.h"
#include "node/known.h"

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
static uint32_t left;         /* hooks to pass before the end */
static sh_a64 *kills, *pairs; /* shared by all jobs */

static void kill_self(const volatile void *word) {
  if (s.meddle)
    s.meddle(&s, word);
  if (--left > 0)
    return;
  sites_visit();
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

/* Killed before each store, on one node, which what is left over from one death would fill; or each time on a fresh node,
 * where every store is reached. -> number of stores that the operation makes. */
static uint32_t killed_anywhere(const scenario *which, bool fresh) {
  stage_open(&s);
  for (uint32_t hook = 1;; hook++) {
    (void)snprintf(name, sizeof name, "%s, killed before store %u", which->name, hook);
    rig_running(name);
    bool done = play(which, hook);
    uint64_t start = cpu_ns();
    stage_finish(&s, done ? STAGE_LIVED : STAGE_DIED);
    EXPECT(cpu_ns() - start < SURVIVE_NS);
    atomic_fetch_add(kills, !done);
    if (done || fresh)
      stage_close(&s);
    if (done)
      return hook - 1U;
    if (fresh)
      stage_open(&s);
  }
}

/* ---- and once more, in the sweep ---- */

static jmp_buf out;

static bool thorough;

static void jump_out(const volatile void *word) {
  (void)word;
  if (--left > 0 && (thorough || sites_is_visited(sh_hook_site)))
    return;
  sites_visit();
  longjmp(out, 1);
}

/* The sweep is left before its `hook`-th store. True if it got to the end. */
static bool sweep_until(uint32_t hook) {
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
 * that the shared records bear it: every task ends, and nobody's object is touched. One death is swept many times, each
 * time in a branch. The short run leaves a sweep wherever none was left before, and at some stores more. */
static void killed_and_sweep_interrupted(const scenario *which, uint32_t stores) {
  uint32_t kill_step = thorough ? 1 : 1U + stores / 8U, sweep_step = thorough ? 1 : 37;
  for (uint32_t hook = 1; hook <= stores; hook += kill_step) {
    stage_open(&s);
    (void)play(which, hook);
    (void)sh_counts_read(&s.r.d.counts); /* its position in the logs is private: nothing of it can be begun again */
    enum { LEFT, LEFT_EARLY, SWEPT } how = LEFT;
    for (uint32_t at = 1U + hook % sweep_step; how != SWEPT; atomic_fetch_add(pairs, 1U)) {
      pid_t branch = branch_off(&s.r);
      if (branch == 0) {
        (void)snprintf(name, sizeof name, "%s, killed before store %u, sweep left before %u", which->name, hook, at);
        rig_running(name);
        how = sweep_until(at) ? SWEPT : left > 0 ? LEFT_EARLY : LEFT;
        stage_finish(&s, STAGE_DAMAGED);
        branch_exit((int)how);
      }
      how = (unsigned)branch_end(branch);
      at += how == LEFT ? sweep_step : 0;
    }
    stage_finish(&s, STAGE_DIED);
    stage_close(&s);
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
  EXPECT_EQ(sh_repair_register(&s.r.d, sh_os_pid(), -1, SH_ROLE_WORKER, -1, RIG_ROOT, 0, index, epoch), SH_OK);
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
      EXPECT_EQ(sh_repair_register(&s.r.d, sh_os_pid(), -1, SH_ROLE_WORKER, -1, RIG_ROOT, 0, &index, &epoch), SH_OK);
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

/* ---- the end of a class: tasks that wait, are ready, or came too late ---- */

static bool close_until(uint32_t hook, const sh_system_error *end) {
  left = hook;
  if (setjmp(out)) {
    sh_hook_fn = NULL;
    pthread_mutex_unlock(&s.r.d.lock);
    return false;
  }
  sh_hook_fn = jump_out;
  sh_repair_close_class(&s.r.d, s.r.class_id, end);
  sh_sweep_orphans(&s.r.d);
  sh_hook_fn = NULL;
  return true;
}

static void test_interrupted_end_of_a_class_is_begun_again(void) {
  sh_system_error end = {.code = SH_ERR_ROOT_ENDED, .wait_status = -1};
  sh_ref refs[4];
  stage_open(&s);
  refs[0] = rig_submit_one(&s.r, 1, NULL, 0);
  refs[1] = rig_submit_one(&s.r, 2, refs, 1);
  refs[2] = rig_submit_one(&s.r, 3, refs, 2);
  refs[3] = rig_submit_one(&s.r, 4, NULL, 0);
  (void)sh_counts_read(&s.r.d.counts);
  int done = 0;
  for (uint32_t hook = 1; !done; hook++) {
    pid_t branch = branch_off(&s.r);
    if (branch == 0) {
      (void)snprintf(name, sizeof name, "end of a class, left before store %u", hook);
      rig_running(name);
      done = close_until(hook, &end);
      sh_repair_close_class(&s.r.d, s.r.class_id, &end);
      for (uint32_t i = 0; i < 4; i++)
        EXPECT_EQ(rig_error(&s.r.driver, refs[i]), SH_ERR_ROOT_ENDED);
      EXPECT(sh_repair_is_valid(&s.r.d));
      branch_exit(done);
    }
    done = branch_end(branch);
  }
  /* One that its submitter published as the class was closed: the scan for orphans finds it. */
  sh_known_class(&s.r.d, s.r.class_id)->word = sh_word(1, SH_CLASS_CLOSED, 0, 0);
  done = 0;
  for (uint32_t hook = 1; !done; hook++) {
    pid_t branch = branch_off(&s.r);
    if (branch == 0) {
      left = hook;
      if (setjmp(out) == 0) {
        sh_hook_fn = jump_out;
        sh_sweep_orphans(&s.r.d);
        done = 1;
      }
      sh_hook_fn = NULL;
      branch_exit(done);
    }
    done = branch_end(branch);
  }
  /* It is ended as it is: no survivor knows that its class was closed. */
  sh_sweep_orphans(&s.r.d);
  for (uint32_t i = 0; i < 4; i++)
    sh_ref_drop(&s.r.driver, refs[i]);
  stage_close(&s);
}

/* ---- what is not visited ---- */

#define DAEMON "the daemon alone does this, and the node ends with the daemon"
static const sites_exempt exempt[] = {
    {"node/repair.c", "sh_repair_condemn", DAEMON},
    {"node/cancel.c", NULL, DAEMON ": it takes and resolves tasks as the end of a class does"},
    {"node/layout.c", "sh_node_create", "nobody else can see the segment yet"},
    {"node/repair.c", "sh_repair_open", "nobody else can see the segment yet"},
    {"node/repair.c", "sh_repair_start", "a flag of the daemon's own thread"},
    {"node/repair.c", "sh_repair_stop", "the node has ended"},
    {"node/registry.c", "sh_repair_register", DAEMON},
    {"node/group.c", "end_tasks", DAEMON ": it lets go of tasks as a cancel by force does"},
    {"node/registry.c", "sh_define", DAEMON ", and nobody has a handle to that class yet"},
    {"node/registry.c", "sh_repair_end_root", DAEMON ": as the end of a class, for each of its classes"},
    {"node/counts.c", "sh_counts_read", "how far logs were read is private to the daemon"},
    {"node/lease.c", NULL, DAEMON},
    {"node/turns.c", NULL, DAEMON},
    {"node/tick.c", NULL, DAEMON ": each step of a tick is one that a client or a sweep makes too"},
    {"node/heal.c", NULL, DAEMON ", when a peer has done damage, or beside anybody: what another has freed already"},
    {"store/pool.c", "sh_pool_rehint", DAEMON ": hints"},
    {"node/sweep.c", "sh_quarantine_slot", "only when a peer has done damage"},
    {"node/self.c", "abandon_ring", "only when a peer has done damage"},
    {"node/spill.c", NULL, DAEMON},
    {"store/heap.c", "sh_heap_trim", DAEMON},
    {"store/heap.c", "sh_heap_seize", DAEMON},
    {"store/heap.c", "sh_heap_offer", DAEMON},
    {"store/pool.c", "sh_pool_return_chunk", DAEMON},
    {"store/pool.c", "take",
     "two stores, when the daemon returns the chunk at that moment: a block that a death leaves there is freed with "
     "the "
     "chunk's next owner"},
    {"store/pool.c", "claim_chunk", "one store, when malloc fails"},
};

/* One of `jobs` processes that share the scenarios. */
static void play_all(uint32_t job, uint32_t jobs, const char *word) {
  for (uint32_t i = job; i < stage_n_scenarios(); i += jobs) {
    if (!strstr(stage_scenario(i)->name, word))
      continue;
    uint32_t stores = killed_anywhere(stage_scenario(i), true);
    EXPECT(stores > 0); /* it did something */
    (void)killed_anywhere(stage_scenario(i), false);
    killed_and_sweep_interrupted(stage_scenario(i), stores);
    if (getenv("SHOAL_TEST_VERBOSE"))
      fprintf(stderr, "%s: %u stores\n", stage_scenario(i)->name, stores);
  }
}

int main(int argc, char **argv) {
  const char *word = argc > 1 ? argv[1] : "";
  thorough = getenv("SHOAL_LONG") != NULL;
  kills = branch_shared(2U * sizeof *kills);
  pairs = kills + 1;
  sites_open();
  test_interrupted_registration_is_begun_again();
  test_interrupted_end_of_a_class_is_begun_again();
  uint32_t jobs = thorough ? sh_os_cores() : 1U;
  for (uint32_t job = 1; job < jobs; job++) {
    fflush(NULL);
    pid_t pid = fork();
    EXPECT(pid >= 0);
    if (pid == 0) {
      play_all(job, jobs, word);
      branch_exit(0);
    }
  }
  play_all(0, jobs, word);
  for (int status; wait(&status) > 0;)
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  if (getenv("SHOAL_TEST_VERBOSE"))
    fprintf(stderr, "%llu kills, and %llu of a process and then of its sweep\n", (unsigned long long)*kills,
            (unsigned long long)*pairs);
  if (argc == 1)
    sites_expect_visited(exempt, sizeof exempt / sizeof *exempt);
  return 0;
}
#endif
