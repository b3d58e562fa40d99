/* SPDX-License-Identifier: Apache-2.0
 * The allocator beside a model of it. Clients allocate, free each other's memory, take arenas over, die and come back, at
 * random; the model knows which block and which unit belongs to whom. Nothing is given twice, nothing is written by anybody
 * but its owner, and misuse is found out in builds with checks. */
#include "rig.h"

#include "base/check.h"

#include <sys/wait.h>
#include <unistd.h>

#define CLIENTS 3U
#define FIRST_CLIENT 40U
#define ITEMS 3000U
#define STORE (512ULL << 20)
#define MIB (1ULL << 20)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SLOW true
#else
#define IS_SLOW false
#endif
#define STEP 4096U /* in large memory one byte a page is written */

typedef struct item {
  uint64_t loc, bytes, tag;
} item;

static rig r;
static const sh_segment *s;
static sh_heap heaps[CLIENTS];
static item items[ITEMS];
static uint16_t *block_owner[SH_BLOCK_CLASSES], *unit_owner; /* item + 1 */
static uint32_t seed, generation;

static uint32_t next_random(void) {
  seed = seed * 1664525U + 1013904223U;
  return seed >> 8;
}

static void open_all(void) {
  rig_open_sized(&r, 0, 1, STORE);
  s = &r.d.seg;
  memset(heaps, 0, sizeof heaps);
  memset(items, 0, sizeof items);
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++)
    EXPECT((block_owner[c] = calloc(sh_pool_capacity(sh_pool_of(s, SH_POOL_BLOCK + c)), sizeof(uint16_t))) != NULL);
  EXPECT((unit_owner = calloc((size_t)s->fixed.n_arenas * SH_ARENA_UNITS, sizeof(uint16_t))) != NULL);
}

static void close_all(void) {
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++)
    free(block_owner[c]);
  free(unit_owner);
  for (uint32_t c = 0; c < CLIENTS; c++)
    sh_heap_destroy(&heaps[c]);
  rig_close(&r);
}

/* ---- the model ---- */

/* What the model calls the memory at `loc` changes from `before` to `after`, all of it. */
static void rename_memory(const item *it, uint32_t before, uint32_t after) {
  uint64_t index = it->loc >> 8, n = 1;
  uint16_t *owner = unit_owner;
  if (sh_loc_kind_of(it->loc) == SH_LOC_BLOCK)
    owner = block_owner[(it->loc >> 4) & 15U];
  else
    n = (it->bytes + SH_UNIT_BYTES - 1U) / SH_UNIT_BYTES;
  for (uint64_t i = index; i < index + n; i++) {
    EXPECT_EQ(owner[i], before);
    owner[i] = (uint16_t)after;
  }
}

static uint8_t mark_of(const item *it, uint64_t at) {
  return (uint8_t)((it->tag ^ it->tag >> 36) * 31U + at / STEP + at % STEP);
}

static void visit_bytes(const item *it, bool write) {
  uint8_t *data = sh_heap_at(s, it->loc);
  uint64_t step = it->bytes <= 1024U ? 1U : it->bytes <= SH_BLOCK_MAX ? 509U : STEP;
  for (uint64_t at = 0; at < it->bytes; at += step) {
    if (write)
      data[at] = mark_of(it, at);
    else
      EXPECT_EQ(data[at], mark_of(it, at));
  }
  uint64_t last = it->bytes - 1U;
  if (write)
    data[last] = mark_of(it, last);
  else
    EXPECT_EQ(data[last], mark_of(it, last));
}

static uint64_t some_size(void) {
  uint32_t dice = next_random() % 1000U;
  if (dice < 700U)
    return 1U + next_random() % 1024U;
  if (dice < 960U)
    return 1U + next_random() % SH_BLOCK_MAX;
  if (dice < 999U)
    return SH_BLOCK_MAX + 1U + next_random() % (256U << 10);
  return next_random() % 20U ? MIB + next_random() % (8U * MIB) : SH_ARENA_BYTES + next_random() % (40U * MIB);
}

static void allocate(uint32_t i, uint32_t client) {
  item *it = &items[i];
  it->bytes = some_size();
  it->tag = sh_tag(SH_TAG_ENTRY, (sh_ref){.index = i, .generation = ++generation});
  if (sh_heap_alloc(s, &heaps[client], FIRST_CLIENT + client, it->tag, it->bytes, NULL, NULL, &it->loc) != SH_OK) {
    it->loc = 0;
    return;
  }
  EXPECT(sh_heap_at(s, it->loc) && sh_heap_capacity(s, it->loc) >= it->bytes);
  rename_memory(it, 0, i + 1U);
  visit_bytes(it, true);
}

static void release(uint32_t i, uint32_t client) {
  item *it = &items[i];
  sh_heap *heap = next_random() % 8U ? &heaps[client] : NULL; /* as the repair thread does it */
  visit_bytes(it, false);
  EXPECT(sh_heap_holds(s, it->loc, it->tag));
  if (next_random() % 64U == 0)
    EXPECT(!sh_heap_free(s, heap, FIRST_CLIENT + client, it->loc, it->tag + 1U)); /* of an earlier record */
  EXPECT(sh_heap_free(s, heap, FIRST_CLIENT + client, it->loc, it->tag));
  rename_memory(it, i + 1U, 0);
  if (next_random() % 64U == 0)
    EXPECT(!sh_heap_free(s, heap, FIRST_CLIENT + client, it->loc, it->tag));
  it->loc = 0;
}

/* What it has allocated lives on, and belongs to nobody's heap. */
static void die_and_come_back(uint32_t client) {
  sh_heap_release(s, FIRST_CLIENT + client);
  sh_heap_destroy(&heaps[client]);
  memset(&heaps[client], 0, sizeof heaps[client]);
}

static void test_nothing_is_given_twice(void) {
  bool thorough = getenv("SHOAL_LONG") != NULL;
  uint64_t operations = !thorough ? 1000000U : IS_SLOW ? 10000000U : 100000000U;
  open_all();
  for (uint64_t n = 0; n < operations; n++) {
    uint32_t i = next_random() % ITEMS, client = next_random() % CLIENTS;
    if (items[i].loc)
      release(i, client);
    else
      allocate(i, client);
    if (n % 100003U == 0)
      die_and_come_back(client);
    if (n % (operations / 16U) == 0) {
      EXPECT(sh_heap_is_valid(s));
      for (uint32_t k = 0; k < ITEMS; k++)
        if (items[k].loc)
          visit_bytes(&items[k], false);
    }
  }
  for (uint32_t i = 0; i < ITEMS; i++)
    if (items[i].loc)
      release(i, 0);
  EXPECT(sh_heap_is_valid(s));
  close_all();
}

#if SH_CHECK >= 1

static void give_back(uint64_t loc, uint64_t tag) {
  sh_heap_give_back(s, &heaps[0], FIRST_CLIENT, loc, tag);
}

/* The process ends, and says why. */
static void expect_misuse(uint64_t loc, uint64_t tag, const char *says) {
  int out[2], status;
  char text[512];
  EXPECT(pipe(out) == 0);
  fflush(NULL);
  pid_t pid = fork();
  EXPECT(pid >= 0);
  if (pid == 0) {
    EXPECT(dup2(out[1], STDERR_FILENO) >= 0);
    give_back(loc, tag);
    _exit(0);
  }
  close(out[1]);
  ssize_t n = read(out[0], text, sizeof text - 1U);
  close(out[0]);
  EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
  text[n > 0 ? n : 0] = 0;
  if (!strstr(text, says))
    rig_fail(__FILE__, __LINE__, text, 0, 0);
}

static void test_misuse_is_told(void) {
  open_all();
  items[0].tag = sh_tag(SH_TAG_ENTRY, (sh_ref){.index = 0, .generation = 1});
  uint64_t tag = items[0].tag, block, run;
  EXPECT_EQ(sh_heap_alloc(s, &heaps[0], FIRST_CLIENT, tag, 500, NULL, NULL, &block), SH_OK);
  EXPECT_EQ(sh_heap_alloc(s, &heaps[0], FIRST_CLIENT, tag, 4 * SH_UNIT_BYTES, NULL, NULL, &run), SH_OK);
  expect_misuse(block, sh_tag(SH_TAG_ENTRY, (sh_ref){.index = 9, .generation = 1}), "belongs to entry 0");
  expect_misuse(run, sh_tag(SH_TAG_SLOT, (sh_ref){.index = 0, .generation = 1}), "belongs to entry 0");
  expect_misuse(run + (2U << 8), tag, "in the middle of a run");
  expect_misuse(block + (1ULL << 40), tag, "outside the heap");
  expect_misuse(run | 15U, tag, "not a location");
  give_back(block, tag);
  give_back(run, tag);
  expect_misuse(block, tag, "free already");
  expect_misuse(run, tag, "free already");
  close_all();
}

#else
static void test_misuse_is_told(void) {}
#endif

int main(void) {
  const char *given = getenv("SHOAL_SEED");
  char name[64];
  seed = given ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)getpid() * 2654435761U;
  (void)snprintf(name, sizeof name, "a run with SHOAL_SEED=%u", seed);
  RUN(test_misuse_is_told);
  rig_running(name);
  test_nothing_is_given_twice();
  return 0;
}
