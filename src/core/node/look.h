/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking at records that a peer may have written over. Every number is read once, and checked before it is used: what a
 * view names lies inside the segment, whatever happens to the record meanwhile. The repair thread reads calls and values
 * through views only; a record that cannot be right is quarantined (sweep.c, heal.c).
 */
#ifndef SH_NODE_LOOK_H
#define SH_NODE_LOOK_H

#include "node/records.h"

typedef struct sh_call_view {
  uint32_t n_returns, n_rows;
  uint64_t single; /* the return, if there is one */
  sh_a64 *returns; /* the returns, if there are several */
  const sh_row *rows;
} sh_call_view;

/* A call that was published. False when its numbers cannot be right; the view is empty then. */
bool sh_look_at_call(const sh_segment *s, sh_slot *t, sh_call_view *view);

/* Its i-th return; the reference itself may be anything. */
static inline sh_ref sh_view_return(const sh_call_view *view, uint32_t i) {
  return sh_ref_unpack(view->n_returns == 1U ? view->single : sh_load_relaxed(&view->returns[i]));
}

/* What a row names, which may be anything. */
static inline sh_ref sh_look_at_row(const sh_row *row) {
  return (sh_ref){.index = sh_peek(&row->index), .generation = sh_peek(&row->generation)};
}

/* The rows of a value that names other objects. -> how many; 0 when its numbers cannot be right. */
uint32_t sh_look_at_rows(const sh_segment *s, sh_entry *e, const sh_row **rows);

#endif
