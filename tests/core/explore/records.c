/* SPDX-License-Identifier: Apache-2.0
 * Records: allocation by the owner of a chunk beside frees by anybody, rebuilt hints, and a sweep. No record is given twice,
 * none is lost, and who gets one sees what was done with it before. */
#include "scenarios.h"

#include "node.h"

#define POOL SH_POOL_WAITER
#define HELD 2U

static struct {
  uint32_t index[HELD], freed[XP_PROCESSES]; /* what the driver holds in the beginning */
  uint64_t word[HELD];
  uint32_t mark[64U * 6U]; /* plain, by record: whose it is */
  uint32_t got[XP_PROCESSES][4], n_got[XP_PROCESSES];
} *stage;

static sh_status allocate(sh_self *self, uint32_t *index, uint64_t *word) {
  sh_status status = sh_pool_alloc(&self->seg, POOL, &self->mags[POOL], self->index, 0, NULL, NULL, index, word);
  if (status == SH_OK) {
    XP_EQUAL(sh_word_who(*word), self->index);
    const sh_pool *p = sh_pool_of(&self->seg, POOL); /* only from its own chunk */
    XP_EQUAL(*(uint32_t *)(void *)sh_pool_owner(&self->seg, p, *index / p->chunk_records), self->index + 1U);
    stage->mark[*index] = self->index;
  }
  return status;
}

static void take(sh_self *self) {
  uint32_t index, me = xp_me();
  uint64_t word;
  if (allocate(self, &index, &word) == SH_OK)
    stage->got[me][stage->n_got[me]++] = index;
}

static void let_go(sh_self *self, uint32_t which) {
  if (xp_me() != 2U) /* who comes second has no business there */
    XP_EQUAL(stage->mark[stage->index[which]], node->driver.index);
  stage->freed[xp_me()] |=
      (uint32_t)sh_pool_free(&self->seg, POOL, &self->mags[POOL], self->index, stage->index[which], stage->word[which])
      << which;
}

static void setup(void) {
  node_open(2, 1);
  stage = xp_room(sizeof *stage);
  for (uint32_t i = 0; i < HELD; i++)
    XP_EQUAL(allocate(&node->driver, &stage->index[i], &stage->word[i]), SH_OK);
  node_leave(&node->driver, POOL, 0);
  node->driver.mags[POOL].n = 0;
  node->driver.mags[POOL].fresh = node->driver.mags[POOL].fresh_end;
  const sh_pool *p = sh_pool_of(&node->d.seg, POOL); /* no other chunk to go to */
  for (uint32_t chunk = 1; chunk < p->n_chunks; chunk++)
    sh_store32_relaxed(sh_pool_owner(&node->d.seg, p, chunk), SH_MAX_CLIENTS);
}

static void owner(void) {
  take(&node->driver);
  let_go(&node->driver, 0);
  take(&node->driver);
  take(&node->driver);
}
static void remote(void) {
  let_go(&node->worker[0], 1);
}
static void remote_and_rehint(void) {
  let_go(&node->worker[1], 0); /* as the driver does */
  sh_pool_rehint(&node->d.seg, POOL, 0);
}

static uint32_t free_now(void) {
  const sh_pool *p = sh_pool_of(&node->d.seg, POOL);
  uint32_t n = 0;
  for (uint32_t i = 0; i < p->chunk_records; i++)
    n += sh_word_state(sh_load_relaxed(sh_pool_word(&node->d.seg, p, i))) == SH_FREE;
  return n;
}

static void given_once(void) {
  uint32_t n = 0, freed = 0;
  for (uint32_t p = 0; p < XP_PROCESSES; p++) {
    XP_CHECK((freed & stage->freed[p]) == 0);
    freed |= stage->freed[p];
    for (uint32_t i = 0; i < stage->n_got[p]; i++) {
      for (uint32_t j = 0; j < i; j++)
        XP_CHECK(stage->got[p][i] != stage->got[p][j]);
      n++;
    }
  }
  XP_EQUAL(freed, 3U);
  XP_EQUAL(free_now(), HELD - n);
  sh_pool_rehint(&node->d.seg, POOL, 0);
  uint32_t index;
  uint64_t word;
  for (; n < HELD; n++) /* each free one can be found */
    XP_EQUAL(allocate(&node->driver, &index, &word), SH_OK);
  XP_EQUAL(allocate(&node->driver, &index, &word), SH_FULL);
}

/* The driver may die; its chunk goes to the worker, who allocates all that is free. */
static void sweeper(void) {
  if (xp_await_death(1U) == XP_NOBODY)
    return;
  const sh_segment *s = &node->d.seg;
  const sh_pool *p = sh_pool_of(s, POOL);
  for (uint32_t i = 0; i < p->chunk_records; i++) {
    uint64_t word = sh_load_acquire(sh_pool_word(s, p, i));
    if (sh_word_state(word) == SH_BUILDING && sh_word_who(word) == node->driver.index)
      (void)sh_pool_free(s, POOL, NULL, 0, i, word);
  }
  sh_pool_release_chunks(s, POOL, node->driver.index);
  sh_pool_rehint(s, POOL, 0);
}
static void remote_then_client(void) {
  let_go(&node->worker[0], 1);
  take(&node->worker[0]);
  take(&node->worker[0]);
}
static void swept(void) {
  uint32_t n = stage->n_got[1];
  XP_CHECK(n < 2 || stage->got[1][0] != stage->got[1][1]);
  if (!xp_has_died(0))
    return;
  if (xp_has_died(2) && sh_load32_relaxed(sh_pool_owner(&node->d.seg, sh_pool_of(&node->d.seg, POOL), 0)) == 1U)
    return;
  uint32_t index;
  uint64_t word;
  sh_self *client = n ? &node->worker[0] : &node->worker[1];
  sh_pool_rehint(&node->d.seg, POOL, 0);
  for (; n < HELD; n++)
    XP_EQUAL(allocate(client, &index, &word), SH_OK);
  XP_EQUAL(allocate(client, &index, &word), SH_FULL);
}

const xp_scenario record_freed_by_others = {
    .name = "record: the owner allocates, others free, hints are rebuilt",
    .setup = setup,
    .run = {owner, remote, remote_and_rehint},
    .check = given_once,
};
const xp_scenario record_swept = {
    .name = "record: its owner is killed anywhere, its chunk goes to another",
    .setup = setup,
    .run = {owner, remote_then_client, sweeper},
    .check = swept,
    .mortal = 1U,
    .crashes = 1,
};

/* Tagged records, as blocks are. */
static struct {
  uint64_t loc;
  uint32_t got;
  sh_a32 done; /* its bytes are of no use any more */
} *blocks;
#define TAG(i) sh_tag(SH_TAG_ENTRY, (sh_ref){.index = 7U, .generation = (i)})

static void setup_block(void) {
  node_open(2, 1);
  blocks = xp_room(sizeof *blocks);
  XP_EQUAL(sh_heap_alloc(&node->d.seg, &node->driver.heap, 1, TAG(1), 100, NULL, NULL, &blocks->loc), SH_OK);
  node_leave(&node->driver, SH_POOL_BLOCK, 0);
  sh_magazine *m = &node->driver.heap.blocks[0];
  m->n = 0;
  m->fresh = m->fresh_end;
  const sh_pool *p = sh_pool_of(&node->d.seg, SH_POOL_BLOCK);
  for (uint32_t chunk = 1; chunk < p->n_chunks; chunk++)
    sh_store32_relaxed(sh_pool_owner(&node->d.seg, p, chunk), SH_MAX_CLIENTS);
  *sh_heap_at(&node->d.seg, blocks->loc) = 1U;
}
static void block_owner(void) {
  uint64_t loc;
  for (uint32_t i = 0; i < 2U; i++)
    if (sh_heap_alloc(&node->d.seg, &node->driver.heap, 1, TAG(2U + i), 100, NULL, NULL, &loc) == SH_OK) {
      XP_EQUAL(loc, blocks->loc);
      XP_EQUAL(blocks->got, 0);
      *sh_heap_at(&node->d.seg, loc) = 2U;
      blocks->got = 1;
    }
}
static void block_freer(void) {
  XP_EQUAL(*sh_heap_at(&node->d.seg, blocks->loc), 1U);
  sh_store32_release(&blocks->done, 1U);
  (void)sh_heap_free(&node->d.seg, NULL, 2, blocks->loc, TAG(1));
}
static void block_second_freer(void) {
  if (sh_load32_acquire(&blocks->done))
    (void)sh_heap_free(&node->d.seg, NULL, 3, blocks->loc, TAG(1));
}
static void block_is_given_once(void) {
  uint64_t loc;
  sh_status status = sh_heap_alloc(&node->d.seg, &node->driver.heap, 1, TAG(9), 100, NULL, NULL, &loc);
  XP_EQUAL(status, blocks->got ? SH_FULL : SH_OK);
}
const xp_scenario record_block = {
    .name = "record: a block is freed by two, and given again",
    .setup = setup_block,
    .run = {block_owner, block_freer, block_second_freer},
    .check = block_is_given_once,
};

/* A chunk that is wholly free is returned to the system, while its owner allocates and another looks for a chunk. */
static struct {
  uint64_t loc[2];
  bool returned;
} *chunk;

static void setup_chunk(void) {
  setup_block();
  chunk = xp_room(sizeof *chunk);
  const sh_pool *p = sh_pool_of(&node->d.seg, SH_POOL_BLOCK);
  for (uint32_t i = 0; i < p->chunk_records; i++)
    sh_store_relaxed(sh_pool_word(&node->d.seg, p, i), 0);
  sh_magazine *m = &node->driver.heap.blocks[0];
  m->items[m->n++] = 0;
}
static void use_block(sh_self *self, uint32_t i) {
  uint64_t loc;
  if (sh_heap_alloc(&node->d.seg, &self->heap, self->index, TAG(i), 100, NULL, NULL, &loc) != SH_OK)
    return;
  *sh_heap_at(&node->d.seg, loc) = (uint8_t)(10U + i);
  chunk->loc[i] = loc;
}
static void chunk_owner(void) {
  use_block(&node->driver, 0);
}
static void chunk_seeker(void) {
  use_block(&node->worker[0], 1);
}
static void chunk_returner(void) {
  bool returned = sh_pool_return_chunk(&node->d.seg, SH_POOL_BLOCK, 0, TAG(7));
  chunk->returned = returned;
}
static void blocks_are_their_owners(void) {
  const sh_pool *p = sh_pool_of(&node->d.seg, SH_POOL_BLOCK);
  uint32_t owner = *(uint32_t *)(void *)sh_pool_owner(&node->d.seg, p, 0), live = 0;
  for (uint32_t i = 0; i < 2U; i++)
    if (chunk->loc[i]) {
      XP_EQUAL(owner, (i ? node->worker[0].index : node->driver.index) + 1U);
      XP_CHECK(sh_heap_holds(&node->d.seg, chunk->loc[i], TAG(i)));
      XP_EQUAL(*sh_heap_at(&node->d.seg, chunk->loc[i]), 10U + i);
      live++;
    }
  for (uint32_t i = 0; i < p->chunk_records; i++)
    live -= sh_load_relaxed(sh_pool_word(&node->d.seg, p, i)) != 0;
  XP_EQUAL(live, 0);
  XP_CHECK(chunk->returned || owner == node->driver.index + 1U);
}
const xp_scenario record_chunk_returned = {
    .name = "Y record: a free chunk is returned while its owner allocates",
    .setup = setup_chunk,
    .run = {chunk_owner, chunk_seeker, chunk_returner},
    .check = blocks_are_their_owners,
    .preemptions = 2,
};

/* The last block of it is given back meanwhile: who gets the chunk comes after who wrote there. */
static void setup_last_block(void) {
  setup_chunk();
  node->driver.heap.blocks[0].n = 0;
  sh_store_relaxed(sh_pool_word(&node->d.seg, sh_pool_of(&node->d.seg, SH_POOL_BLOCK), 0), TAG(1));
}
static void last_user(void) {
  *sh_heap_at(&node->d.seg, blocks->loc) = 3U;
  (void)sh_heap_free(&node->d.seg, NULL, node->worker[1].index, blocks->loc, TAG(1));
}
static void seeker_is_alone(void) {
  if (!chunk->loc[1])
    return;
  XP_CHECK(chunk->returned);
  XP_CHECK(sh_heap_holds(&node->d.seg, chunk->loc[1], TAG(1)));
  XP_EQUAL(*sh_heap_at(&node->d.seg, chunk->loc[1]), 11U);
}
const xp_scenario record_last_block = {
    .name = "Y record: the last block of a chunk is freed, the chunk returned and claimed by another",
    .setup = setup_last_block,
    .run = {last_user, chunk_returner, chunk_seeker},
    .check = seeker_is_alone,
    .preemptions = 1,
};
