/* SPDX-License-Identifier: Apache-2.0
 * Workers are processes that are killed at random under a stream of tasks with known answers. The real repair thread sees
 * their deaths; every value comes out right, and seats, records, payloads and descriptors are back where they were. */
#include "rig.h"

#include "base/os.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 3U
#define WINDOW 16U
#define SLICE_NS 2000000U
#define PATIENCE_NS 60000000000U

static rig r;
static struct {
  pid_t pid;
  int pidfd;
} workers[WORKERS];
static uint32_t seed = 20260711U, started, swept;

static uint32_t next_random(void) {
  seed = seed * 1664525U + 1013904223U;
  return seed >> 9;
}

static void compute_for(uint64_t ns) {
  for (uint64_t end = sh_os_now_ns() + ns; sh_os_now_ns() < end;)
    sh_pause();
}

/* ---- the worker process ---- */

typedef struct ticket {
  uint32_t index, epoch;
} ticket;

static bool with_faults;

#if defined(SH_HOOKS) && SH_HOOKS
static uint32_t stores_left;

/* With hooks the victim dies exactly before a store, as often as not while it holds something. */
static void die_before_a_store(const volatile void *word) {
  (void)word;
  if (--stores_left == 0)
    kill(getpid(), SIGKILL);
}

static void arm(void) {
  seed ^= (uint32_t)getpid() * 2654435761U;
  stores_left = 50U + next_random() % 3000U;
  sh_hook_fn = with_faults ? die_before_a_store : NULL;
}

#else
static void arm(void) {}
#endif

static _Noreturn void serve(int orders) {
  ticket mine;
  sh_self self;
  EXPECT(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0); /* none outlives a test that fails, and keeps its output open */
  arm();
  EXPECT(read(orders, &mine, sizeof mine) == (ssize_t)sizeof mine);
  EXPECT_EQ(sh_self_open_over(&self, &r.d.seg, r.d.poke_fd, mine.index, mine.epoch), SH_OK);
  for (uint32_t slot, turn = mine.epoch;; turn++) {
    if (sh_next_try(&self, &slot) == SH_OK) {
      compute_for(turn % 4U * 20000U);
      rig_fill(&self, slot, turn % 5U == 0 ? 70000 : 8);
      EXPECT_EQ(sh_commit(&self, slot), SH_OK);
      continue;
    }
    if (sh_spin_next(&self))
      continue;
    uint32_t seq = sh_park_prepare(&self.me->park);
    sh_park_announce(&self.me->park, seq);
    sh_idle_announce(&self);
    if (sh_next_possible(&self))
      sh_park_cancel(&self.me->park);
    else
      (void)sh_park_any(&self, seq, SH_NO_DEADLINE, SH_NO_DEADLINE);
    sh_idle_withdraw(&self);
  }
}

static void start_worker(uint32_t i) {
  int orders[2];
  EXPECT(pipe(orders) == 0);
  fflush(NULL);
  pid_t pid = fork();
  EXPECT(pid >= 0);
  if (pid == 0) {
    close(orders[1]);
    serve(orders[0]);
  }
  close(orders[0]);
  workers[i].pid = pid;
  workers[i].pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  EXPECT(workers[i].pidfd >= 0);
  ticket order;
  EXPECT_EQ(sh_repair_register(&r.d, (uint32_t)pid, workers[i].pidfd, SH_ROLE_WORKER, -1, RIG_ROOT, 0, &order.index,
                               &order.epoch),
            SH_OK);
  EXPECT(write(orders[1], &order, sizeof order) == (ssize_t)sizeof order);
  close(orders[1]);
  started++;
}

/* False if it lives, asked without waiting. */
static bool bury_worker(uint32_t i, int options) {
  int status;
  pid_t pid = waitpid(workers[i].pid, &status, options);
  EXPECT(pid >= 0);
  if (pid == 0)
    return false;
  EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it had found nothing wrong until then */
  close(workers[i].pidfd);
  return true;
}

static void kill_worker(uint32_t i) {
  EXPECT(kill(workers[i].pid, SIGKILL) == 0);
  EXPECT(bury_worker(i, 0));
}

/* All at once; they lie there until they are buried. */
static void kill_all(void) {
  siginfo_t info;
  for (uint32_t i = 0; i < WORKERS; i++)
    EXPECT(kill(workers[i].pid, SIGKILL) == 0);
  for (uint32_t i = 0; i < WORKERS; i++)
    EXPECT(waitid(P_PID, (id_t)workers[i].pid, &info, WEXITED | WNOWAIT) == 0);
}

static void replace_the_dead(void) {
  for (uint32_t i = 0; i < WORKERS; i++)
    if (bury_worker(i, WNOHANG))
      start_worker(i);
}

static void await_sweeps(void) {
  while (swept < started) {
    struct pollfd told = {.fd = r.d.event_fd, .events = POLLIN};
    EXPECT(poll(&told, 1, (int)(PATIENCE_NS / 1000000U)) == 1);
    sh_event events[64];
    for (uint32_t n = sh_repair_events(&r.d, events, 64); n > 0; n--)
      swept += events[n - 1].kind == SH_EVENT_CLIENT_SWEPT;
  }
}

/* ---- the driver ---- */

static void await(sh_ref ref) {
  sh_self *self = &r.driver;
  if (rig_is_closed(self, ref))
    return;
  sh_status status = sh_watch(self, ref);
  EXPECT(status == SH_OK || status == SH_EMPTY);
  uint64_t deadline = sh_os_now_ns() + PATIENCE_NS;
  while (!rig_is_closed(self, ref)) {
    status = sh_park_closed(self, ref, NULL, deadline, SLICE_NS);
    EXPECT(status == SH_OK || status == SH_AGAIN);
    replace_the_dead();
  }
}

static uint32_t open_descriptors(void) {
  uint32_t n = 0;
  DIR *folder = opendir("/proc/self/fd");
  EXPECT(folder);
  while (readdir(folder))
    n++;
  closedir(folder);
  return n;
}

/* Nanoseconds for which a process could have run and had no CPU: meanwhile it looks like one that is stopped. */
static uint64_t waited_for_cpu(pid_t pid) {
  char path[64];
  unsigned long long ran, waited = 0;
  (void)snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
  FILE *file = fopen(path, "r");
  if (!file)
    return 0;
  EXPECT(fscanf(file, "%llu %llu", &ran, &waited) == 2);
  fclose(file);
  return waited;
}

/* The same for all at once, where the machine itself is a guest. */
static uint64_t stolen(void) {
  unsigned long long ticks = 0;
  FILE *file = fopen("/proc/stat", "r");
  EXPECT(file && fscanf(file, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &ticks) == 1);
  fclose(file);
  return ticks * (1000000000U / (uint64_t)sysconf(_SC_CLK_TCK));
}

static uint64_t held_up(void) {
  uint64_t ns = waited_for_cpu(getpid()) + stolen();
  for (uint32_t i = 0; i < WORKERS; i++)
    ns += waited_for_cpu(workers[i].pid);
  return ns;
}

static void stream_with_kills(uint32_t kills, uint32_t tasks) {
  rig_open_sized(&r, 0, 2, 512ULL << 20);
  started = swept = 0;
  memset(workers, 0, sizeof workers);
  uint64_t held_up_before = held_up();
  with_faults = kills != 0;
  uint32_t descriptors = open_descriptors(), per_kill = kills ? tasks / kills : UINT32_MAX;
  EXPECT_EQ(sh_repair_start(&r.d), SH_OK);
  for (uint32_t i = 0; i < WORKERS; i++)
    start_worker(i);
  sh_ref refs[WINDOW];
  uint64_t values[WINDOW];
  for (uint32_t i = 0; i < WINDOW; i++)
    refs[i] = rig_put(&r.driver, values[i] = i, 8);
  for (uint32_t step = 0; step < tasks; step++) {
    uint32_t at = step % WINDOW;
    sh_ref deps[2], out[3];
    rig_call call = {.class_id = r.class_id, .max_retries = 1000, .addend = step % 1000U, .deps = deps};
    uint64_t value = call.addend;
    call.n_deps = next_random() % 3U;
    call.n_returns = 1U + 2U * (next_random() % 4U == 0);
    call.padding = next_random() % 8U == 0 ? 3000 : 0;
    for (uint32_t i = 0; i < call.n_deps; i++) {
      uint32_t pick = next_random() % WINDOW;
      deps[i] = refs[pick];
      value += values[pick];
    }
    rig_submit(&r.driver, &call, out);
    for (uint32_t i = 1; i < call.n_returns; i++)
      sh_ref_drop(&r.driver, out[i]);
    await(refs[at]);
    EXPECT_EQ(rig_value(&r.driver, refs[at]), values[at]);
    sh_ref_drop(&r.driver, refs[at]);
    refs[at] = out[0];
    values[at] = value;
    if (step % per_kill == per_kill - 1U) {
      uint32_t who = next_random() % WORKERS;
      compute_for(next_random() % 100000U);
      kill_worker(who);
      start_worker(who);
    }
  }
  for (uint32_t i = 0; i < WINDOW; i++) {
    await(refs[i]);
    EXPECT_EQ(rig_value(&r.driver, refs[i]), values[i]);
    sh_ref_drop(&r.driver, refs[i]);
  }
  sh_stats stats;
  sh_repair_stats(&r.d, &stats);
  /* Somebody who does not move from one tick to the next is helped; on a loaded machine that takes no fault. How long one waits
   * is told when it has run again: of all once they are dead. */
  kill_all();
  if (kills == 0 && held_up() - held_up_before < SH_TICK_NS)
    EXPECT_EQ(stats.repairs, 0);
  if (getenv("SHOAL_TEST_VERBOSE"))
    fprintf(stderr, "%u workers, %u tasks: %llu repairs\n", started, tasks, (unsigned long long)stats.repairs);
  for (uint32_t i = 0; i < WORKERS; i++)
    EXPECT(bury_worker(i, 0));
  await_sweeps();
  sh_repair_stop(&r.d);
  EXPECT_EQ(open_descriptors(), descriptors);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_values_survive_random_kills(void) {
  bool thorough = getenv("SHOAL_LONG") != NULL;
  stream_with_kills(thorough ? 1000 : 60, thorough ? 20000 : 3000);
}

static void test_nothing_is_repaired_without_faults(void) {
  stream_with_kills(0, 3000);
}

int main(void) {
  RUN(test_values_survive_random_kills);
  RUN(test_nothing_is_repaired_without_faults);
  return 0;
}
