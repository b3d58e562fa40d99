/* SPDX-License-Identifier: Apache-2.0
 * Runs and arenas: allocation beside a take-over, beside frees, and after a death. No unit is in two runs. */
#include "scenarios.h"

#include "node.h"

#define UNIT SH_UNIT_BYTES

static struct {
  uint64_t first;       /* a run in the driver's arena 0 */
  sh_a32 first_is_done; /* its user is through */
  uint64_t got[XP_PROCESSES][2];
  uint32_t n_got[XP_PROCESSES];
} *stage;

static uint64_t tag_of(uint32_t process, uint32_t n) {
  return sh_tag(SH_TAG_ENTRY, (sh_ref){.index = process + 1U, .generation = n + 1U});
}

/* Write to each unit: two owners of one are a race. */
static void use(uint64_t loc) {
  uint64_t bytes = sh_heap_capacity(&node->d.seg, loc);
  for (uint64_t at = 0; at < bytes; at += UNIT)
    sh_heap_at(&node->d.seg, loc)[at] = (uint8_t)(1U + xp_me());
}

static bool allocate(sh_self *self, uint64_t bytes) {
  uint32_t me = xp_me(), n = stage->n_got[me];
  uint64_t loc;
  if (sh_heap_alloc(&node->d.seg, &self->heap, self->index, tag_of(me, n), bytes, NULL, NULL, &loc) != SH_OK)
    return false;
  stage->got[me][n] = loc;
  stage->n_got[me]++;
  XP_CHECK(sh_heap_capacity(&node->d.seg, loc) >= bytes);
  use(loc);
  return true;
}
static void let_go(sh_self *self, uint32_t n) {
  XP_CHECK(sh_heap_free(&node->d.seg, &self->heap, self->index, stage->got[xp_me()][n], tag_of(xp_me(), n)));
}

static void setup(void) {
  node_open(2, 1);
  stage = xp_room(sizeof *stage);
}
/* The driver has an empty arena; the other one is taken for good. */
static void setup_one_empty(void) {
  uint64_t loc;
  setup();
  XP_EQUAL(sh_heap_alloc(&node->d.seg, &node->driver.heap, 1, tag_of(7, 1), UNIT, NULL, NULL, &stage->first), SH_OK);
  XP_CHECK(sh_heap_free(&node->d.seg, &node->driver.heap, 1, stage->first, tag_of(7, 1)));
  XP_EQUAL(sh_heap_alloc(&node->d.seg, &node->worker[1].heap, 3, tag_of(7, 2), 2U * UNIT, NULL, NULL, &loc), SH_OK);
}
/* Both arenas are the driver's; a run is in the first. */
static void setup_one_run(void) {
  uint64_t loc;
  setup();
  XP_EQUAL(sh_heap_alloc(&node->d.seg, &node->driver.heap, 1, tag_of(7, 1), UNIT, NULL, NULL, &stage->first), SH_OK);
  XP_EQUAL(sh_heap_alloc(&node->d.seg, &node->driver.heap, 1, tag_of(7, 2), 2U * UNIT, NULL, NULL, &loc), SH_OK);
  XP_CHECK(sh_heap_free(&node->d.seg, &node->driver.heap, 1, loc, tag_of(7, 2)));
}
static void setup_large_run(void) {
  setup();
  XP_EQUAL(sh_heap_alloc(&node->d.seg, &node->driver.heap, 1, tag_of(7, 1), 3U * UNIT, NULL, NULL, &stage->first),
           SH_OK);
}

static void owner(void) {
  if (allocate(&node->driver, UNIT))
    let_go(&node->driver, 0);
  (void)allocate(&node->driver, UNIT);
}
static void owner_small(void) {
  (void)allocate(&node->driver, UNIT);
}
static void thief_small(void) {
  (void)allocate(&node->worker[0], UNIT);
}
static void thief_whole(void) {
  (void)allocate(&node->worker[0], 2U * UNIT);
}
static void thief_large(void) {
  (void)allocate(&node->worker[0], 3U * UNIT);
}
static void free_first(void) {
  use(stage->first);
  XP_CHECK(sh_heap_free(&node->d.seg, NULL, 3, stage->first, tag_of(7, 1)));
}
static void thief_two(void) {
  (void)allocate(&node->worker[1], UNIT);
}

static void no_overlap(void) {
  XP_CHECK(sh_heap_is_valid(&node->d.seg));
  for (uint32_t p = 0; p < XP_PROCESSES; p++)
    for (uint32_t i = 0; i < stage->n_got[p]; i++) {
      bool given_back = p == 0 && i == 0 && stage->n_got[0] == 2U;
      if (!given_back && !xp_has_died(p))
        XP_CHECK(sh_heap_holds(&node->d.seg, stage->got[p][i], tag_of(p, i)) || (p == 0 && i == 0));
    }
  for (uint32_t a = 0; a < node->d.seg.fixed.n_arenas; a++) {
    uint64_t word = sh_load_relaxed(&((sh_arena *)sh_region(&node->d.seg, SH_REGION_ARENAS))[a].x_word);
    XP_CHECK(!(word & SH_ARENA_ACTIVE) || xp_has_died(sh_arena_owner(word) - 1U) || xp_has_died(0));
  }
}

/* Whoever looks at all runs finds each with its own length. */
static void look_at_run(void *context, uint64_t loc, uint64_t tag, uint64_t bytes) {
  (void)context, (void)loc;
  if (tag == tag_of(0, 0))
    XP_EQUAL(bytes, 2U * UNIT);
}
static void visitor(void) {
  sh_heap_visit(&node->d.seg, SH_EVERYBODY, look_at_run, NULL);
}
static void owner_whole(void) {
  (void)allocate(&node->driver, 2U * UNIT);
}

static void sweeper(void) {
  uint32_t dead;
  while ((dead = xp_await_death(3U)) != XP_NOBODY)
    sh_heap_release(&node->d.seg, node_clients[dead]->index);
}
static void released(void) {
  no_overlap();
  for (uint32_t a = 0; a < node->d.seg.fixed.n_arenas; a++) {
    uint64_t word = sh_load_relaxed(&((sh_arena *)sh_region(&node->d.seg, SH_REGION_ARENAS))[a].x_word);
    XP_CHECK(a == 0 || sh_arena_owner(word) == node->worker[1].index + 1U); /* who lives keeps his */
    for (uint32_t p = 0; p < 2U; p++)
      XP_CHECK(!xp_has_died(p) || sh_arena_owner(word) != node_clients[p]->index + 1U);
  }
}

const xp_scenario arena_taken_over = {
    .name = "A H arena: its owner allocates, two others take it over",
    .setup = setup_one_empty,
    .run = {owner, thief_small, thief_two},
    .check = no_overlap,
};
const xp_scenario arena_large = {
    .name = "A H arena: a run over two arenas beside their owner, and a free",
    .setup = setup_one_run,
    .run = {owner_small, thief_large, free_first},
    .check = no_overlap,
};
const xp_scenario arena_covered = {
    .name = "A H arena: what a long run covered is freed and used",
    .setup = setup_large_run,
    .run = {owner_small, thief_whole, free_first},
    .check = no_overlap,
};
const xp_scenario arena_killed = {
    .name = "A arena: owner and thief are killed anywhere",
    .setup = setup_one_empty,
    .run = {owner, thief_whole, sweeper},
    .check = released,
    .mortal = 3U,
    .crashes = 2,
};
const xp_scenario arena_visited = {
    .name = "H arena: a scan of all runs beside an allocation",
    .setup = setup_one_empty,
    .run = {owner_whole, visitor},
    .check = no_overlap,
};
