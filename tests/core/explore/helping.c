/* SPDX-License-Identifier: Apache-2.0
 * The tick beside processes that are not stopped after all: what it believes it asks for again. */
#include "scenarios.h"

#include "node.h"

#define RETURNS 2U
#define PADDING 200U /* the spec is a block */

static struct {
  sh_ref refs[RETURNS], later;
  uint32_t slot;
  rig_call like;
} *stage;

/* A worker is about to commit a call, one tick has passed since it claimed it. */
static void setup_call(uint32_t n_returns, uint32_t padding) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  stage->like = (rig_call){.class_id = node->class_id, .n_returns = n_returns, .addend = 5, .padding = padding};
  rig_submit(&node->driver, &stage->like, stage->refs);
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
  rig_fill(&node->worker[0], stage->slot, 8);
  sh_ref r = rig_put(&node->driver, 9, 200);
  sh_ref_drop(&node->driver, r);
  if (padding < SH_BLOCK_MAX)
    node_leave(&node->driver, SH_POOL_BLOCK + 1U, 0);
  node_leave(&node->driver, SH_POOL_SLOT, 0);
  stage->like.addend = 7;
}
static void setup(void) {
  setup_call(RETURNS, PADDING);
}
static void setup_inline(void) {
  setup_call(1, 0);
}
static void setup_run(void) {
  setup_call(RETURNS, SH_BLOCK_MAX);
}

static void commit(void) {
  XP_EQUAL(sh_commit(&node->worker[0], stage->slot), SH_OK);
}
static void tick(void) {
  sh_tick(&node->d);
  sh_tick(&node->d);
}
/* Everything that the call used is used again. */
static void reuse(void) {
  sh_ref more[RETURNS];
  if (rig_try_submit(&node->driver, &stage->like, more) == SH_OK)
    stage->later = more[0];
}
static void right(void) {
  for (uint32_t i = 0; i < stage->like.n_returns; i++)
    XP_EQUAL(rig_value(&node->driver, stage->refs[i]), 5U + i);
  if (stage->later.generation)
    XP_CHECK(!rig_is_closed(&node->driver, stage->later));
  node_check_valid();
}
const xp_scenario tick_beside_commit = {
    .name = "G tick: it helps one who commits, frees and whose records are used again",
    .setup = setup,
    .run = {commit, tick, reuse},
    .check = right,
    .may_read_behind = true,
    .preemptions = 3,
};
const xp_scenario tick_beside_inline = {
    .name = "G tick: the same with a slot that holds all itself",
    .setup = setup_inline,
    .run = {commit, tick, reuse},
    .check = right,
    .may_read_behind = true,
    .preemptions = 3,
};
const xp_scenario tick_beside_run = {
    .name = "G tick: the same with a run for a spec",
    .setup = setup_run,
    .run = {commit, tick, reuse},
    .check = right,
    .may_read_behind = true,
    .preemptions = 3,
};

/* Its run becomes a value that reads like the reference of a promise, which nobody keeps yet. */
static void setup_put(void) {
  setup_run();
  rig_call call = {.class_id = node->class_id, .n_returns = 1, .addend = 7};
  sh_ref r;
  const sh_pool *p = sh_pool_of(&node->d.seg, SH_POOL_SLOT);
  sh_magazine *m = &node->driver.mags[SH_POOL_SLOT];
  uint32_t last = p->chunk_records - 1U; /* one slot more */
  sh_store_relaxed(sh_pool_word(&node->d.seg, p, last), 0);
  m->items[m->n++] = last;
  rig_submit(&node->driver, &call, &r);
  stage->later = r;
}
static void put_instead(void) {
  (void)rig_put(&node->driver, sh_ref_pack(stage->later), 2U * SH_BLOCK_MAX);
}
const xp_scenario tick_beside_put = {
    .name = "G tick: the same, and the run becomes a value",
    .setup = setup_put,
    .run = {commit, tick, put_instead},
    .check = right,
    .may_read_behind = true,
    .preemptions = 3,
};

/* ---- and one who reads what the tick has closed ---- */

static void setup_claimed(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  stage->like = (rig_call){.class_id = node->class_id, .n_returns = 1, .addend = 5};
  rig_submit(&node->driver, &stage->like, stage->refs);
  XP_EQUAL(sh_next_try(&node->worker[0], &stage->slot), SH_OK);
}
static void fill_and_commit(void) {
  rig_fill(&node->worker[0], stage->slot, 8);
  commit();
}
static void read_if_closed(void) {
  for (uint32_t i = 0; i < stage->like.n_returns; i++)
    if (rig_is_closed(&node->driver, stage->refs[i]))
      XP_EQUAL(rig_value(&node->driver, stage->refs[i]), 5U + i);
}
const xp_scenario tick_and_reader = {
    .name = "K C tick: it closes what a worker committed, and that is read",
    .setup = setup_claimed,
    .run = {fill_and_commit, tick, read_if_closed},
    .check = right,
};
