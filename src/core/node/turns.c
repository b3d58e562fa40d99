/* SPDX-License-Identifier: Apache-2.0
 *
 * Seats go round between the crews that have ready one-CPU work, tick by tick. Why: docs/design/004. */
#include "base/os.h"
#include "node/idle.h"
#include "node/known.h"
#include "node/repair.h"

typedef struct sh_turns { /* jobs and their crews that have ready one-CPU work */
  uint32_t roots[64], crews[64], n;
} sh_turns;

static void add_turn(sh_turns *turns, uint32_t root, uint32_t crew) {
  for (uint32_t i = 0; i < turns->n; i++)
    if (turns->crews[i] == crew)
      return;
  if (turns->n == 64U)
    return;
  turns->roots[turns->n] = root;
  turns->crews[turns->n++] = crew;
}

/* Job by job, and within a job crew by crew: many environments give a job no larger share. */
static uint32_t crew_in_turn(const sh_turns *turns, uint32_t at) {
  uint32_t firsts[64] = {0}, n_roots = 0, n_crews = 0;
  for (uint32_t i = 0; i < turns->n; i++) {
    bool known = false;
    for (uint32_t j = 0; j < n_roots && !known; j++)
      known = turns->roots[firsts[j]] == turns->roots[i];
    if (!known)
      firsts[n_roots++] = i;
  }
  uint32_t root = turns->roots[firsts[at % n_roots]];
  for (uint32_t i = 0; i < turns->n; i++)
    n_crews += turns->roots[i] == root;
  uint32_t nth = at / n_roots % n_crews;
  for (uint32_t i = 0;; i++)
    if (turns->roots[i] == root && nth-- == 0)
      return turns->crews[i];
}

/* Has the crew workers, and are all of them stopped? The first that is not ends the search. */
static bool is_stopped(const sh_repair *d, uint32_t crew) {
  bool found = false;
  for (uint32_t c = 1; c < d->clients_high; c++) {
    const sh_client *k = sh_known_client(d, c);
    if (!sh_known_live(d, c) || k->x_role != SH_ROLE_WORKER || k->x_crew != crew)
      continue;
    if (!sh_os_is_stopped(k->x_pid))
      return false;
    found = true;
  }
  return found;
}

void sh_turns_take(sh_repair *d) {
  sh_turns turns = {.n = 0};
  for (uint32_t w = 0, words = sh_class_words(&d->seg); w < words; w++)
    for (uint64_t bits = sh_load_relaxed(&d->seg.header->x_task_classes[w]); bits; bits &= bits - 1U) {
      uint32_t class_id = w * 64U + (uint32_t)__builtin_ctzll(bits);
      const sh_class *c = sh_known_class(d, class_id);
      if (sh_load32_relaxed(&c->kind) == SH_CLASS_SEAT && sh_work_of(d, class_id) != 0)
        add_turn(&turns, sh_load32_relaxed(&c->root), sh_load32_relaxed(&c->crew));
    }
  sh_a32 *turn = &sh_seats_of(&d->seg)->x_turn;
  uint32_t next = turns.n > 1U ? crew_in_turn(&turns, ++d->turn_at) : 0;
  for (uint32_t tries = 1; tries < turns.n && is_stopped(d, next); tries++)
    next = crew_in_turn(&turns, ++d->turn_at);
  if (next == sh_load32_relaxed(turn))
    return;
  sh_store32_seqcst(turn, next);
  for (uint32_t i = 0; next != 0 && i < d->seg.fixed.n_seats; i++)
    (void)sh_wake_worker_of(&d->seg, next, false);
  if (next == 0)
    sh_wake_worker(&d->seg);
}
