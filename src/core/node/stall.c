/* SPDX-License-Identifier: Apache-2.0 */
#include "node/stall.h"

#include <stdlib.h>
#include <string.h>

static bool reserve(sh_stall *q, uint32_t front) {
  if (q->first >= front && q->first + q->n < q->cap)
    return true;
  uint32_t cap = (q->n + 8U) * 2U, first = 4U;
  uint64_t *grown = malloc(cap * sizeof *grown);
  if (!grown)
    return false;
  if (q->n)
    memcpy(grown + first, q->hints + q->first, q->n * sizeof *grown);
  free(q->hints);
  q->hints = grown;
  q->first = first;
  q->cap = cap;
  return true;
}

bool sh_stall_push(sh_stall *q, uint64_t hint) {
  if (!reserve(q, 0))
    return false;
  q->hints[q->first + q->n++] = hint;
  return true;
}

bool sh_stall_push_front(sh_stall *q, uint64_t hint) {
  if (!reserve(q, 1))
    return false;
  q->hints[--q->first] = hint;
  q->n++;
  return true;
}

void sh_stall_pop(sh_stall *q) {
  q->first++;
  q->n--;
}

void sh_stall_destroy(sh_stall *q) {
  free(q->hints);
  memset(q, 0, sizeof *q);
}
