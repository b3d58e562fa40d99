/* SPDX-License-Identifier: Apache-2.0 */
#include "node/board.h"

#include "base/os.h"
#include "node/idle.h"

static void wake_the_others(sh_self *self, const sh_board *b) {
  for (uint32_t p = 0; p < b->n_parties; p++) {
    uint32_t client = (uint32_t)sh_load_relaxed(&sh_board_line(b, p)->x_who);
    if (p != b->me && client != 0 && client < SH_MAX_CLIENTS)
      sh_wake_client(&self->seg, client); /* its fence is our half of (D): the word, then x_parked */
  }
}

void sh_board_join(sh_self *self, const sh_board *b) {
  /* (D) our name, then, after the fence of sh_park_announce, the words. (J) The record that it names has this epoch. */
  sh_store_release(&sh_board_line(b, b->me)->x_who, (uint64_t)self->index | (uint64_t)self->epoch << 32);
}

void sh_board_tell(sh_self *self, const sh_board *b, uint32_t word, uint64_t value) {
  sh_store_release(&sh_board_line(b, b->me)->x_words[word], value); /* (J) what it stands for is written */
  sh_fence();                                                       /* (D) the word, then the names and x_parked */
  wake_the_others(self, b);
}

uint32_t sh_board_behind(const sh_board *b, uint32_t first, uint32_t last, uint32_t word, uint64_t least) {
  while (first < last && sh_load_acquire(&sh_board_line(b, first)->x_words[word]) >= least) /* (J) */
    first++;
  return first;
}

uint32_t sh_board_spin(sh_self *self, const sh_board *b, uint32_t first, uint32_t last, uint32_t word, uint64_t least,
                       uint64_t limit_ns) {
  uint64_t start = sh_os_now_ns(), before = start;
  for (;;) {
    for (uint32_t i = 0; i < 32U; i++) {
      first = sh_board_behind(b, first, last, word, least); /* words only grow: who is there stays there */
      if (first == last)
        return last;
      sh_pause();
    }
    uint64_t now = sh_os_now_ns();
    if (now - before > SH_SPIN_GAP_NS) {
      self->no_spin_before_ns = now + SH_SPIN_BACKOFF_NS;
      return first;
    }
    if (now - start > limit_ns)
      return first;
    before = now;
  }
}

sh_status sh_board_park(sh_self *self, const sh_board *b, uint32_t first, uint32_t last, uint32_t word, uint64_t least,
                        uint64_t slice_ns) {
  uint32_t seq = sh_park_prepare(&self->me->park);
  sh_park_announce(&self->me->park, seq); /* (D) x_parked, then the look at the words */
  if (sh_board_behind(b, first, last, word, least) == last) {
    sh_park_cancel(&self->me->park);
    return SH_OK;
  }
  sh_status status = sh_park_any(self, seq, SH_NO_DEADLINE, slice_ns);
  if (status == SH_FENCED)
    return SH_FENCED;
  return sh_board_behind(b, first, last, word, least) == last ? SH_OK : SH_AGAIN;
}

bool sh_board_is_gone(const sh_segment *s, const sh_board *b, uint32_t party) {
  uint64_t who = sh_load_acquire(&sh_board_line(b, party)->x_who); /* (J) */
  uint32_t client = (uint32_t)who, epoch = (uint32_t)(who >> 32);
  if (client == 0 || client >= SH_MAX_CLIENTS)
    return false;
  const sh_client *c = sh_client_at(s, client);
  return sh_load32_acquire(&c->x_state) != SH_CLIENT_LIVE || sh_load32_acquire(&c->x_epoch) != epoch;
}
