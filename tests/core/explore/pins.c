/* SPDX-License-Identifier: Apache-2.0
 * Bytes that go to disk and come back, beside somebody who looks at them and an owner who lets go of them (node/spill.h). */
#include "scenarios.h"

#include "node.h"
#include "node/spill.h"

#define BYTES 100U /* a block */
#define PLACE 1U
#define OLD 5U
#define NEW 6U

static struct {
  sh_ref ref, later;
  uint64_t loc;
  bool went;
} *stage;

static sh_ref put_block(sh_self *self, uint64_t value) {
  sh_put put;
  XP_EQUAL(sh_put_begin(self, BYTES, &put), SH_OK);
  memcpy(put.data, &value, sizeof value);
  sh_put_commit(self, &put, 0);
  return put.ref;
}

static uint64_t value_of(sh_ref r) {
  uint64_t value;
  memcpy(&value, sh_entry_bytes(&node->d.seg, sh_entry_at(&node->d.seg, r.index)), sizeof value);
  return value;
}

static uint64_t loc_of(sh_ref r) {
  return sh_load_relaxed(&sh_entry_at(&node->d.seg, r.index)->loc);
}

/* What it allocates next is what is freed next. */
static void use_up(sh_magazine *m) {
  m->n = 0;
  m->fresh = m->fresh_end;
}

/* An object of `owner` that has a copy on disk. */
static void setup_of(sh_self *owner) {
  sh_ref r = put_block(owner, OLD);
  stage->ref = r;
  stage->loc = loc_of(r);
  use_up(&owner->heap.blocks[0]);
  use_up(&owner->mags[SH_POOL_ENTRY]);
  XP_EQUAL(sh_spill_written(&node->d, r, PLACE), SH_OK);
}

/* ---- beside one who looks: the driver, at an object of the worker's ---- */

static void setup_shared(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  setup_of(&node->worker[0]);
  sh_ref_share(&node->worker[0], stage->ref);
  XP_EQUAL(sh_ref_take(&node->driver, stage->ref), SH_OK);
  (void)sh_counts_read(&node->d.counts);
}

static void look(void) {
  sh_pin(&node->driver, stage->ref);
  const uint64_t *data = (const uint64_t *)(const void *)sh_object_look(&node->driver, stage->ref);
  if (data) {
    XP_EQUAL(*data, OLD);
    xp_step("looks once more");
    XP_EQUAL(*data, OLD);
  }
  sh_unpin(&node->driver, stage->ref);
}

/* Whose bytes they become writes to them at once. */
static void take_and_use_again(void) {
  if (sh_spill_evict(&node->d, stage->ref) != SH_OK)
    return;
  stage->went = true;
  sh_ref r = put_block(&node->worker[0], NEW);
  stage->later = r;
  XP_EQUAL(loc_of(r), stage->loc);
}

static void everything_goes(const sh_ref *refs, uint32_t n, sh_self *owner) {
  uint64_t places[2];
  for (uint32_t i = 0; i < n; i++)
    sh_ref_drop(owner, refs[i]);
  rig_rounds(node, 2);
  (void)sh_counts_work(&node->d.counts, SH_COUNTS_ALL);
  XP_EQUAL(sh_spill_gone(&node->d, places, 2, UINT32_MAX), 1);
  sh_stats stats;
  sh_repair_stats(&node->d, &stats);
  XP_EQUAL(stats.live_bytes, 0);
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
  node_check_valid();
}

static void one_of_both(void) {
  XP_EQUAL(loc_of(stage->ref), stage->went ? sh_loc_spilled(stage->ref.generation) : stage->loc);
  XP_EQUAL(value_of(stage->went ? stage->later : stage->ref), stage->went ? NEW : OLD);
  sh_ref refs[2] = {stage->ref, stage->later};
  sh_ref_drop(&node->driver, stage->ref);
  everything_goes(refs, stage->went ? 2U : 1U, &node->worker[0]);
}

const xp_scenario pin_beside_eviction = {
    .name = "S pin: one looks at bytes that go and are another's at once",
    .setup = setup_shared,
    .run = {look, take_and_use_again},
    .check = one_of_both,
};

/* ---- beside an owner who lets go, and whose record is another object's at once ---- */

static void setup_owned(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  setup_of(&node->driver);
}

static void drop_and_use_again(void) {
  sh_ref_drop(&node->driver, stage->ref);
  sh_ref r = rig_put(&node->driver, NEW, 8);
  stage->later = r;
}

static void take_and_bring_back(void) {
  sh_restore back;
  if (sh_spill_evict(&node->d, stage->ref) != SH_OK || sh_restore_begin(&node->d, stage->ref, &back) != SH_OK)
    return;
  uint64_t value = OLD;
  memcpy(back.data, &value, sizeof value);
  (void)sh_restore_commit(&node->d, &back);
}

static void later_is_whole(void) {
  XP_EQUAL(rig_value(&node->driver, stage->later), NEW);
  everything_goes(&stage->later, 1, &node->driver);
}

const xp_scenario pin_beside_restore = {
    .name = "S pin: bytes go and come back while the owner drops them and uses the record again",
    .setup = setup_owned,
    .run = {drop_and_use_again, take_and_bring_back},
    .check = later_is_whole,
    .may_read_behind = true, /* what may go is looked at; the tag decides */
};

/* ---- the daemon puts back what is pinned, and the owner finds neither ---- */

static void setup_pinned(void) {
  setup_owned();
  sh_store_relaxed(sh_pins_word(&node->d.seg, node->worker[0].index, stage->ref.index),
                   1ULL << (stage->ref.index % 64U));
}

static void take_in_vain(void) {
  (void)sh_spill_evict(&node->d, stage->ref); /* nothing is left to take if the owner was faster */
}

static void unpinned(void) {
  sh_store_relaxed(sh_pins_word(&node->d.seg, node->worker[0].index, stage->ref.index), 0);
  later_is_whole();
}

const xp_scenario pin_kept = {
    .name = "S pin: bytes that are pinned are put back while the owner drops them",
    .setup = setup_pinned,
    .run = {drop_and_use_again, take_in_vain},
    .check = unpinned,
    .may_read_behind = true,
};

/* ---- a value that is copied to disk as soon as it is there ---- */

static void setup_promise(void) {
  node_open(1, 1);
  stage = xp_room(sizeof *stage);
  stage->ref = rig_submit_one(node, OLD, NULL, 0);
}

static void make_value(void) {
  uint32_t slot;
  XP_EQUAL(sh_next_try(&node->worker[0], &slot), SH_OK);
  rig_fill(&node->worker[0], slot, BYTES);
  XP_EQUAL(sh_commit(&node->worker[0], slot), SH_OK);
}

static void copy_value(void) {
  uint64_t bytes;
  const uint64_t *data = (const uint64_t *)(const void *)sh_spill_bytes(&node->d, stage->ref, &bytes);
  if (data) {
    XP_EQUAL(bytes, BYTES);
    XP_EQUAL(*data, OLD);
  }
}

static void value_whole(void) {
  XP_EQUAL(rig_value(&node->driver, stage->ref), OLD);
  node_check_valid();
}

const xp_scenario pin_copy = {
    .name = "C pin: a value is copied to disk as it is made",
    .setup = setup_promise,
    .run = {make_value, copy_value},
    .check = value_whole,
};
