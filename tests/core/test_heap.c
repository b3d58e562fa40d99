/* SPDX-License-Identifier: Apache-2.0
 * The heap: blocks, runs in arenas and over arenas, tags that make freeing idempotent, arenas given back and adopted. */
#include "rig.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static rig r;
static const sh_segment *s;
static sh_heap a, b; /* of clients 40 and 41 */
#define A 40U
#define B 41U
#define MIB (1ULL << 20)

static void open_heap(void) {
  rig_open(&r, 0, 1);
  s = &r.d.seg;
  memset(&a, 0, sizeof a);
  memset(&b, 0, sizeof b);
}

static void close_heap(void) {
  EXPECT(sh_heap_is_valid(s));
  sh_heap_destroy(&a);
  sh_heap_destroy(&b);
  rig_close(&r);
}

static uint64_t tag(uint32_t i) {
  return sh_tag(SH_TAG_ENTRY, (sh_ref){.index = i, .generation = 1});
}

static uint64_t get(sh_heap *h, uint32_t client, uint32_t i, uint64_t bytes) {
  uint64_t loc = 0;
  return sh_heap_alloc(s, h, client, tag(i), bytes, NULL, NULL, &loc) == SH_OK ? loc : 0;
}

static void count(void *context, uint64_t loc, uint64_t with_tag, uint64_t bytes) {
  (void)loc, (void)with_tag, (void)bytes;
  ++*(uint32_t *)context;
}

static uint32_t live(uint32_t client) {
  uint32_t n = 0;
  sh_heap_visit(s, client, count, &n);
  return n;
}

static void test_tag_says_whose_it_is(void) {
  sh_ref ref = {.index = 123456, .generation = 0xFEDCBA98U};
  uint64_t t = sh_tag(SH_TAG_SLOT, ref);
  EXPECT_EQ(sh_tag_kind_of(t), SH_TAG_SLOT);
  EXPECT_EQ(sh_tag_ref(t).index, ref.index);
  EXPECT_EQ(sh_tag_ref(t).generation, ref.generation);
}

static void test_every_size_has_room(void) {
  static const uint64_t sizes[] = {1, 128, 129, 4096, 32768, 32769, 65536, 65537, MIB, 31 * MIB, 32 * MIB};
  open_heap();
  for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    uint64_t loc = get(&a, A, i, sizes[i]);
    EXPECT(loc != 0);
    EXPECT(sh_heap_capacity(s, loc) >= sizes[i]);
    memset(sh_heap_at(s, loc), 1, sizes[i]);
    EXPECT(!sh_heap_free(s, &b, B, loc, tag(i) + 1)); /* of another record */
    EXPECT(sh_heap_free(s, &b, B, loc, tag(i)));
    EXPECT(!sh_heap_free(s, &b, B, loc, tag(i)));
  }
  EXPECT_EQ(live(SH_EVERYBODY), 0);
  close_heap();
}

static void test_runs_do_not_overlap(void) {
  enum { N = 60 };
  uint64_t loc[N], size[N];
  uint32_t seed = 1;
  open_heap();
  memset(loc, 0, sizeof loc);
  for (uint32_t step = 0; step < 4000; step++) {
    seed = seed * 1664525U + 1013904223U;
    uint32_t i = (seed >> 8) % N;
    if (loc[i]) {
      const uint8_t *data = sh_heap_at(s, loc[i]);
      EXPECT(data[0] == (uint8_t)i && data[size[i] - 1] == (uint8_t)i);
      EXPECT(sh_heap_free(s, i % 3 ? &a : &b, i % 3 ? A : B, loc[i], tag(i)));
      loc[i] = 0;
      continue;
    }
    size[i] = 32769U + (seed >> 4) % (2U << 20);
    loc[i] = get(i % 2 ? &a : &b, i % 2 ? A : B, i, size[i]);
    if (!loc[i])
      continue;
    uint8_t *data = sh_heap_at(s, loc[i]);
    data[0] = data[size[i] - 1] = (uint8_t)i;
    if (step % 100 == 0)
      EXPECT(sh_heap_is_valid(s));
  }
  close_heap();
}

static void test_run_may_be_longer_than_an_arena(void) {
  open_heap();
  uint64_t small = get(&a, A, 1, 20 * MIB);
  uint64_t large = get(&a, A, 2, 70 * MIB); /* three arenas; the first one is in use */
  EXPECT(large != 0);
  EXPECT_EQ(sh_heap_capacity(s, large), 70 * MIB);
  EXPECT_EQ(live(SH_EVERYBODY), 2);          /* a scan of the later arenas knows what covers them */
  uint64_t beside = get(&a, A, 3, 20 * MIB); /* the rest of the third arena */
  EXPECT(beside != 0 && sh_heap_at(s, beside) >= sh_heap_at(s, large) + 70 * MIB - SH_UNIT_BYTES);
  EXPECT(sh_heap_is_valid(s));
  EXPECT_EQ(get(&a, A, 4, 70 * MIB), 0);
  EXPECT(sh_heap_free(s, NULL, B, large, tag(2)));
  EXPECT(sh_heap_free(s, NULL, B, beside, tag(3)));
  uint64_t again = get(&a, A, 4, 70 * MIB);
  EXPECT_EQ(again, large);
  EXPECT(sh_heap_free(s, &a, A, again, tag(4)) && sh_heap_free(s, &a, A, small, tag(1)));
  close_heap();
}

static void test_large_run_covers_arenas_of_dead_owners(void) {
  open_heap();
  uint64_t large = get(&a, A, 1, 40 * MIB);
  sh_heap_release(s, A); /* its owner died; the object lives on */
  EXPECT_EQ(live(SH_EVERYBODY), 1);
  for (uint32_t i = 2; i < 200; i++) {
    uint64_t loc = get(&b, B, i, MIB);
    if (!loc)
      break;
    EXPECT(sh_heap_at(s, loc) >= sh_heap_at(s, large) + 40 * MIB || sh_heap_at(s, loc) + MIB <= sh_heap_at(s, large));
  }
  EXPECT(sh_heap_is_valid(s));
  EXPECT(sh_heap_free(s, &b, B, large, tag(1)));
  close_heap();
}

static void test_freed_room_is_found_again(void) {
  open_heap();
  uint64_t first = get(&a, A, 1, 20 * MIB);
  EXPECT(get(&a, A, 2, 20 * MIB) != first);
  EXPECT(get(&a, A, 3, 20 * MIB) && get(&a, A, 4, 20 * MIB));
  EXPECT_EQ(get(&a, A, 5, 20 * MIB), 0);
  EXPECT(sh_heap_free(s, &b, B, first, tag(1)));
  EXPECT_EQ(get(&a, A, 5, 20 * MIB), first);
  close_heap();
}

static void test_empty_arena_is_taken_over_from_a_live_owner(void) {
  open_heap();
  uint64_t keep = get(&a, A, 1, MIB);
  uint64_t large = get(&a, A, 2, 60 * MIB);
  EXPECT(get(&b, B, 3, 90 * MIB) == 0); /* what A uses is safe */
  EXPECT(sh_heap_free(s, &a, A, large, tag(2)));
  uint64_t stolen = get(&b, B, 3, 60 * MIB);
  EXPECT_EQ(stolen, large);
  EXPECT(sh_heap_holds(s, keep, tag(1)) && sh_heap_is_valid(s));
  for (uint32_t i = 10; i < 100; i++) { /* A has noticed: it allocates in what is still its own */
    uint64_t loc = get(&a, A, i, MIB);
    if (!loc)
      break;
    EXPECT(sh_heap_at(s, loc) + MIB <= sh_heap_at(s, stolen) || sh_heap_at(s, loc) >= sh_heap_at(s, stolen) + 60 * MIB);
  }
  EXPECT(sh_heap_is_valid(s));
  close_heap();
}

static sh_arena *arena(uint32_t i) {
  return (sh_arena *)sh_region(s, SH_REGION_ARENAS) + i;
}

/* As its owner is found that was stopped while it allocates. */
static void set_active(uint32_t i, bool on) {
  uint64_t word = sh_load_relaxed(&arena(i)->x_word);
  sh_store_relaxed(&arena(i)->x_word, on ? word | SH_ARENA_ACTIVE : word & ~SH_ARENA_ACTIVE);
}

static void test_damaged_locations_are_refused(void) {
  open_heap();
  uint64_t block = (uint64_t)SH_LOC_BLOCK;
  EXPECT(sh_heap_at(s, block | (0xFFFFFFFULL << 8)) == NULL);
  EXPECT(sh_heap_at(s, block | (15U << 4)) == NULL);
  EXPECT(sh_heap_at(s, (uint64_t)SH_LOC_RUN | (0xFFFFFFFFULL << 8)) == NULL);
  EXPECT(sh_heap_at(s, 15) == NULL);
  EXPECT_EQ(sh_heap_capacity(s, (uint64_t)SH_LOC_RUN | (0xFFFFFFFFULL << 8)), 0);
  EXPECT(!sh_heap_free(s, NULL, 0, block | (0xFFFFFFFULL << 8), tag(1)));
  EXPECT(get(&a, A, 1, MIB));
  sh_store32_relaxed(&arena(0)->x_covered_by, UINT32_MAX); /* by a run outside of the heap */
  EXPECT(get(&a, A, 2, MIB));
  sh_store32_relaxed(&arena(0)->x_covered_by, 0);
  close_heap();
}

static void test_holder_is_known_until_it_is_freed(void) {
  open_heap();
  uint64_t run = get(&a, A, 1, MIB), small = get(&a, A, 2, 100);
  EXPECT(sh_heap_holds(s, run, tag(1)) && !sh_heap_holds(s, run, tag(2)));
  EXPECT(sh_heap_holds(s, small, tag(2)) && !sh_heap_holds(s, small, tag(1)));
  EXPECT(sh_heap_free(s, &a, A, run, tag(1)) && sh_heap_free(s, &a, A, small, tag(2)));
  EXPECT(!sh_heap_holds(s, run, tag(1)) && !sh_heap_holds(s, small, tag(2)) && !sh_heap_holds(s, 0, tag(2)));
  close_heap();
}

static void test_visit_of_one_client_passes_over_the_runs_of_others(void) {
  open_heap();
  EXPECT(get(&a, A, 1, MIB) && get(&a, A, 2, 100));
  EXPECT_EQ(live(A), 2);
  EXPECT_EQ(live(B), 0);
  close_heap();
}

static void test_only_arenas_that_are_wholly_free_are_trimmed(void) {
  open_heap();
  uint64_t kept = get(&a, A, 1, 20 * MIB), gone = get(&a, A, 2, 20 * MIB);
  memset(sh_heap_at(s, kept), 7, 20 * MIB);
  EXPECT(sh_heap_free(s, &a, A, gone, tag(2)));
  uint32_t empty = (uint32_t)(gone >> 8) / SH_ARENA_UNITS;
  set_active(empty, true);
  EXPECT_EQ(sh_heap_trim(s, B, 100), 0); /* its owner may be about to place something */
  set_active(empty, false);
  EXPECT_EQ(sh_heap_trim(s, B, 100), 1);
  EXPECT_EQ(sh_heap_trim(s, B, 100), 0);
  EXPECT_EQ(sh_arena_owner(sh_load_relaxed(&arena(empty)->x_word)), 0);
  EXPECT(sh_heap_holds(s, kept, tag(1)) && *sh_heap_at(s, kept) == 7);
  close_heap();
}

static void test_arena_is_offered_by_its_owner_if_there_is_room(void) {
  open_heap();
  uint64_t kept = get(&a, A, 1, 20 * MIB);
  uint32_t at = (uint32_t)(kept >> 8) / SH_ARENA_UNITS;
  EXPECT(!sh_heap_offer(s, B, at, MIB));
  EXPECT(!sh_heap_offer(s, A, at, 20 * MIB));
  EXPECT(!sh_heap_offer(s, A, at, 40 * MIB));
  set_active(at, true);
  EXPECT(!sh_heap_offer(s, A, at, MIB));
  set_active(at, false);
  EXPECT(sh_heap_offer(s, A, at, 12 * MIB));
  EXPECT_EQ(sh_arena_owner(sh_load_relaxed(&arena(at)->x_word)), SH_ARENA_RELEASED);
  uint64_t loc = get(&b, B, 2, 12 * MIB);
  EXPECT_EQ((uint32_t)(loc >> 8) / SH_ARENA_UNITS, at);
  close_heap();
}

#if defined(SH_HOOKS) && SH_HOOKS
static const volatile void *before;

/* At the last moment its owner places a run in it. */
static void place_meanwhile(const volatile void *word) {
  if (word != before)
    return;
  sh_hook_fn = NULL;
  EXPECT(get(&a, A, 3, MIB));
}

static void test_owner_that_allocates_meanwhile_keeps_its_arena(void) {
  open_heap();
  uint64_t loc = get(&a, A, 1, MIB);
  EXPECT(sh_heap_free(s, &a, A, loc, tag(1)));
  before = &arena((uint32_t)(loc >> 8) / SH_ARENA_UNITS)->x_word;
  sh_hook_fn = place_meanwhile;
  EXPECT_EQ(sh_heap_trim(s, B, 100), 0);
  EXPECT(!sh_hook_fn);
  EXPECT_EQ(live(A), 1);
  close_heap();
}
#endif

/* What is said when `loc` is given back under the tag of entry 1. */
static const char *complaint(uint64_t loc) {
  static char text[256];
  int ends[2];
  EXPECT(pipe(ends) == 0);
  fflush(NULL);
  pid_t pid = fork();
  EXPECT(pid >= 0);
  if (pid == 0) {
    (void)dup2(ends[1], 2);
    (void)signal(SIGABRT, SIG_DFL);
    sh_heap_give_back(s, NULL, A, loc, tag(1));
    _exit(0);
  }
  close(ends[1]);
  size_t n = 0;
  for (ssize_t got; n < sizeof text - 1U && (got = read(ends[0], text + n, sizeof text - 1U - n)) > 0;)
    n += (size_t)got;
  text[n] = 0;
  close(ends[0]);
  int status;
  EXPECT(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  return text;
}

static void test_what_is_given_back_wrongly_is_told(void) {
  open_heap();
  uint64_t run = get(&a, A, 4, MIB), freed_run = get(&a, A, 1, MIB);
  uint64_t block = get(&a, A, 5, 100), freed_block = get(&a, A, 1, 100);
  EXPECT(freed_block >> 8 > run >> 8 && freed_block >> 8 < freed_run >> 8); /* a run covers the unit of this number */
  EXPECT(sh_heap_free(s, &a, A, freed_run, tag(1)) && sh_heap_free(s, &a, A, freed_block, tag(1)));
  EXPECT(strstr(complaint(run), "it belongs to entry 4"));
  EXPECT(strstr(complaint(block), "it belongs to entry 5"));
  EXPECT(strstr(complaint(freed_run), "it is free already"));
  EXPECT(strstr(complaint(freed_block), "it is free already"));
  EXPECT(strstr(complaint(run + (3ULL << 8)), "this is in the middle of a run"));
  EXPECT(strstr(complaint(SH_LOC_INLINE), "this is not a location"));
  EXPECT(strstr(complaint((uint64_t)SH_LOC_RUN | (0xFFFFFFFFULL << 8)), "this is outside the heap"));
  EXPECT(strstr(complaint((uint64_t)SH_LOC_BLOCK | (0xFFFFFFFULL << 8)), "this is outside the heap"));
  close_heap();
}

int main(void) {
  RUN(test_tag_says_whose_it_is);
  RUN(test_every_size_has_room);
  RUN(test_runs_do_not_overlap);
  RUN(test_run_may_be_longer_than_an_arena);
  RUN(test_large_run_covers_arenas_of_dead_owners);
  RUN(test_freed_room_is_found_again);
  RUN(test_empty_arena_is_taken_over_from_a_live_owner);
  RUN(test_damaged_locations_are_refused);
  RUN(test_holder_is_known_until_it_is_freed);
  RUN(test_visit_of_one_client_passes_over_the_runs_of_others);
  RUN(test_only_arenas_that_are_wholly_free_are_trimmed);
  RUN(test_arena_is_offered_by_its_owner_if_there_is_room);
#if defined(SH_HOOKS) && SH_HOOKS
  RUN(test_owner_that_allocates_meanwhile_keeps_its_arena);
#endif
  RUN(test_what_is_given_back_wrongly_is_told);
  return 0;
}
