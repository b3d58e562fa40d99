/* SPDX-License-Identifier: Apache-2.0
 * Boards: words are seen with what was written before them, nobody sleeps through a word, deaths are noticed. */
#include "rig.h"

#include "base/os.h"
#include "node/board.h"

#include <pthread.h>

enum { WORDS = 3, PARTIES = 3, ROUNDS = 5000 };
static _Alignas(128) uint8_t lines[PARTIES * 128];
static uint64_t written[PARTIES]; /* beside the board: what the words stand for */

static sh_board board_of(uint32_t me) {
  return (sh_board){.lines = lines, .n_parties = PARTIES, .n_words = WORDS, .me = me};
}

/* Worker 0 of a node is party 0 of a fresh board. */
static void first_party(rig *r, uint32_t n_workers, sh_board *a) {
  rig_open(r, n_workers, 2);
  memset(lines, 0, sizeof lines);
  *a = board_of(0);
  sh_board_join(&r->worker[0], a);
}

/* Workers 0 and 1 of a node are parties 0 and 1 of a fresh board. */
static void two_parties(rig *r, sh_board *a, sh_board *b) {
  first_party(r, 2, a);
  *b = board_of(1);
  sh_board_join(&r->worker[1], b);
}

static void test_lines_do_not_share_a_pair_of_cache_lines(void) {
  EXPECT_EQ(sh_board_line_bytes(WORDS), 128);
  EXPECT_EQ(sh_board_line_bytes(15), 128);
  EXPECT_EQ(sh_board_line_bytes(16), 256);
}

static void test_behind_names_the_first_of_a_range(void) {
  rig r;
  sh_board a, b;
  two_parties(&r, &a, &b);
  EXPECT_EQ(sh_board_behind(&a, 0, PARTIES, 1, 0), PARTIES);
  sh_board_tell(&r.worker[0], &a, 1, 5);
  EXPECT_EQ(sh_board_behind(&b, 0, PARTIES, 1, 5), 1);
  sh_board_tell(&r.worker[1], &b, 1, 4);
  EXPECT_EQ(sh_board_behind(&b, 0, 2, 1, 4), 2);
  EXPECT_EQ(sh_board_behind(&b, 0, 2, 1, 5), 1);
  EXPECT_EQ(sh_board_behind(&b, 2, PARTIES, 1, 1), 2);
  EXPECT_EQ(sh_board_behind(&b, 0, 2, 2, 1), 0); /* another word */
  rig_close(&r);
}

static void test_a_park_ends_with_its_slice_or_with_the_word(void) {
  rig r;
  sh_board a, b;
  two_parties(&r, &a, &b);
  EXPECT_EQ(sh_board_park(&r.worker[0], &a, 1, 2, 0, 1, 1000000), SH_AGAIN);
  sh_board_tell(&r.worker[1], &b, 0, 1);
  EXPECT_EQ(sh_board_park(&r.worker[0], &a, 1, 2, 0, 1, UINT64_MAX), SH_OK);
  EXPECT_EQ(sh_board_spin(&r.worker[0], &a, 0, 2, 0, 1, 1000), 0);
  rig_close(&r);
}

static void test_who_is_fenced_does_not_wait(void) {
  rig r;
  sh_board a;
  first_party(&r, 1, &a);
  sh_repair_fence(&r.d, r.worker[0].index, r.worker[0].epoch);
  EXPECT_EQ(sh_board_park(&r.worker[0], &a, 1, 2, 0, 1, UINT64_MAX), SH_FENCED);
  rig_close(&r);
}

static void test_who_died_is_gone_and_who_has_not_come_is_not(void) {
  rig r;
  rig_open(&r, 1, 2);
  memset(lines, 0, sizeof lines);
  sh_self other;
  rig_attach(&r, &other, SH_ROLE_DRIVER, -1, 8);
  sh_board a = board_of(0), b = board_of(1);
  sh_board_join(&r.worker[0], &a);
  sh_board_join(&other, &b);
  EXPECT(!sh_board_is_gone(&r.worker[0].seg, &a, 1));
  EXPECT(!sh_board_is_gone(&r.worker[0].seg, &a, 2));
  rig_detach(&r, &other);
  EXPECT(sh_board_is_gone(&r.worker[0].seg, &a, 1));
  rig_attach(&r, &other, SH_ROLE_DRIVER, -1, 9); /* takes the record over, perhaps: it is not the party */
  EXPECT(sh_board_is_gone(&r.worker[0].seg, &a, 1));
  rig_detach(&r, &other);
  rig_close(&r);
}

/* A name that nobody can have is nobody's: no record is looked for. */
static void test_damaged_names_are_survived(void) {
  rig r;
  sh_board a;
  first_party(&r, 1, &a);
  static const uint64_t damaged[] = {SH_MAX_CLIENTS, UINT32_MAX, UINT64_MAX, 5ULL << 32};
  for (uint32_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
    sh_store_relaxed(&sh_board_line(&a, 1)->x_who, damaged[i]);
    sh_board_tell(&r.worker[0], &a, 0, i + 1U);
    EXPECT(!sh_board_is_gone(&r.worker[0].seg, &a, 1));
  }
  rig_close(&r);
}

static void test_a_spinner_stops_with_the_word(void) {
  rig r;
  rig_open(&r, 2, 2);
  memset(lines, 0, sizeof lines);
  sh_board a = board_of(0), b = board_of(1);
  sh_board_join(&r.worker[0], &a);
  sh_board_join(&r.worker[1], &b);
  sh_board_tell(&r.worker[1], &b, 0, 1);
  EXPECT_EQ(sh_board_spin(&r.worker[0], &a, 1, 2, 0, 1, UINT64_MAX), 2);
  EXPECT_EQ(r.worker[0].no_spin_before_ns, 0); /* it did not go on until it was interrupted */
  rig_close(&r);
}

static rig shared;

static void *go_round(void *context) {
  uint32_t me = (uint32_t)(uintptr_t)context;
  sh_self *self = me == 0 ? &shared.driver : &shared.worker[me - 1];
  sh_board b = board_of(me);
  sh_board_join(self, &b);
  for (uint64_t round = 1; round <= ROUNDS; round++) {
    written[me] = round * 10 + me;
    sh_board_tell(self, &b, 0, round);
    while (sh_board_park(self, &b, 0, PARTIES, 0, round, 10000000000U) != SH_OK)
      ;
    for (uint32_t p = 0; p < PARTIES; p++)
      EXPECT_EQ(written[p], round * 10 + p);
    sh_board_tell(self, &b, 1, round);
    while (sh_board_park(self, &b, 0, PARTIES, 1, round, 10000000000U) != SH_OK)
      ;
  }
  return NULL;
}

static void test_no_party_sleeps_through_a_word(void) {
  rig_open(&shared, 2, 2);
  memset(lines, 0, sizeof lines);
  pthread_t threads[PARTIES];
  uint64_t begun = sh_os_now_ns();
  for (uint32_t i = 0; i < PARTIES; i++)
    EXPECT(pthread_create(&threads[i], NULL, go_round, (void *)(uintptr_t)i) == 0);
  for (uint32_t i = 0; i < PARTIES; i++)
    EXPECT(pthread_join(threads[i], NULL) == 0);
  EXPECT(sh_os_now_ns() - begun < 100ULL * 1000000000U); /* one lost wake would cost ten seconds */
  rig_close(&shared);
}

int main(void) {
  RUN(test_lines_do_not_share_a_pair_of_cache_lines);
  RUN(test_behind_names_the_first_of_a_range);
  RUN(test_a_park_ends_with_its_slice_or_with_the_word);
  RUN(test_who_is_fenced_does_not_wait);
  RUN(test_who_died_is_gone_and_who_has_not_come_is_not);
  RUN(test_damaged_names_are_survived);
  RUN(test_a_spinner_stops_with_the_word);
  RUN(test_no_party_sleeps_through_a_word);
  return 0;
}
