/* SPDX-License-Identifier: Apache-2.0
 * Seats and leases: a CPU is used by one at a time; nobody sleeps while a lease waits for him. */
#include "scenarios.h"

#include "node.h"

static struct {
  uint32_t user; /* plain: two users at a time are a race */
  sh_ref ref;
  uint32_t class_id;
} *stage;

static void setup(void) {
  node_open(2, 1);
  stage = xp_room(sizeof *stage);
}
static void compute(sh_self *self) {
  stage->user = self->index;
  xp_step("computes");
  XP_EQUAL(stage->user, self->index);
}
static void take_rest_leave(sh_self *self) {
  for (uint32_t i = 0; i < 2U; i++)
    if (sh_seat_take(self)) {
      compute(self);
      sh_seat_rest(self);
    }
  sh_seat_leave(self);
}
static void first(void) {
  take_rest_leave(&node->worker[0]);
}
static void second(void) {
  take_rest_leave(&node->worker[1]);
}
static void block_and_return(void) {
  if (!sh_seat_take(&node->worker[1]))
    return;
  compute(&node->worker[1]);
  sh_seat_leave(&node->worker[1]);
  sh_seat_return(&node->worker[1]);
  if (!node->worker[1].unseated)
    compute(&node->worker[1]);
  sh_seat_leave(&node->worker[1]);
}
static void seat_is_free(void) {
  XP_EQUAL(sh_seats_free(&node->d.seg), 1U);
  XP_EQUAL(sh_load_relaxed(&node->d.seg.header->x_unseated[0]), 0);
}
static void sweeper(void) {
  uint32_t dead;
  while ((dead = xp_await_death(3U)) != XP_NOBODY)
    sh_sweep_client(&node->d, node->worker[dead].index);
}
const xp_scenario seat_two = {
    .name = "seat: two take, rest and leave; idle ones are stolen",
    .setup = setup,
    .run = {first, second},
    .check = seat_is_free,
};
const xp_scenario seat_blocked = {
    .name = "seat: one parks in get and comes back, one works",
    .setup = setup,
    .run = {first, block_and_return},
    .check = seat_is_free,
};
const xp_scenario seat_killed = {
    .name = "seat: its owners are killed anywhere",
    .setup = setup,
    .run = {first, second, sweeper},
    .check = seat_is_free,
    .mortal = 3U,
    .crashes = 2,
};

/* ---- leases ---- */

static void setup_lease(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  sh_shape shape = {.root = RIG_ROOT, .cpu_milli = 500};
  XP_EQUAL(sh_repair_define_class(&node->d, &shape, &stage->class_id), SH_OK);
  rig_call call = {.class_id = stage->class_id, .n_returns = 1, .addend = 5};
  rig_submit(&node->driver, &call, &stage->ref);
}
static void lender(void) {
  do
    sh_lease_run(&node->d, 0);
  while (xp_await_poke());
}
static void worker(void) {
  sh_self *self = &node->worker[0];
  uint32_t slot;
  for (;;) {
    if (sh_next_try(self, &slot) == SH_OK) {
      rig_finish(self, slot);
      return;
    }
    node_rest(self);
  }
}
static void lease_done(void) {
  XP_EQUAL(rig_value(&node->driver, stage->ref), 5);
}
const xp_scenario lease_idle = {
    .name = "I D lease: work waits for a lease while a worker goes idle",
    .setup = setup_lease,
    .run = {lender, worker},
    .check = lease_done,
    .listens = true,
};
