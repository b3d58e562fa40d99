/* SPDX-License-Identifier: Apache-2.0
 * An entry's life: CLOSED and DROPPED meet in either order, and the second one frees. */
#include "rig.h"

static rig r;

static sh_ref promise(uint64_t *word) {
  uint32_t index;
  EXPECT_EQ(sh_self_alloc(&r.driver, SH_POOL_ENTRY, &index, word), SH_OK);
  sh_ref ref = {.index = index, .generation = sh_word_generation(*word)};
  EXPECT(sh_entry_checked(&r.d.seg, ref) == NULL); /* unpublished means absent */
  sh_entry_birth birth = {.number = 3};
  sh_entry_open(sh_entry_at(&r.d.seg, index), *word, &birth);
  EXPECT(sh_entry_checked(&r.d.seg, ref) != NULL);
  return ref;
}

static bool release(sh_ref ref) {
  return sh_entry_release(&r.d.seg, &r.driver.heap, &r.driver.mags[SH_POOL_ENTRY], r.driver.index, ref);
}

static void test_closed_then_dropped(void) {
  uint64_t word;
  rig_open(&r, 0, 1);
  sh_ref ref = promise(&word);
  sh_entry *e = sh_entry_at(&r.d.seg, ref.index);
  EXPECT(!sh_entry_is_closed(e, ref.generation));
  EXPECT(!(sh_entry_close(e, ref.generation) & SH_HEAD_DROPPED));
  EXPECT(sh_entry_is_closed(e, ref.generation));
  EXPECT(!sh_entry_is_closed(e, ref.generation + 1U)); /* another object is not */
  EXPECT(sh_entry_drop(e, ref.generation));            /* the second one frees */
  EXPECT(release(ref));
  EXPECT(!release(ref));
  EXPECT(sh_entry_checked(&r.d.seg, ref) == NULL);
  rig_close(&r);
}

static void test_dropped_then_closed(void) {
  uint64_t word;
  rig_open(&r, 0, 1);
  sh_ref ref = promise(&word);
  sh_entry *e = sh_entry_at(&r.d.seg, ref.index);
  EXPECT(!sh_entry_drop(e, ref.generation));
  EXPECT(!sh_entry_drop(e, ref.generation)); /* idempotent */
  EXPECT(sh_entry_close(e, ref.generation) & SH_HEAD_DROPPED);
  EXPECT(sh_entry_close(e, ref.generation) & SH_HEAD_DROPPED);
  EXPECT(release(ref));
  rig_close(&r);
}

static void test_old_generation_is_nobody(void) {
  uint64_t word;
  rig_open(&r, 0, 1);
  sh_ref old = promise(&word);
  EXPECT(release(old));
  sh_ref now = promise(&word);
  EXPECT_EQ(now.index, old.index);
  sh_entry *e = sh_entry_at(&r.d.seg, now.index);
  EXPECT_EQ(sh_entry_close(e, old.generation), 0);
  EXPECT(!sh_entry_drop(e, old.generation));
  EXPECT(!release(old));
  EXPECT(!sh_entry_is_closed(e, now.generation));
  sh_ref outside = {.index = 0xFFFFFFF, .generation = 1};
  EXPECT(sh_entry_checked(&r.d.seg, outside) == NULL);
  EXPECT(release(now));
  rig_close(&r);
}

static void test_put_is_born_closed_and_its_payload_goes_with_it(void) {
  static const uint64_t sizes[] = {8, 64, 65, 32768, 32769, 3U << 20};
  rig_open(&r, 0, 1);
  for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    sh_ref ref = rig_put(&r.driver, 77 + i, sizes[i]);
    EXPECT(rig_is_closed(&r.driver, ref));
    EXPECT_EQ(rig_value(&r.driver, ref), 77 + i);
    sh_ref_drop(&r.driver, ref);
    rig_expect_empty(&r);
  }
  rig_close(&r);
}

static void test_aborted_put_leaves_nothing(void) {
  rig_open(&r, 0, 1);
  sh_put put;
  for (uint64_t bytes = 8; bytes < 4U << 20; bytes *= 8) {
    EXPECT_EQ(sh_put_begin(&r.driver, bytes, &put), SH_OK);
    sh_put_abort(&r.driver, &put);
  }
  EXPECT_EQ(sh_put_begin(&r.driver, 1ULL << 40, &put), SH_FULL);
  EXPECT_EQ(sh_put_begin(&r.driver, UINT64_MAX, &put), SH_FULL);
  rig_expect_empty(&r);
  rig_close(&r);
}

static void test_full_store_is_an_error_and_recovers(void) {
  enum { N = 4000 };
  static sh_ref refs[N];
  rig_open(&r, 0, 1);
  for (uint32_t round = 0; round < 3; round++) {
    uint32_t n = 0;
    sh_put put;
    while (n < N && sh_put_begin(&r.driver, 1U << 20, &put) == SH_OK) {
      sh_put_commit(&r.driver, &put, 0);
      refs[n++] = put.ref;
    }
    EXPECT(n >= 100 && n < N);
    while (n)
      sh_ref_drop(&r.driver, refs[--n]);
    rig_expect_empty(&r);
  }
  rig_close(&r);
}

int main(void) {
  RUN(test_closed_then_dropped);
  RUN(test_dropped_then_closed);
  RUN(test_old_generation_is_nobody);
  RUN(test_put_is_born_closed_and_its_payload_goes_with_it);
  RUN(test_aborted_put_leaves_nothing);
  RUN(test_full_store_is_an_error_and_recovers);
  return 0;
}
