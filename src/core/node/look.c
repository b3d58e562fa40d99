/* SPDX-License-Identifier: Apache-2.0 */
#include "node/look.h"

/* The rows of a payload that fills `bytes`. False when there cannot be as many as it says. */
static bool look_at_payload(const sh_payload *p, uint64_t bytes, const sh_row **rows, uint32_t *n_rows) {
  *n_rows = 0;
  if (bytes < sizeof *p)
    return bytes == 0;
  uint32_t n = sh_peek(&p->n_rows);
  if (n > (bytes - sizeof *p) / sizeof(sh_row))
    return false;
  *rows = sh_payload_rows(p);
  *n_rows = n;
  return true;
}

bool sh_look_at_call(const sh_segment *s, sh_slot *t, sh_call_view *view) {
  uint64_t loc = sh_load_relaxed(&t->loc), bytes = sh_peek(&t->spec_bytes);
  uint32_t n_returns = sh_peek(&t->n_returns), n_rows;
  bool in_slot = sh_loc_kind_of(loc) == SH_LOC_INLINE;
  uint8_t *spec = in_slot ? t->inline_bytes : loc == SH_LOC_NONE ? NULL : sh_heap_at(s, loc);
  uint64_t room = in_slot ? SH_SPEC_INLINE : spec ? sh_heap_capacity(s, loc) : 0;
  uint64_t head = n_returns > 1U ? 8ULL * n_returns : 0;
  *view = (sh_call_view){0};
  if (bytes > room || head > bytes || sh_slot_class(t) >= SH_MAX_CLASSES)
    return false;
  const sh_row *rows = NULL;
  if (!look_at_payload((const sh_payload *)(const void *)(spec + head), bytes - head, &rows, &n_rows) ||
      sh_peek(&t->n_deps) > n_rows)
    return false;
  *view = (sh_call_view){.n_returns = n_returns,
                         .n_rows = n_rows,
                         .single = sh_peek(&t->returns),
                         .returns = (sh_a64 *)(void *)spec,
                         .rows = rows};
  return true;
}

uint32_t sh_look_at_rows(const sh_segment *s, sh_entry *e, const sh_row **rows) {
  uint64_t size = sh_load_relaxed(&e->size_flags), loc = sh_load_relaxed(&e->loc), bytes = size & SH_VALUE_SIZE_MASK;
  bool in_entry = sh_loc_kind_of(loc) == SH_LOC_INLINE;
  const uint8_t *data = in_entry ? e->inline_bytes : loc == SH_LOC_NONE ? NULL : sh_heap_at(s, loc);
  uint64_t room = in_entry ? SH_INLINE_BYTES : data ? sh_heap_capacity(s, loc) : 0;
  uint32_t n = 0;
  if (!(size & SH_VALUE_HAS_REFS) || bytes > room)
    return 0;
  return look_at_payload((const sh_payload *)(const void *)data, bytes, rows, &n) ? n : 0;
}
