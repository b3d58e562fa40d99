/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays of one process that grow as they fill: a pointer, how many items there are, and room for how many. */
#ifndef SH_BASE_GROW_H
#define SH_BASE_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Twice as much room, `first` items at first. -> NULL: there is no memory, and nothing has changed. */
static inline void *sh_grown(void *items, uint32_t *cap, size_t item_bytes, uint32_t first) {
  uint32_t more = *cap ? *cap * 2U : first;
  void *grown = more > *cap ? realloc(items, more * item_bytes) : NULL;
  if (grown)
    *cap = more;
  return grown;
}

/* Is there room for one more item behind the `n` that are there, or can it be made? */
#define SH_HAS_ROOM(items, n, cap, first)                                \
  ((n) < (cap) || __extension__({                                        \
     void *grown_ = sh_grown((items), &(cap), sizeof *(items), (first)); \
     (items) = grown_ ? grown_ : (items);                                \
     grown_ != NULL;                                                     \
   }))

#endif
