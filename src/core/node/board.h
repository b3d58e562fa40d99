/* SPDX-License-Identifier: Apache-2.0
 *
 * A board: words by which a few clients, its parties, tell each other how far they are. It lies in the bytes of an object that
 * each of them has pinned, so it goes when the last of them has let go of it.
 *
 * A party's line holds its name and words that it alone writes and that only grow. Who waits for others' words spins, then
 * parks in its own client record as for anything else; who writes a word wakes the parties that park. A party that is killed
 * leaves its words as they were, between any two of its stores; that it is gone its client record says (sh_board_is_gone).
 *
 * (J) What a party wrote beside the board, then its word; the acquire of a word, then what its party wrote. That a party is
 * gone is told after all of its words: who asks that first has seen the last of them.
 */
#ifndef SH_NODE_BOARD_H
#define SH_NODE_BOARD_H

#include "node/self.h"

typedef struct sh_line {
  sh_a64 x_who;     /* client, and its epoch from bit 32 on; 0: this party has not come yet */
  sh_a64 x_words[]; /* as many as sh_board says */
} sh_line;

typedef struct sh_board { /* one party's view; private */
  uint8_t *lines;
  uint32_t n_parties, n_words, me;
} sh_board;

#define SH_BOARD_MOST_PARTIES 1024U

/* Bytes of one line, and of a board, which begins as zeros. */
static inline uint64_t sh_board_line_bytes(uint32_t n_words) {
  return (8U * (1U + (uint64_t)n_words) + 127U) & ~127ULL;
}
static inline sh_line *sh_board_line(const sh_board *b, uint32_t party) {
  return (sh_line *)(void *)(b->lines + party * sh_board_line_bytes(b->n_words));
}

/* Take our place. Afterwards others can wait for us, and be told that we have died. With the lock. */
void sh_board_join(sh_self *self, const sh_board *b);

/* Set our own word, which must not shrink, and wake the parties that park. With the lock. */
void sh_board_tell(sh_self *self, const sh_board *b, uint32_t word, uint64_t value);

/* The first party of [first, last) whose `word` is still below `least`; `last` if there is none. Any thread. */
uint32_t sh_board_behind(const sh_board *b, uint32_t first, uint32_t last, uint32_t word, uint64_t least);

/* Look until nobody is behind, at most `limit_ns`. As sh_board_behind. Without the lock. */
uint32_t sh_board_spin(sh_self *self, const sh_board *b, uint32_t first, uint32_t last, uint32_t word, uint64_t least,
                       uint64_t limit_ns);

/* Park until something may have changed, at most `slice_ns`: SH_OK when nobody is behind, SH_AGAIN, SH_FENCED. Without the lock. */
sh_status sh_board_park(sh_self *self, const sh_board *b, uint32_t first, uint32_t last, uint32_t word, uint64_t least,
                        uint64_t slice_ns);

/* Is this party's process dead? False of one that has not come. Any thread. */
bool sh_board_is_gone(const sh_segment *s, const sh_board *b, uint32_t party);

#endif
