/* SPDX-License-Identifier: Apache-2.0 */
#include "node/lineup.h"

#include <stdlib.h>

void sh_lineup_begin(sh_lineup *l) {
  l->n = 0;
  l->is_ranked = false;
  l->round++;
}

void sh_lineup_join(sh_lineup *l, uint32_t class_id, const sh_class *c) {
  if (l->joined[class_id] == l->round)
    return;
  if (l->numbers[class_id] == 0 || l->joined[class_id] != l->round - 1U)
    l->numbers[class_id] = ++l->drawn;
  l->joined[class_id] = l->round;
  uint64_t number = l->numbers[class_id];
  l->waiting[l->n++] = (sh_waiting){.number = number,
                                    .turn = number,
                                    .class_id = class_id,
                                    .root = sh_load32_relaxed(&c->root),
                                    .priority = sh_load32_relaxed(&c->priority)};
  l->is_ranked |= l->waiting[0].priority != l->waiting[l->n - 1U].priority;
}

void sh_lineup_leave(sh_lineup *l, uint32_t class_id) {
  l->numbers[class_id] = 0;
}

static int compare(uint64_t a, uint64_t b) {
  return (a > b) - (a < b);
}

/* Job by job, the least urgent first. */
static int by_rank(const void *left, const void *right) {
  const sh_waiting *a = left, *b = right;
  int order = compare(a->root, b->root);
  return order ? order : compare(a->priority, b->priority);
}

/* Only classes of one job have the same turn. */
static int by_turn(const void *left, const void *right) {
  const sh_waiting *a = left, *b = right;
  int order = compare(a->turn, b->turn);
  if (order == 0)
    order = compare(b->priority, a->priority);
  return order ? order : compare(a->number, b->number);
}

/* Give each the lowest number among its own and those that it outranks. */
static void rank(sh_lineup *l) {
  qsort(l->waiting, l->n, sizeof *l->waiting, by_rank);
  uint64_t outranked = 0, oldest = 0; /* the lowest number of the job: among the less urgent; among all so far */
  for (uint32_t i = 0; i < l->n; i++) {
    sh_waiting *w = &l->waiting[i];
    if (i == 0 || w[-1].root != w->root)
      outranked = oldest = UINT64_MAX;
    else if (w[-1].priority != w->priority)
      outranked = oldest;
    if (w->number < oldest)
      oldest = w->number;
    if (outranked < w->turn)
      w->turn = outranked;
  }
}

void sh_lineup_order(sh_lineup *l) {
  if (l->is_ranked)
    rank(l);
  qsort(l->waiting, l->n, sizeof *l->waiting, by_turn);
}
