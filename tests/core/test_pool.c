/* SPDX-License-Identifier: Apache-2.0
 * Pools: records decided by their own word, chunks by their owner, hints that may be wrong. */
#include "rig.h"

static rig r;
static const sh_segment *s;
static sh_magazine a, b; /* of clients 40 and 41 */
#define A 40U
#define B 41U

static void open_pools(void) {
  rig_open(&r, 0, 1);
  s = &r.d.seg;
  memset(&a, 0, sizeof a);
  memset(&b, 0, sizeof b);
}

static void close_pools(void) {
  sh_magazine_destroy(&a);
  sh_magazine_destroy(&b);
  rig_close(&r);
}

static uint32_t chunk_records(void) {
  return sh_pool_of(s, SH_POOL_WAITER)->chunk_records;
}

static sh_status take(sh_magazine *m, uint32_t client, uint32_t *index, uint64_t *word) {
  return sh_pool_alloc(s, SH_POOL_WAITER, m, client, 0, NULL, NULL, index, word);
}

static bool never(void *context, uint64_t bytes) {
  *(uint64_t *)context = bytes;
  return false;
}

static void test_record_names_its_client_and_a_new_generation(void) {
  open_pools();
  uint32_t first, again;
  uint64_t word, next;
  EXPECT_EQ(take(&a, A, &first, &word), SH_OK);
  EXPECT_EQ(sh_word_state(word), SH_BUILDING);
  EXPECT_EQ(sh_word_who(word), A);
  EXPECT_EQ(sh_word_generation(word), 1);
  EXPECT(sh_pool_free(s, SH_POOL_WAITER, &a, A, first, word));
  EXPECT(!sh_pool_free(s, SH_POOL_WAITER, &a, A, first, word)); /* only once */
  EXPECT_EQ(take(&a, A, &again, &next), SH_OK);
  EXPECT_EQ(again, first);
  EXPECT_EQ(sh_word_generation(next), 2);
  EXPECT(!sh_pool_free(s, SH_POOL_WAITER, &a, A, first, word)); /* nor with an old name */
  close_pools();
}

static void test_no_record_is_given_twice(void) {
  enum { N = 3000 };
  static uint8_t seen[1U << 16];
  static uint32_t index[N];
  static uint64_t word[N];
  open_pools();
  for (uint32_t round = 0; round < 4; round++) {
    memset(seen, 0, sizeof seen);
    for (uint32_t i = 0; i < N; i++) {
      EXPECT_EQ(take(i % 2 ? &a : &b, i % 2 ? A : B, &index[i], &word[i]), SH_OK);
      EXPECT(!seen[index[i]]);
      seen[index[i]] = 1;
    }
    for (uint32_t i = 0; i < N; i++) /* half of them freed by the other client: hints, not magazines */
      EXPECT(sh_pool_free(s, SH_POOL_WAITER, i % 4 < 2 ? &a : &b, i % 4 < 2 ? A : B, index[i], word[i]));
    EXPECT(sh_pool_used_chunks(s, SH_POOL_WAITER) <= N / chunk_records() + 4U);
  }
  close_pools();
}

static void test_exhausted_pool_is_full_and_recovers(void) {
  open_pools();
  uint32_t index, capacity = sh_pool_capacity(sh_pool_of(s, SH_POOL_WAITER)), n = 0;
  uint64_t word;
  while (take(&a, A, &index, &word) == SH_OK)
    n++;
  EXPECT_EQ(n, capacity);
  EXPECT(sh_pool_free(s, SH_POOL_WAITER, NULL, B, 5, sh_word(1, SH_BUILDING, A, 0)));
  EXPECT_EQ(take(&a, A, &index, &word), SH_OK);
  EXPECT_EQ(index, 5);
  EXPECT_EQ(take(&a, A, &index, &word), SH_FULL);
  close_pools();
}

static void test_budget_is_asked_before_a_chunk_is_claimed(void) {
  open_pools();
  uint32_t index;
  uint64_t word, asked = 0;
  EXPECT_EQ(sh_pool_alloc(s, SH_POOL_WAITER, &a, A, 0, never, &asked, &index, &word), SH_FULL);
  EXPECT_EQ(asked, (uint64_t)chunk_records() * sizeof(sh_waiter));
  EXPECT_EQ(sh_pool_used_chunks(s, SH_POOL_WAITER), 0);
  close_pools();
}

static void test_lost_hints_are_found_by_rehint(void) {
  open_pools();
  uint32_t n = chunk_records(), index;
  uint64_t word;
  for (uint32_t i = 0; i < n; i++)
    EXPECT_EQ(take(&a, A, &index, &word), SH_OK);
  for (uint32_t i = 0; i < n; i++) /* freed by somebody who dies before the hint */
    sh_store_relaxed(sh_pool_word(s, sh_pool_of(s, SH_POOL_WAITER), i), sh_word(1, SH_FREE, 0, 0));
  sh_pool_rehint(s, SH_POOL_WAITER, 0);
  for (uint32_t i = 0; i < n; i++) {
    EXPECT_EQ(take(&a, A, &index, &word), SH_OK);
    EXPECT(index < n);
  }
  close_pools();
}

static void test_wrong_hints_cost_a_look_only(void) {
  open_pools();
  uint32_t n = chunk_records(), index;
  uint64_t word;
  for (uint32_t i = 0; i < n; i++)
    EXPECT_EQ(take(&a, A, &index, &word), SH_OK);
  sh_a64 *hints = (sh_a64 *)(void *)(s->base + sh_pool_of(s, SH_POOL_WAITER)->hints);
  for (uint32_t w = 0; w < n / 64U; w++)
    sh_store_relaxed(&hints[w], UINT64_MAX);
  EXPECT_EQ(take(&a, A, &index, &word), SH_OK);
  EXPECT_EQ(index, n); /* from the next chunk */
  close_pools();
}

static void test_released_chunk_is_adopted_with_what_lives_in_it(void) {
  open_pools();
  uint32_t n = chunk_records(), index, kept = 17;
  uint64_t word;
  for (uint32_t i = 0; i <= kept; i++)
    EXPECT_EQ(take(&a, A, &index, &word), SH_OK);
  for (uint32_t i = 0; i < kept; i++)
    EXPECT(sh_pool_free(s, SH_POOL_WAITER, NULL, B, i, sh_word(1, SH_BUILDING, A, 0)));
  sh_pool_release_chunks(s, SH_POOL_WAITER, A);
  uint64_t asked = 0; /* memory that was claimed before needs no budget */
  for (uint32_t i = 0; i < n - 1U; i++) {
    EXPECT_EQ(sh_pool_alloc(s, SH_POOL_WAITER, &b, B, 0, never, &asked, &index, &word), SH_OK);
    EXPECT(index < n && index != kept);
  }
  EXPECT_EQ(sh_pool_alloc(s, SH_POOL_WAITER, &b, B, 0, never, &asked, &index, &word), SH_FULL);
  close_pools();
}

static void test_chunk_of_another_is_not_taken(void) {
  open_pools();
  uint32_t index;
  uint64_t word;
  EXPECT_EQ(take(&a, A, &index, &word), SH_OK);
  EXPECT(index < chunk_records());
  EXPECT_EQ(take(&b, B, &index, &word), SH_OK);
  EXPECT(index >= chunk_records() && index < 2U * chunk_records());
  EXPECT(sh_pool_is_of(s, sh_pool_of(s, SH_POOL_WAITER), 0, A) &&
         sh_pool_is_of(s, sh_pool_of(s, SH_POOL_WAITER), 1, B));
  close_pools();
}

static sh_status take_block(sh_magazine *m, uint32_t client, uint64_t tag, uint32_t *index) {
  uint64_t word;
  return sh_pool_alloc(s, SH_POOL_BLOCK, m, client, tag, NULL, NULL, index, &word);
}

static void test_only_a_chunk_that_is_wholly_free_is_returned(void) {
  open_pools();
  const sh_pool *p = sh_pool_of(s, SH_POOL_BLOCK);
  uint64_t mine = sh_tag(SH_TAG_ENTRY, (sh_ref){.index = 1, .generation = 1}),
           moving = sh_tag(SH_TAG_MOVING, (sh_ref){0});
  uint32_t first, second, other;
  EXPECT(!sh_pool_return_chunk(s, SH_POOL_BLOCK, 0, moving)); /* it was never used */
  EXPECT_EQ(sh_pool_used_chunks(s, SH_POOL_BLOCK), 0);
  EXPECT_EQ(take_block(&a, A, mine, &first), SH_OK);
  EXPECT_EQ(take_block(&a, A, mine, &second), SH_OK);
  EXPECT(sh_pool_free(s, SH_POOL_BLOCK, &a, A, first, mine));
  EXPECT(!sh_pool_return_chunk(s, SH_POOL_BLOCK, 0, moving));
  EXPECT_EQ(sh_load_relaxed(sh_pool_word(s, p, second)), mine);
  EXPECT_EQ(sh_load_relaxed(sh_pool_word(s, p, first)), 0);
  EXPECT(sh_pool_is_of(s, p, 0, A));

  EXPECT(sh_pool_free(s, SH_POOL_BLOCK, &a, A, second, mine));
  EXPECT(sh_pool_return_chunk(s, SH_POOL_BLOCK, 0, moving));
  EXPECT(!sh_pool_return_chunk(s, SH_POOL_BLOCK, 0, moving)); /* it is already */
  EXPECT_EQ(sh_pool_used_chunks(s, SH_POOL_BLOCK), 1);
  EXPECT_EQ(take_block(&b, B, mine, &other), SH_OK);
  EXPECT(other < p->chunk_records); /* it is the first that may be claimed */
  EXPECT(sh_pool_is_of(s, p, 0, B));
  EXPECT_EQ(take_block(&a, A, mine, &first), SH_OK);
  EXPECT(first >= p->chunk_records); /* A's magazine still names records of it */
  EXPECT(sh_pool_free(s, SH_POOL_BLOCK, NULL, A, first, mine) && sh_pool_free(s, SH_POOL_BLOCK, NULL, A, other, mine));
  close_pools();
}

static void test_every_client_may_have_rings(void) {
  open_pools();
  EXPECT(sh_pool_of(s, SH_POOL_RING)->n_chunks >= SH_MAX_CLIENTS);
  close_pools();
}

int main(void) {
  RUN(test_record_names_its_client_and_a_new_generation);
  RUN(test_no_record_is_given_twice);
  RUN(test_exhausted_pool_is_full_and_recovers);
  RUN(test_budget_is_asked_before_a_chunk_is_claimed);
  RUN(test_lost_hints_are_found_by_rehint);
  RUN(test_wrong_hints_cost_a_look_only);
  RUN(test_released_chunk_is_adopted_with_what_lives_in_it);
  RUN(test_chunk_of_another_is_not_taken);
  RUN(test_only_a_chunk_that_is_wholly_free_is_returned);
  RUN(test_every_client_may_have_rings);
  return 0;
}
