/* SPDX-License-Identifier: Apache-2.0
 * Memory ahead of need: how far it goes, that it stops at the end, and that it leaves data alone. */
#include "rig.h"

#include "base/os.h"

static void wait_until_done(sh_warm *w) {
  for (bool done = false; !done;) {
    pthread_mutex_lock(&w->lock);
    done = w->have[0] >= w->want[0] && w->have[1] >= w->want[1] && w->have[2] >= w->want[2];
    pthread_mutex_unlock(&w->lock);
    sh_pause();
  }
}

static void test_nothing_is_prepared_before_anything_is_claimed(void) {
  rig r;
  sh_warm w;
  rig_open(&r, 0, 1);
  EXPECT_EQ(sh_warm_start(&w, &r.d.seg), SH_OK);
  sh_warm_look(&w);
  EXPECT_EQ(w.want[0], 0);
  sh_warm_stop(&w);
  rig_close(&r);
}

static void test_one_arena_ahead_and_data_untouched(void) {
  rig r;
  sh_warm w;
  sh_put put;
  rig_open(&r, 0, 1);
  EXPECT_EQ(sh_warm_start(&w, &r.d.seg), SH_OK);
  EXPECT_EQ(sh_put_begin(&r.driver, 1U << 20, &put), SH_OK);
  memset(put.data, 0x5A, 1U << 20);
  sh_warm_look(&w);
  EXPECT_EQ(w.want[0], 2 * SH_ARENA_BYTES);
  wait_until_done(&w);
  EXPECT_EQ(w.have[0], 2 * SH_ARENA_BYTES);
  for (uint32_t i = 0; i < 1U << 20; i++)
    EXPECT(put.data[i] == 0x5A);
  sh_warm_look(&w); /* no further */
  EXPECT_EQ(w.want[0], 2 * SH_ARENA_BYTES);
  sh_warm_stop(&w);
  sh_put_abort(&r.driver, &put);
  rig_close(&r);
}

int main(void) {
  RUN(test_nothing_is_prepared_before_anything_is_claimed);
  RUN(test_one_arena_ahead_and_data_untouched);
  return 0;
}
