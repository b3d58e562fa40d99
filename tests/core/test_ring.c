/* SPDX-License-Identifier: Apache-2.0
 * Hint rings: first in first out over many segments, memory reused, a directory that goes round, intents left behind. */
#include "rig.h"

#define SEGMENTS 600U
static sh_a64 *cells[SEGMENTS];
static uint32_t n_cells, limit;
static sh_ring ring;
static sh_a64 op;

static sh_a64 *cells_of(void *context, uint32_t id) {
  (void)context;
  return id < n_cells ? cells[id] : NULL;
}

static sh_status grow(void *context, sh_ring *of, uint32_t *id) {
  (void)context, (void)of;
  if (n_cells == limit)
    return SH_FULL;
  cells[n_cells] = calloc(SH_RING_SEGMENT, sizeof(sh_a64));
  *id = n_cells++;
  return SH_OK;
}

static const sh_ring_memory memory = {.cells = cells_of, .grow = grow};

static void fresh(uint32_t max_segments) {
  memset(&ring, 0, sizeof ring);
  while (n_cells)
    free(cells[--n_cells]);
  limit = max_segments;
  sh_store_relaxed(&op, 0);
}

static bool push(uint64_t hint) {
  bool was_empty;
  return sh_ring_push(&ring, &memory, hint, &was_empty) == SH_OK;
}

static uint64_t pop(void) {
  uint64_t hint;
  return sh_ring_pop(&ring, &memory, &op, &hint) == SH_OK ? hint : 0;
}

static void test_first_in_first_out_and_says_when_empty(void) {
  bool was_empty;
  fresh(SEGMENTS);
  EXPECT_EQ(pop(), 0);
  EXPECT_EQ(sh_ring_push(&ring, &memory, 1, &was_empty), SH_OK);
  EXPECT(was_empty);
  EXPECT_EQ(sh_ring_push(&ring, &memory, 2, &was_empty), SH_OK);
  EXPECT(!was_empty);
  EXPECT_EQ(sh_ring_length(&ring), 2);
  EXPECT_EQ(pop(), 1);
  EXPECT_EQ(sh_load_relaxed(&op), 1); /* the taker's intent names what it took */
  EXPECT_EQ(pop(), 2);
  EXPECT_EQ(pop(), 0);
  EXPECT_EQ(sh_ring_length(&ring), 0);
}

static void test_segments_are_recycled(void) {
  uint64_t in = 1, out = 1;
  fresh(SEGMENTS);
  while (in < 40U * SH_RING_SEGMENT) { /* at most 1.5 segments full at any time */
    for (uint32_t i = 0; i < SH_RING_SEGMENT; i++)
      EXPECT(push(in++));
    while (in - out > SH_RING_SEGMENT / 2U)
      EXPECT_EQ(pop(), out++);
  }
  EXPECT(n_cells <= 4);
}

static void test_directory_goes_round(void) {
  uint64_t in = 1, out = 1;
  fresh(3);
  while (in < (uint64_t)(SH_RING_DIRECTORY + 3U) * SH_RING_SEGMENT) {
    EXPECT(push(in++));
    EXPECT_EQ(pop(), out++);
  }
  EXPECT_EQ(pop(), 0);
}

static void test_full_ring_refuses_and_recovers(void) {
  uint64_t in = 1;
  fresh(SEGMENTS);
  while (push(in))
    in++;
  EXPECT_EQ(in - 1U, (uint64_t)SH_RING_DIRECTORY * SH_RING_SEGMENT);
  for (uint64_t out = 1; out <= SH_RING_SEGMENT; out++)
    EXPECT_EQ(pop(), out);
  EXPECT(push(in));
}

static void test_no_memory_refuses_and_loses_nothing(void) {
  uint64_t in = 1, out = 1;
  fresh(2);
  while (push(in))
    in++;
  EXPECT_EQ(in - 1U, 2U * SH_RING_SEGMENT);
  while (out < in)
    EXPECT_EQ(pop(), out++);
  EXPECT(push(in));
  EXPECT_EQ(pop(), in);
}

static void test_taker_that_finds_nothing_names_nothing(void) {
  fresh(2);
  sh_store_relaxed(&op, 99); /* as after a lost race for the last hint */
  EXPECT(push(5));
  EXPECT_EQ(pop(), 5);
  EXPECT_EQ(pop(), 0);
  EXPECT_EQ(sh_load_relaxed(&op), 0);
}

static void test_damaged_directory_takes_nothing(void) {
  fresh(2);
  EXPECT(push(5));
  sh_store_relaxed(&ring.directory[0], 0xFFFFFFFF00000000U);
  EXPECT_EQ(pop(), 0);
  sh_store_relaxed(&ring.directory[0], 0);
  EXPECT_EQ(pop(), 0);
}

static void test_writer_knows_a_ring_that_cannot_be_right(void) {
  fresh(2);
  sh_store_relaxed(&ring.x_first_segment, 5); /* beyond the tail */
  EXPECT_EQ(sh_ring_reserve(&ring, &memory), SH_INVALID);
  fresh(2);
  sh_store_relaxed(&ring.x_tail, (SH_RING_DIRECTORY + 1ULL) * SH_RING_SEGMENT); /* so much cannot lie in it */
  EXPECT_EQ(sh_ring_reserve(&ring, &memory), SH_INVALID);
}

static void test_peek_sees_what_lies_there_and_no_more(void) {
  uint64_t hint;
  fresh(2);
  EXPECT(!sh_ring_peek(&ring, &memory, 0, &hint));
  EXPECT(push(5) && push(6) && push(7));
  EXPECT_EQ(pop(), 5);
  EXPECT(sh_ring_peek(&ring, &memory, 0, &hint) && hint == 6);
  EXPECT(sh_ring_peek(&ring, &memory, 1, &hint) && hint == 7);
  EXPECT(!sh_ring_peek(&ring, &memory, 2, &hint));
  EXPECT_EQ(pop(), 6);
  sh_store_relaxed(&ring.directory[0], 0);
  EXPECT(!sh_ring_peek(&ring, &memory, 0, &hint));
}

int main(void) {
  RUN(test_first_in_first_out_and_says_when_empty);
  RUN(test_segments_are_recycled);
  RUN(test_directory_goes_round);
  RUN(test_full_ring_refuses_and_recovers);
  RUN(test_no_memory_refuses_and_loses_nothing);
  RUN(test_taker_that_finds_nothing_names_nothing);
  RUN(test_damaged_directory_takes_nothing);
  RUN(test_writer_knows_a_ring_that_cannot_be_right);
  RUN(test_peek_sees_what_lies_there_and_no_more);
  fresh(0);
  return 0;
}
