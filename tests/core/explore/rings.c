/* SPDX-License-Identifier: Apache-2.0
 * The hint ring: one writer, two takers, segments of one hint that are used again. No hint is lost or taken twice; those of
 * a dead taker are named in its intent word. */
#include "scenarios.h"

#include "queue/ring.h"

#define HINTS 4U
#define SEGMENTS 2U
#define HINT(i) (100U + (i))

static struct {
  sh_ring ring;
  sh_a64 cells[SEGMENTS][SH_RING_SEGMENT];
  uint32_t n_segments;
  sh_a64 op[2];
  uint32_t taken[2][HINTS + 1U], n_taken[2];
  uint32_t pushed;
} *stage;

static sh_a64 *cells(void *context, uint32_t id) {
  (void)context;
  return id < SEGMENTS ? stage->cells[id] : NULL;
}
static sh_status grow(void *context, sh_ring *r, uint32_t *id) {
  (void)context, (void)r;
  if (stage->n_segments == SEGMENTS)
    return SH_FULL;
  *id = stage->n_segments++;
  return SH_OK;
}
static const sh_ring_memory memory = {.cells = cells, .grow = grow};

static void push(uint32_t n) {
  for (uint32_t i = 0; i < n; i++) {
    bool was_empty;
    if (sh_ring_push(&stage->ring, &memory, HINT(stage->pushed), &was_empty) != SH_OK)
      return;
    stage->pushed++;
  }
}

static void setup(void) {
  stage = xp_room(sizeof *stage);
}
static void setup_with_two(void) {
  setup();
  push(2);
}

static void writer(void) {
  push(HINTS);
}
static void writer_of_two(void) {
  push(2);
}

static void take(uint32_t me, uint32_t tries) {
  uint64_t hint;
  for (uint32_t i = 0; i < tries; i++) {
    if (sh_ring_pop(&stage->ring, &memory, &stage->op[me], &hint) != SH_OK) {
      XP_EQUAL(sh_load_relaxed(&stage->op[me]), 0);
      continue;
    }
    XP_EQUAL(sh_load_relaxed(&stage->op[me]), hint);
    stage->taken[me][stage->n_taken[me]++] = (uint32_t)hint;
    sh_store_release(&stage->op[me], 0);
  }
}
static void taker_a(void) {
  take(0, 2);
}
static void taker_b(void) {
  take(1, 2);
}

static void all_are_somewhere(void) {
  uint32_t times[HINTS + 2U] = {0};
  for (uint32_t t = 0; t < 2; t++)
    for (uint32_t i = 0; i < stage->n_taken[t]; i++) {
      XP_CHECK(stage->taken[t][i] >= HINT(0) && stage->taken[t][i] < HINT(stage->pushed));
      XP_CHECK(i == 0 || stage->taken[t][i] > stage->taken[t][i - 1U]);
      times[stage->taken[t][i] - HINT(0)]++;
    }
  uint64_t head = sh_load_relaxed(&stage->ring.x_head), tail = sh_load_relaxed(&stage->ring.x_tail), hint;
  sh_a64 op = 0;
  while (sh_ring_pop(&stage->ring, &memory, &op, &hint) == SH_OK) /* the rest */
    times[hint - HINT(0)]++;
  XP_CHECK(head <= tail);
  XP_CHECK(tail == stage->pushed || xp_has_died(0));
  for (uint32_t i = 0; i < tail; i++) {
    bool named = false;
    for (uint32_t t = 0; t < 2; t++)
      named |= xp_has_died(1U + t) && sh_load_relaxed(&stage->op[t]) == HINT(i);
    XP_CHECK(times[i] == 1 || (times[i] == 0 && named));
  }
}

static void taken_or_named(void) {
  all_are_somewhere();
}

const xp_scenario ring_takers = {
    .name = "Q ring: one writer, two takers, segments used again",
    .setup = setup,
    .run = {writer, taker_a, taker_b},
    .check = all_are_somewhere,
};
const xp_scenario ring_killed = {
    .name = "P ring: writer and takers are killed anywhere",
    .setup = setup_with_two,
    .run = {writer_of_two, taker_a, taker_b},
    .check = taken_or_named,
    .mortal = 7U,
    .crashes = 2,
};
