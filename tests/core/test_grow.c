/* SPDX-License-Identifier: Apache-2.0
 * Arrays that grow as they fill. */
#include "base/grow.h"
#include "rig.h"

static void test_items_stay_as_it_grows(void) {
  uint64_t *items = NULL;
  uint32_t n = 0, cap = 0;
  for (uint64_t i = 0; i < 1000; i++) {
    EXPECT(SH_HAS_ROOM(items, n, cap, 3U));
    items[n++] = i * i;
  }
  EXPECT_EQ(cap, 3U * 512U);
  for (uint64_t i = 0; i < 1000; i++)
    EXPECT_EQ(items[i], i * i);
  free(items);
}

static void test_nothing_changes_when_it_cannot_grow(void) {
  uint64_t one = 7, *items = &one;
  uint32_t cap = UINT32_MAX / 2U + 1U; /* twice as many cannot be counted */
  EXPECT(!SH_HAS_ROOM(items, cap, cap, 1U));
  EXPECT(items == &one);
  EXPECT_EQ(cap, UINT32_MAX / 2U + 1U);
}

int main(void) {
  RUN(test_items_stay_as_it_grows);
  RUN(test_nothing_changes_when_it_cannot_grow);
  return 0;
}
