/* SPDX-License-Identifier: Apache-2.0
 * Park and wake: no wake is lost; a waker that dies between x_wake and the futex is cured by the tick only. */
#include "scenarios.h"

#include "node.h"

static struct {
  sh_a32 ready[2];
} *stage;

static void setup(void) {
  stage = xp_room(sizeof *stage);
  node_open(1, 1);
  node_clients[1] = node_clients[2] = NULL;
}

static sh_park *park(void) {
  return &node->driver.me->park;
}

static bool both(void) {
  return sh_load32_acquire(&stage->ready[0]) && sh_load32_acquire(&stage->ready[1]);
}

static bool first(void) {
  return sh_load32_acquire(&stage->ready[0]) != 0;
}

static void sleep_until(bool (*is)(void)) {
  for (;;) {
    uint32_t seq = sh_park_prepare(park());
    if (is())
      return;
    sh_park_announce(park(), seq);
    if (is()) {
      sh_park_cancel(park());
      return;
    }
    (void)sh_park_any(&node->driver, seq, SH_NO_DEADLINE, SH_NO_DEADLINE);
  }
}
static void sleeper_for_both(void) {
  sleep_until(both);
}
static void sleeper_for_first(void) {
  sleep_until(first);
}

static void wake(uint32_t i) {
  sh_store32_relaxed(&stage->ready[i], 1U);
  sh_wake_client(&node->d.seg, node->driver.index);
}
static void first_waker(void) {
  wake(0);
}
static void second_waker(void) {
  wake(1);
}
static void same_waker(void) {
  wake(0);
}

static void nobody_is_parked(void) {
  XP_EQUAL(park()->x_parked, 0);
}

/* A waker that was killed before x_wake made nobody wait for its futex: who sweeps it repeats what it did. From there on the
 * tick alone must do. */
static void tick_or_repeat(void) {
  bool stuck = sh_park_is_stuck(park());
  node_tick();
  for (uint32_t i = 0; i < 2U && !stuck; i++)
    if (xp_has_died(1U + i))
      wake(i);
}

const xp_scenario park_two_wakers = {
    .name = "D park: two wakers, two conditions",
    .setup = setup,
    .run = {sleeper_for_both, first_waker, second_waker},
    .check = nobody_is_parked,
};
const xp_scenario park_same_condition = {
    .name = "D park: two wakers, one condition",
    .setup = setup,
    .run = {sleeper_for_first, same_waker, same_waker},
    .check = nobody_is_parked,
};
const xp_scenario park_killed_waker = {
    .name = "D park: a waker is killed anywhere, the tick cures it",
    .setup = setup,
    .run = {sleeper_for_both, first_waker, second_waker},
    .check = nobody_is_parked,
    .quiet = tick_or_repeat,
    .mortal = 6U,
    .crashes = 2,
};
const xp_scenario park_stopped_waker = {
    .name = "D park: a waker is stopped anywhere, the tick cures it",
    .setup = setup,
    .run = {sleeper_for_first, first_waker},
    .check = nobody_is_parked,
    .quiet = node_tick,
    .stoppable = 2U,
};
