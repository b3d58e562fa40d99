/* SPDX-License-Identifier: Apache-2.0
 * Entries: a scan beside their birth, a reader beside their resolution, and the two bits that end them. */
#include "scenarios.h"

#include "node.h"

#define BYTES 100U /* a block */

static struct {
  sh_ref ref;
} *stage;

static sh_ref promise(sh_self *self) {
  uint32_t index;
  uint64_t word;
  XP_EQUAL(sh_self_alloc(self, SH_POOL_ENTRY, &index, &word), SH_OK);
  sh_entry_birth birth = {.number = 5U};
  sh_entry_open(sh_entry_at(&self->seg, index), word, &birth);
  sh_ref r = {.index = index, .generation = sh_word_generation(word)};
  sh_ref_own(self, r);
  return r;
}

static void setup(void) {
  node_open(2, 1);
  stage = xp_room(sizeof *stage);
  stage->ref = promise(&node->driver);
}

/* ---- birth ---- */

static void setup_used_once(void) {
  node_open(2, 1);
  stage = xp_room(sizeof *stage);
  sh_ref r = rig_put(&node->driver, 1, 8);
  sh_ref_drop(&node->driver, r);
  stage->ref = (sh_ref){.index = r.index, .generation = r.generation + 1U}; /* what it will be */
  node_leave(&node->driver, SH_POOL_ENTRY, 1);
}
static void putter(void) {
  sh_ref r = rig_put(&node->driver, 42, 8);
  XP_EQUAL(r.index, stage->ref.index);
  XP_EQUAL(r.generation, stage->ref.generation);
}
static void scanner(void) {
  sh_entry *e = sh_entry_checked(&node->d.seg, stage->ref);
  if (!e)
    return;
  XP_CHECK(sh_head_is(sh_load_relaxed(&e->head), stage->ref.generation));
  XP_CHECK(e->number >= SH_NUMBER_PUT);
  if (sh_entry_is_closed(e, stage->ref.generation))
    XP_EQUAL(rig_value(&node->worker[0], stage->ref), 42U);
}

/* A stale reference: its record is used again meanwhile. And one who looks at the head alone. */
static void stale_looker(void) {
  sh_entry *e = sh_entry_at(&node->d.seg, stage->ref.index);
  if (sh_entry_is_closed(e, stage->ref.generation)) {
    uint64_t value;
    memcpy(&value, e->inline_bytes, sizeof value);
    XP_EQUAL(value, 42U);
    XP_EQUAL(sh_load_relaxed(&e->size_flags) & SH_VALUE_SIZE_MASK, 8U);
  }
  sh_ref old = {.index = stage->ref.index, .generation = stage->ref.generation - 1U};
  XP_CHECK(!sh_entry_checked(&node->d.seg, old));
  XP_CHECK(!sh_entry_is_closed(sh_entry_at(&node->d.seg, old.index), stage->ref.generation + 1U));
  XP_EQUAL(sh_entry_close(sh_entry_at(&node->d.seg, old.index), stage->ref.generation + 1U), 0);
}

/* ---- resolution ---- */

static void resolver(void) {
  uint8_t *data;
  XP_EQUAL(sh_fill(&node->worker[0], stage->ref, BYTES, 0, &data), SH_OK);
  uint64_t value = 7;
  memset(data, 7, BYTES);
  memcpy(data, &value, sizeof value);
  sh_seal(&node->worker[0], stage->ref);
}
static void reader(void) {
  if (!rig_is_closed(&node->driver, stage->ref))
    return;
  XP_EQUAL(rig_value(&node->driver, stage->ref), 7U);
}
static void reader_who_drops(void) {
  reader();
  sh_ref_drop(&node->driver, stage->ref);
}
static void dropper(void) {
  sh_ref_drop(&node->driver, stage->ref);
}
/* As the tick does for a stopped worker, after the commit. */
static void closer(void) {
  sh_entry *e = sh_entry_checked(&node->d.seg, stage->ref);
  if (!e)
    return;
  (void)sh_entry_close(e, stage->ref.generation);
  sh_serve_waiters(&node->d.self, stage->ref);
}
static void second_dropper(void) { /* as the sweep of the driver would */
  sh_entry *e = sh_entry_checked(&node->d.seg, stage->ref);
  if (e && sh_entry_drop(e, stage->ref.generation))
    (void)sh_entry_release(&node->d.seg, &node->d.self.heap, NULL, 0, stage->ref);
}
static void filled(void) {
  setup();
  uint8_t *data;
  XP_EQUAL(sh_fill(&node->worker[0], stage->ref, BYTES, 0, &data), SH_OK);
  uint64_t value = 7;
  memset(data, 7, BYTES);
  memcpy(data, &value, sizeof value);
}
static void sealer(void) {
  sh_seal(&node->worker[0], stage->ref);
}

static void count_bytes(void *context, uint64_t loc, uint64_t tag, uint64_t bytes) {
  (void)loc, (void)tag;
  *(uint64_t *)context += bytes;
}
static void nothing_left(void) {
  uint64_t bytes = 0;
  sh_heap_visit(&node->d.seg, SH_EVERYBODY, count_bytes, &bytes);
  XP_EQUAL(bytes, 0);
  XP_EQUAL(node_live(SH_POOL_ENTRY), 0);
  node_check_valid();
}
static void read_or_not(void) {
  XP_CHECK(rig_is_closed(&node->driver, stage->ref));
  node_check_valid();
}

const xp_scenario entry_birth = {
    .name = "E C entry: a scan meets a record that is born",
    .setup = setup_used_once,
    .run = {putter, scanner, stale_looker},
    .check = node_check_valid,
};
const xp_scenario entry_read = {
    .name = "C entry: a reader beside the resolution",
    .setup = setup,
    .run = {reader, resolver, reader},
    .check = read_or_not,
};
const xp_scenario entry_end = {
    .name = "C entry: CLOSED meets DROPPED, the second one frees",
    .setup = setup,
    .run = {reader_who_drops, resolver},
    .check = nothing_left,
};
const xp_scenario entry_end_helped = {
    .name = "C entry: closed by two, dropped by two, freed once",
    .setup = filled,
    .run = {dropper, sealer, closer, second_dropper},
    .check = nothing_left,
};

/* ---- a sweep beside those who live ---- */

static void setup_bystander(void) {
  node_open(2, 1);
  stage = xp_room(sizeof *stage);
  sh_ref r = rig_put(&node->driver, 1, BYTES); /* chunks are claimed */
  sh_ref_drop(&node->driver, r);
  r = rig_put(&node->worker[0], 1, BYTES);
  sh_ref_drop(&node->worker[0], r);
}
static void victim(void) {
  sh_ref r = rig_put(&node->worker[0], 1, BYTES);
  sh_ref_drop(&node->worker[0], r);
}
static void bystander(void) {
  sh_ref r = rig_put(&node->driver, 42, BYTES);
  stage->ref = r;
}
static void sweeper(void) {
  node_sweep_dead(1U);
}
static void only_the_bystanders(void) {
  XP_EQUAL(rig_value(&node->driver, stage->ref), 42U);
  sh_ref_drop(&node->driver, stage->ref);
  rig_rounds(node, 2); /* what the dead held is released in slices */
  nothing_left();
}
static void setup_bystander_numbers(void) {
  setup_bystander();
  node_clients[0] = &node->worker[0];
}
const xp_scenario entry_swept = {
    .name = "E entry: one puts, another is killed in his put and swept",
    .setup = setup_bystander_numbers,
    .run = {victim, bystander, sweeper},
    .check = only_the_bystanders,
    .mortal = 1U,
    .crashes = 1,
};
