/* SPDX-License-Identifier: Apache-2.0
 * Spilling between two steps: what an owner, another client or a death does just before the daemon's next store. Needs
 * SH_HOOKS. */
#include "disk.h"

#if !defined(SH_HOOKS) || !SH_HOOKS
int main(void) {
  puts("built without hooks: nothing to test");
  return 0;
}
#else

static rig r;

static bool armed;
static const volatile void *watched_from, *watched_to;
static void (*then)(void);

static void at_store(const volatile void *word) {
  if (!armed || word < watched_from || word >= watched_to)
    return;
  armed = false;
  then();
}

static void arm(const volatile void *from, uint64_t bytes, void (*fn)(void)) {
  watched_from = from;
  watched_to = (const volatile uint8_t *)from + bytes;
  then = fn;
  armed = true;
  sh_hook_fn = at_store;
}

static sh_ref victim, successor;

/* The owner lets go of the object in the moment before the daemon changes its loc; its record and its bytes are used again. */
static void drop_and_use_again(void) {
  sh_ref_drop(&r.driver, victim);
  successor = rig_put(&r.driver, 42, RUN_BYTES);
}

static void test_owner_frees_while_the_daemon_takes(void) {
  disk_open(&r, 1, 64 * MIB);
  victim = rig_put(&r.driver, 7, RUN_BYTES);
  EXPECT(disk_write(&r, victim));
  arm(&sh_entry_at(&r.d.seg, victim.index)->loc, 8, drop_and_use_again);
  (void)sh_spill_evict(&r.d, victim);
  sh_hook_fn = NULL;
  EXPECT(!armed);
  EXPECT_EQ(successor.index, victim.index);
  EXPECT_EQ(disk_look(&r.driver, successor), 42);
  sh_ref_drop(&r.driver, successor);
  disk_expect_empty(&r);
  disk_close(&r);
}

static void just_drop(void) {
  sh_ref_drop(&r.driver, victim);
}

/* Pinned, so the daemon puts everything back; the owner has freed it in between and found a tag that was not the object's. */
static void test_owner_frees_while_the_daemon_puts_back(void) {
  disk_open(&r, 1, 64 * MIB);
  victim = rig_put(&r.driver, 7, RUN_BYTES);
  EXPECT(disk_write(&r, victim));
  sh_a64 *pins = sh_pins_word(&r.d.seg, r.worker[0].index, victim.index);
  sh_store_relaxed(pins, 1ULL << (victim.index % 64U)); /* somebody's who does not hold it: the worst case */
  arm(&sh_entry_at(&r.d.seg, victim.index)->loc, 8, just_drop);
  EXPECT_EQ(sh_spill_evict(&r.d, victim), SH_AGAIN);
  sh_hook_fn = NULL;
  sh_store_relaxed(pins, 0);
  disk_expect_empty(&r);
  disk_close(&r);
}

static uint64_t victim_word;

static void free_the_record_and_use_it_again(void) {
  EXPECT(
      sh_pool_free(&r.d.seg, SH_POOL_ENTRY, &r.driver.mags[SH_POOL_ENTRY], r.driver.index, victim.index, victim_word));
  successor = rig_put(&r.driver, 42, RUN_BYTES);
}

/* An owner that looked before the bytes went frees the record itself, though they are away; they must not come back into it. */
static void test_nothing_comes_back_into_a_dropped_object(void) {
  disk_open(&r, 1, 64 * MIB);
  victim = rig_put(&r.driver, 7, RUN_BYTES);
  sh_entry *e = sh_entry_at(&r.d.seg, victim.index);
  disk_spill(&r, victim);
  sh_restore restore, late;
  EXPECT_EQ(sh_restore_begin(&r.d, victim, &restore), SH_OK);
  disk_read(&restore);
  EXPECT(sh_entry_drop(e, victim.generation));
  victim_word = sh_load_acquire(&e->word);
  EXPECT_EQ(sh_restore_begin(&r.d, victim, &late), SH_LOST);
  arm(&e->loc, 8, free_the_record_and_use_it_again);
  EXPECT_EQ(sh_restore_commit(&r.d, &restore), SH_LOST);
  sh_hook_fn = NULL;
  if (armed) /* the commit did not touch it: so the owner goes on now */
    free_the_record_and_use_it_again();
  armed = false;
  EXPECT_EQ(successor.index, victim.index);
  EXPECT_EQ(disk_look(&r.driver, successor), 42);
  sh_ref_drop(&r.driver, successor);
  disk_expect_empty(&r);
  disk_close(&r);
}

static sh_ref others;

static void return_the_chunk(void) {
  EXPECT(sh_spill_trim(&r.d, 1000, 1) > 0);
  others = rig_put(&r.worker[0], 5, 1000); /* claims it */
}

/* A client finds a free block of its own; before it takes it the chunk is returned, and claimed by another, who dies. */
static void test_block_is_not_taken_from_a_returned_chunk(void) {
  disk_open(&r, 2, 64 * MIB);
  const sh_pool *p = sh_pool_of(&r.d.seg, SH_POOL_BLOCK + 3U);
  sh_put first, second;
  EXPECT_EQ(sh_put_begin(&r.driver, 1000, &first), SH_OK);
  EXPECT_EQ(sh_put_begin(&r.driver, 1000, &second), SH_OK);
  sh_put_abort(&r.driver, &first);
  sh_put_abort(&r.driver, &second);
  arm(sh_pool_word(&r.d.seg, p, 0), 8ULL * sh_pool_capacity(p), return_the_chunk);
  sh_ref mine = rig_put(&r.driver, 7, 1000);
  sh_hook_fn = NULL;
  EXPECT(!armed);
  rig_detach(&r, &r.worker[0]);
  EXPECT_EQ(disk_look(&r.driver, mine), 7);
  for (uint32_t i = 0; i < 100; i++) { /* nothing may share its bytes */
    sh_ref more = rig_put(&r.worker[1], 9, 1000);
    EXPECT_EQ(disk_look(&r.driver, mine), 7);
    sh_ref_drop(&r.worker[1], more);
  }
  sh_ref_drop(&r.driver, mine);
  disk_expect_empty(&r);
  disk_close(&r);
}

int main(void) {
  RUN(test_owner_frees_while_the_daemon_takes);
  RUN(test_owner_frees_while_the_daemon_puts_back);
  RUN(test_nothing_comes_back_into_a_dropped_object);
  RUN(test_block_is_not_taken_from_a_returned_chunk);
  return 0;
}

#endif
