/* SPDX-License-Identifier: Apache-2.0
 * Many clients at once, each a thread over one mapping: known answers come out of random graphs with actors, nested
 * references, dropped results and payloads of all sizes; everything is given back, and nothing is ever repaired. */
#include "rig.h"

#include "base/os.h"

#include <pthread.h>
#include <sched.h>

#define DRIVERS 3U
#define WORKERS 3U
#define WINDOW 12U
#define NESTED 1U /* function: makes a call of its own and waits for it */
#define CHILD 1000U

static rig r;
static sh_self drivers[DRIVERS], workers[WORKERS], actor;
static uint32_t actor_class, lease_class, rounds;
static sh_a32 over; /* the workers may go */

static uint32_t next_random(uint32_t *seed) {
  *seed = *seed * 1664525U + 1013904223U;
  return *seed >> 9;
}

static void await(sh_self *self, sh_ref ref) {
  if (rig_is_closed(self, ref) || sh_spin_closed(self, ref, 20000))
    return;
  sh_status status = sh_watch(self, ref);
  EXPECT(status == SH_OK || status == SH_EMPTY);
  while (!rig_is_closed(self, ref))
    EXPECT(sh_park_closed(self, ref, NULL, sh_os_now_ns() + 60000000000U, SH_NO_DEADLINE) == SH_OK);
}

static void nothing(void *context, sh_ref ref) {
  (void)context, (void)ref;
}

/* A window of live objects with known values; each step makes a call on some of them in place of the oldest. */
static void *drive(void *context) {
  sh_self *self = context;
  uint32_t seed = self->index * 7919U;
  sh_ref refs[WINDOW];
  uint64_t values[WINDOW];
  for (uint32_t i = 0; i < WINDOW; i++) {
    values[i] = i;
    refs[i] = rig_put(self, i, 8);
  }
  for (uint32_t step = 0; step < rounds; step++) {
    uint32_t at = step % WINDOW, n_deps = next_random(&seed) % 4U, kind = next_random(&seed) % 8U;
    sh_ref deps[4], out[3];
    rig_call call = {.class_id = r.class_id, .n_returns = 1, .deps = deps, .n_deps = n_deps, .addend = step};
    uint64_t value = step;
    for (uint32_t i = 0; i < n_deps; i++) {
      uint32_t pick = next_random(&seed) % WINDOW;
      deps[i] = refs[pick];
      value += values[pick];
    }
    if (kind == 0) {
      uint32_t sizes[] = {8, 300, 5000, 70000};
      out[0] = rig_put(self, step, sizes[next_random(&seed) % 4U]);
      value = step;
    } else {
      if (kind == 1) {
        call.class_id = actor_class;
        call.flags = SH_SLOT_ACTOR_CALL;
      }
      if (kind == 5)
        call.class_id = lease_class;
      if (kind == 6) {
        call.function = NESTED;
        value += CHILD;
      }
      call.n_returns = kind == 2 ? 3 : 1;
      call.padding = kind == 3 ? 5000 : 0;
      rig_submit(self, &call, out);
      for (uint32_t i = 1; i < call.n_returns; i++)
        sh_ref_drop(self, out[i]);
    }
    if (kind == 4) { /* a reference inside a value, and nowhere else */
      sh_ref box = rig_put_container(self, &out[0], 1);
      sh_ref_drop(self, out[0]);
      EXPECT_EQ(sh_ref_take(self, out[0]), SH_OK);
      sh_ref_drop(self, box);
    }
    if (next_random(&seed) % 5U == 0) {
      await(self, refs[at]);
      EXPECT_EQ(rig_value(self, refs[at]), values[at]);
    }
    sh_ref_drop(self, refs[at]);
    refs[at] = out[0];
    values[at] = value;
    if (step % 64U == 0)
      sh_drain_fired(self, nothing, NULL);
  }
  for (uint32_t i = 0; i < WINDOW; i++) {
    await(self, refs[i]);
    EXPECT_EQ(rig_value(self, refs[i]), values[i]);
    sh_ref_drop(self, refs[i]);
  }
  return NULL;
}

static void run(sh_self *self, uint32_t slot, uint64_t bytes);

/* Run what we need ourselves, or, the first worker only, park in get and let the others do it: if all did so at once, it
 * would take a daemon that starts more workers. */
static uint64_t child_of(sh_self *self, uint32_t slot) {
  sh_ref out;
  uint32_t inner;
  rig_call call = {.class_id = r.class_id, .n_returns = 1, .addend = CHILD};
  rig_submit(self, &call, &out);
  if (self != &workers[0] && sh_next_awaited(self, out, &inner) == SH_OK)
    run(self, inner, 8);
  if (!rig_is_closed(self, out)) {
    sh_block(self);
    await(self, out);
    sh_unblock(self);
  }
  sh_resume(self, slot, 0);
  uint64_t value = rig_value(self, out);
  sh_ref_drop(self, out);
  return value;
}

static void run(sh_self *self, uint32_t slot, uint64_t bytes) {
  uint64_t plus = sh_slot_at(&self->seg, slot)->fn_lo == NESTED ? child_of(self, slot) : 0;
  rig_fill_plus(self, slot, bytes, plus);
  EXPECT_EQ(sh_commit(self, slot), SH_OK);
}

static void *serve(void *context) {
  sh_self *self = context;
  uint32_t slot, seed = self->index;
  for (;;) {
    if (sh_next_try(self, &slot) == SH_OK) {
      static const uint64_t sizes[] = {8, 8, 8, 200, 70000};
      run(self, slot, sizes[next_random(&seed) % 5U]);
      continue;
    }
    if (sh_load32_seqcst(&over))
      break;
    if (sh_spin_next(self))
      continue;
    uint32_t seq = sh_park_prepare(&self->me->park);
    sh_park_announce(&self->me->park, seq);
    sh_idle_announce(self);
    if (sh_next_possible(self) || sh_load32_seqcst(&over)) {
      sh_park_cancel(&self->me->park);
    } else {
      (void)sh_park_any(self, seq, SH_NO_DEADLINE, SH_NO_DEADLINE);
    }
    sh_idle_withdraw(self);
  }
  sh_seat_leave(self);
  return NULL;
}

static void test_random_graphs_have_known_answers(void) {
  pthread_t threads[DRIVERS + WORKERS + 1U];
  uint32_t n = 0;
  rig_open_sized(&r, 0, 2, 512ULL << 20);
  for (uint32_t i = 0; i < DRIVERS; i++)
    rig_attach(&r, &drivers[i], SH_ROLE_DRIVER, -1, RIG_ROOT);
  for (uint32_t i = 0; i < WORKERS; i++)
    rig_attach(&r, &workers[i], SH_ROLE_WORKER, -1, RIG_ROOT);
  actor_class = rig_actor(&r, &actor);
  sh_shape half = {.root = RIG_ROOT, .cpu_milli = SH_CPU_MILLI / 2U};
  EXPECT_EQ(sh_repair_define_class(&r.d, &half, &lease_class), SH_OK);
  sh_store32_seqcst(&over, 0);
  EXPECT_EQ(sh_repair_start(&r.d), SH_OK);
  for (uint32_t i = 0; i < WORKERS; i++)
    EXPECT(pthread_create(&threads[n++], NULL, serve, &workers[i]) == 0);
  EXPECT(pthread_create(&threads[n++], NULL, serve, &actor) == 0);
  for (uint32_t i = 0; i < DRIVERS; i++)
    EXPECT(pthread_create(&threads[n++], NULL, drive, &drivers[i]) == 0);
  while (n > WORKERS + 1U)
    EXPECT(pthread_join(threads[--n], NULL) == 0);
  sh_store32_seqcst(&over, 1U);
  for (uint32_t i = 0; i < WORKERS; i++)
    (void)sh_park_wake(&workers[i].me->park);
  (void)sh_park_wake(&actor.me->park);
  while (n > 0)
    EXPECT(pthread_join(threads[--n], NULL) == 0);
  sh_stats stats;
  sh_repair_stats(&r.d, &stats);
  if (getenv("SHOAL_TEST_VERBOSE"))
    fprintf(stderr, "submitted %llu, log events %llu, repairs %llu\n", (unsigned long long)stats.submitted,
            (unsigned long long)stats.log_events, (unsigned long long)stats.repairs);
  sh_repair_stop(&r.d);
  for (uint32_t i = 0; i < DRIVERS; i++)
    rig_detach(&r, &drivers[i]);
  for (uint32_t i = 0; i < WORKERS; i++)
    rig_detach(&r, &workers[i]);
  rig_detach(&r, &actor);
  rig_expect_empty(&r);
  rig_close(&r);
}

#if defined(SH_HOOKS) && SH_HOOKS
static __thread uint32_t hook_seed;

/* Before a store, let somebody else run once in a while: windows of a few nanoseconds become wide. */
static void give_way(const volatile void *word) {
  if (hook_seed == 0)
    hook_seed = (uint32_t)(uintptr_t)&hook_seed;
  if (next_random(&hook_seed) % 64U == 0)
    (void)sched_yield();
  (void)word;
}
#endif

int main(void) {
#if defined(SH_HOOKS) && SH_HOOKS
  sh_hook_fn = give_way;
#endif
  rounds = getenv("SHOAL_LONG") ? 60000 : 20000;
  RUN(test_random_graphs_have_known_answers);
  return 0;
}
