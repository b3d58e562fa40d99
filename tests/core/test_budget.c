/* SPDX-License-Identifier: Apache-2.0
 * What clients pay for chunks of records and blocks: what they have claimed, and no more. Part of it needs SH_HOOKS. */
#include "disk.h"

static rig r;

/* Rings lie in blocks, and stay. However many clients use them, and however often what is free is given back, the store has as
 * much room afterwards as before. */
static void test_rings_that_come_and_go_leave_the_store_its_room(void) {
  enum { TURNS = 120, CALLS = 200 }; /* each ring has got its second segment of cells half way */
  sh_ref calls[CALLS], values[CALLS];
  sh_self other;
  disk_open(&r, 1, 64 * MIB);
  uint32_t other_class = rig_define(&r, 0, 0);
  uint64_t settled = 0;
  for (uint32_t turn = 0; turn < TURNS; turn++) {
    rig_attach(&r, &other, SH_ROLE_DRIVER, -1, RIG_ROOT);
    for (uint32_t i = 0; i < CALLS; i++) {
      values[i] = rig_put(&other, i, i % 2U ? 1000 : 30000);
      rig_call call = {.class_id = i % 2U ? r.class_id : other_class, .n_returns = 1, .addend = i};
      rig_submit(&other, &call, &calls[i]);
    }
    rig_work_all(&r);
    for (uint32_t i = 0; i < CALLS; i++) {
      sh_ref_drop(&other, values[i]);
      sh_ref_drop(&other, calls[i]);
    }
    disk_expect_paid(&r);
    if (turn % 3U == 0)
      EXPECT(sh_spill_trim(&r.d, 1000, 64 * MIB) > 0);
    rig_detach(&r, &other);
    rig_rounds(&r, 2);
    (void)sh_spill_trim(&r.d, 1000, 64 * MIB);
    disk_expect_paid(&r);
    if (turn == TURNS / 2)
      settled = sh_store_claimed(&r.d.seg);
    if (turn > TURNS / 2)
      EXPECT_EQ(sh_store_claimed(&r.d.seg), settled);
  }
  disk_expect_empty(&r);
  disk_close(&r);
}

#if defined(SH_HOOKS) && SH_HOOKS
static const volatile void *watched;
static sh_ref others;

static void at_store(const volatile void *word) {
  if (word != watched)
    return;
  watched = NULL;
  others = rig_put(&r.worker[0], 5, 1000);
}

/* Who looks at a chunk that another claims in this moment pays for the one that it gets, and for no other. */
static void test_chunk_that_another_claimed_is_not_paid_for(void) {
  disk_open(&r, 1, 64 * MIB);
  const sh_pool *p = sh_pool_of(&r.d.seg, SH_POOL_BLOCK + 3U);
  for (uint32_t turn = 0; turn < 100; turn++) {
    watched = sh_pool_owner(&r.d.seg, p, 0);
    sh_hook_fn = at_store;
    sh_ref mine = rig_put(&r.driver, 7, 1000);
    sh_hook_fn = NULL;
    EXPECT(!watched);
    disk_expect_paid(&r);
    sh_ref_drop(&r.driver, mine);
    sh_ref_drop(&r.worker[0], others);
    EXPECT(sh_spill_trim(&r.d, 1000, 64 * MIB) > 0);
    disk_expect_paid(&r);
  }
  disk_expect_empty(&r);
  disk_close(&r);
}
#endif

int main(void) {
  RUN(test_rings_that_come_and_go_leave_the_store_its_room);
#if defined(SH_HOOKS) && SH_HOOKS
  RUN(test_chunk_that_another_claimed_is_not_paid_for);
#endif
  return 0;
}
