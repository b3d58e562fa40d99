/* SPDX-License-Identifier: Apache-2.0 */
#include "queue/ring.h"

#include <stddef.h>

static sh_a64 *directory_of(sh_ring *r, uint64_t number) {
  return &r->directory[number % SH_RING_DIRECTORY];
}

/* Memory for segment `number`: the oldest one that takers have left behind, else new. */
static sh_status extend(sh_ring *r, const sh_ring_memory *m, uint64_t number) {
  uint64_t first = sh_load_relaxed(&r->x_first_segment);
  if (number < first || number - first > SH_RING_DIRECTORY)
    return SH_INVALID; /* damaged */
  uint64_t passed = sh_load_acquire(&r->x_head) / SH_RING_SEGMENT;
  uint32_t id = 0;
  while (first < number && first < passed && id == 0) {
    id = (uint32_t)(sh_load_relaxed(directory_of(r, first)) >> 32);
    /* Cleared before it is named again: a kill in between loses one segment's memory to this ring, never names it twice. */
    sh_store_relaxed(directory_of(r, first), 0);
    sh_store_relaxed(&r->x_first_segment, ++first);
  }
  if (number - first >= SH_RING_DIRECTORY)
    return SH_FULL;
  if (id != 0) {
    id--;
  } else {
    sh_status status = m->grow(m->context, r, &id);
    if (status != SH_OK)
      return status;
  }
  sh_store_release(directory_of(r, number), (number & 0xFFFFFFFFU) | ((uint64_t)(id + 1U) << 32));
  return SH_OK;
}

static sh_a64 *cell_of(sh_ring *r, const sh_ring_memory *m, uint64_t at) {
  uint64_t number = at / SH_RING_SEGMENT;
  uint64_t named = sh_load_acquire(directory_of(r, number));
  if (named == 0 || (uint32_t)named != (uint32_t)number)
    return NULL;
  sh_a64 *cells = m->cells(m->context, (uint32_t)(named >> 32) - 1U);
  return cells ? &cells[at % SH_RING_SEGMENT] : NULL;
}

sh_status sh_ring_reserve(sh_ring *r, const sh_ring_memory *m) {
  uint64_t tail = sh_load_relaxed(&r->x_tail);
  if (cell_of(r, m, tail))
    return SH_OK;
  sh_status status = extend(r, m, tail / SH_RING_SEGMENT);
  if (status != SH_OK)
    return status;
  return cell_of(r, m, tail) ? SH_OK : SH_INVALID;
}

sh_status sh_ring_push(sh_ring *r, const sh_ring_memory *m, uint64_t hint, bool *was_empty) {
  uint64_t tail = sh_load_relaxed(&r->x_tail);
  sh_a64 *cell = cell_of(r, m, tail);
  if (!cell) {
    sh_status status = sh_ring_reserve(r, m);
    if (status != SH_OK)
      return status;
    cell = cell_of(r, m, tail);
    if (!cell)
      return SH_INVALID;
  }
  sh_store_relaxed(cell, hint);
  *was_empty = sh_load_relaxed(&r->x_head) >= tail;
  sh_store_release(&r->x_tail, tail + 1U); /* (Q) publishes the cell; pairs with the acquire of x_tail in sh_ring_pop */
  return SH_OK;
}

/* A hint that another taker won must not stay named: it would look like a step of ours that does not move. */
static sh_status nothing(sh_a64 *op) {
  if (sh_load_relaxed(op) != 0)
    sh_store_release(op, 0);
  return SH_EMPTY;
}

sh_status sh_ring_pop(sh_ring *r, const sh_ring_memory *m, sh_a64 *op, uint64_t *hint) {
  for (;;) {
    uint64_t head = sh_load_acquire(&r->x_head);
    uint64_t tail = sh_load_acquire(&r->x_tail); /* (Q) */
    if (head >= tail)
      return nothing(op);
    sh_a64 *cell = cell_of(r, m, head);
    if (!cell) {
      if (sh_load_acquire(&r->x_head) == head)
        return nothing(op); /* damaged directory: nothing can be taken from here */
      continue;
    }
    uint64_t taken = sh_load_relaxed(cell);
    /* (P) the intent comes before the CAS in everyone's eyes: the CAS is seq_cst and releases it. */
    sh_store_relaxed(op, taken);
    if (sh_cas(&r->x_head, &head, head + 1U)) {
      *hint = taken;
      return SH_OK;
    }
  }
}

bool sh_ring_peek(sh_ring *r, const sh_ring_memory *m, uint64_t ahead, uint64_t *hint) {
  uint64_t at = sh_load_acquire(&r->x_head) + ahead;
  if (at >= sh_load_acquire(&r->x_tail)) /* (Q) */
    return false;
  const sh_a64 *cell = cell_of(r, m, at);
  if (!cell)
    return false;
  *hint = sh_load_relaxed(cell);
  return true;
}
