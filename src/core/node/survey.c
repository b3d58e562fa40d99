/* SPDX-License-Identifier: Apache-2.0 */
#include "node/survey.h"

#include "node/look.h"
#include "node/task.h"

#include <string.h>

#define ATTEMPTS 8U /* a record that changes as often as that while it is copied is left out */

uint32_t sh_survey_end(const sh_segment *s, sh_pool_id pool) {
  return sh_pool_used_chunks(s, pool) * sh_pool_of(s, pool)->chunk_records;
}

/* (G) What was copied belongs to the word that was there before, if it is still there. */
static bool is_still(const sh_a64 *word, uint64_t before) {
  sh_fence_acquire();
  return sh_load_relaxed(word) == before;
}

static void copy_rows(const sh_row *rows, uint32_t n, sh_ref *out) {
  for (uint32_t i = 0; i < n; i++)
    out[i] = sh_look_at_row(&rows[i]);
}

/* Up to `most` rows of the call in slot `t`, beginning with the one at `first`; the caller checks that it kept still. */
static uint32_t rows_of_call(const sh_segment *s, sh_slot *t, uint32_t first, sh_ref *out, uint32_t most) {
  sh_call_view call;
  if (!sh_look_at_call(s, t, &call) || first >= call.n_rows)
    return 0;
  uint32_t n = call.n_rows - first < most ? call.n_rows - first : most;
  copy_rows(call.rows + first, n, out);
  return n;
}

/* (G) The bytes of a spec outside of its slot have a word of their own. */
static bool spec_is_still(const sh_segment *s, sh_slot *t, sh_ref task) {
  sh_fence_acquire();
  uint64_t loc = sh_load_relaxed(&t->loc);
  return !sh_loc_in_heap(loc) || sh_heap_holds(s, loc, sh_tag(SH_TAG_SLOT, task));
}

bool sh_survey_task(const sh_segment *s, uint32_t slot, sh_task_view *out) {
  if (!sh_slot_known(s, slot))
    return false;
  sh_slot *t = sh_slot_at(s, slot);
  for (uint32_t i = 0; i < ATTEMPTS; i++) {
    uint64_t word = sh_load_acquire(&t->word);
    uint32_t state = sh_word_state(word);
    if (state < SH_TASK_READY || state > SH_TASK_LAST)
      return false;
    sh_task_view v = {.task = {.index = slot, .generation = sh_word_generation(word)},
                      .state = state,
                      .who = sh_word_who(word),
                      .class_id = sh_slot_class(t),
                      .submitter = sh_peek(&t->submitter),
                      .depth = sh_peek(&t->depth),
                      .flags = sh_peek(&t->flags),
                      .attempt = sh_load32_relaxed(&t->x_attempt),
                      .max_retries = sh_peek(&t->max_retries),
                      .root = sh_peek(&t->root),
                      .n_returns = sh_peek(&t->n_returns),
                      .n_deps = sh_peek(&t->n_deps),
                      .id = {.lo = sh_peek(&t->id_lo), .hi = sh_peek(&t->id_hi)},
                      .parent = {.lo = sh_peek(&t->parent_lo), .hi = sh_peek(&t->parent_hi)},
                      .function = {.lo = sh_peek(&t->fn_lo), .hi = sh_peek(&t->fn_hi)},
                      .spec_bytes = sh_peek(&t->spec_bytes)};
    if (state == SH_TASK_WAITING)
      (void)rows_of_call(s, t, sh_load32_relaxed(&t->x_cursor), &v.awaits, 1);
    if (!spec_is_still(s, t, v.task))
      v.awaits = (sh_ref){0};
    if (is_still(&t->word, word)) {
      *out = v;
      return true;
    }
  }
  return false;
}

void sh_survey_count_tasks(const sh_segment *s, uint64_t counts[SH_TASK_LAST + 1]) {
  memset(counts, 0, (SH_TASK_LAST + 1U) * sizeof *counts);
  for (uint32_t slot = 0, end = sh_survey_end(s, SH_POOL_SLOT); slot < end; slot++) {
    uint32_t state = sh_word_state(sh_load_relaxed(&sh_slot_at(s, slot)->word));
    if (state >= SH_TASK_READY && state <= SH_TASK_LAST)
      counts[state]++;
  }
}

bool sh_survey_object(const sh_segment *s, uint32_t entry, sh_object_view *out) {
  if (entry >= sh_pool_capacity(sh_pool_of(s, SH_POOL_ENTRY)))
    return false;
  sh_entry *e = sh_entry_at(s, entry);
  for (uint32_t i = 0; i < ATTEMPTS; i++) {
    uint64_t word = sh_load_acquire(&e->word);
    if (sh_word_state(word) != SH_ENTRY_LIVE)
      return false;
    uint64_t head = sh_load_acquire(&e->head); /* (C) before the value */
    uint64_t size = sh_load_relaxed(&e->size_flags), producer = sh_load_relaxed(&e->producer);
    sh_object_view v = {.object = {.index = entry, .generation = sh_word_generation(word)},
                        .id = {.lo = sh_peek(&e->id_lo), .hi = sh_peek(&e->id_hi)},
                        .number = sh_peek(&e->number),
                        .owner = sh_word_who(word),
                        .owner_flags = sh_load32_relaxed(&e->x_owner_flags),
                        .closed = (head & SH_HEAD_CLOSED) != 0,
                        .dropped = (head & SH_HEAD_DROPPED) != 0,
                        .size = size & SH_VALUE_SIZE_MASK,
                        .value_flags = size & ~SH_VALUE_SIZE_MASK,
                        .where = sh_loc_kind_of(sh_load_relaxed(&e->loc)),
                        .producer = sh_ref_unpack(producer)};
    if (is_still(&e->word, word)) {
      if (!v.closed) { /* half-filled at most */
        v.size = v.value_flags = 0;
        v.where = SH_LOC_NONE;
      }
      *out = v;
      return true;
    }
  }
  return false;
}

bool sh_survey_waiter(const sh_segment *s, uint32_t waiter, sh_waiter_view *out) {
  sh_waiters ws = sh_waiters_of(s);
  if (waiter >= ws.capacity)
    return false;
  const sh_waiter *w = &ws.records[waiter];
  uint64_t word = sh_load_acquire(&w->word);
  if (sh_word_state(word) != SH_WAITER_LIVE)
    return false;
  sh_waiter_view v = {.object = sh_ref_unpack(sh_load_relaxed(&w->promise)),
                      .kind = (sh_waiter_kind)sh_load32_relaxed(&w->kind),
                      .target = sh_load32_relaxed(&w->target)};
  if (!is_still(&w->word, word))
    return false;
  *out = v;
  return true;
}

bool sh_survey_client(const sh_segment *s, uint32_t client, sh_client_view *out) {
  if (client >= sh_clients_high(s))
    return false;
  const sh_client *c = sh_client_at(s, client);
  /* (E) The epoch is written first, the state last: with LIVE all of this epoch is there, and what is of the next one is not
   * believed below. */
  uint32_t epoch = sh_load32_acquire(&c->x_epoch), state = sh_load32_acquire(&c->x_state);
  if (state == SH_CLIENT_FREE)
    return false;
  uint64_t blocked = sh_load_relaxed(&s->header->x_blocked[client / 64U]);
  uint64_t waits = sh_load_acquire(&c->x_waits); /* (U) before what it waits for */
  sh_client_view v = {.state = state,
                      .epoch = epoch,
                      .pid = sh_load32_relaxed(&c->x_pid),
                      .role = sh_load32_relaxed(&c->x_role),
                      .class_id = sh_load32_relaxed(&c->x_class),
                      .root = sh_load32_relaxed(&c->x_root),
                      .run_state = (sh_run_state)sh_load8_relaxed(sh_run_state_of(s, client)),
                      .blocked = (blocked >> (client % 64U)) & 1U,
                      .current = sh_ref_unpack(sh_load_relaxed(&c->x_current)),
                      .since_ns = sh_load_relaxed(&c->x_since_ns),
                      .awaits = sh_load_acquire(&c->x_awaits), /* (U) before the next look's x_waits */
                      .waits = waits,
                      .room_wanted = sh_load_relaxed(&c->x_room_wanted),
                      .submitted = sh_load_relaxed(&c->x_submitted),
                      .completed = sh_load_relaxed(&c->x_completed),
                      .busy_ns = sh_load_relaxed(&c->x_busy_ns),
                      .parks = sh_load_relaxed(&c->x_parks),
                      .lease = sh_load_relaxed(&c->x_lease)};
  sh_fence_acquire();
  if (sh_load32_relaxed(&c->x_epoch) != epoch) /* another process has the record by now */
    return false;
  *out = v;
  return true;
}

bool sh_survey_class(const sh_segment *s, uint32_t class_id, sh_class_view *out) {
  if (class_id >= SH_MAX_CLASSES)
    return false;
  const sh_class *c = sh_class_at(s, class_id);
  uint64_t word = sh_load_acquire(&c->word);
  if (sh_word_state(word) == SH_FREE)
    return false;
  uint32_t n = sh_load32_relaxed(&c->n_demands);
  sh_class_view v = {.state = sh_word_state(word),
                     .kind = sh_load32_relaxed(&c->kind),
                     .root = sh_load32_relaxed(&c->root),
                     .cpu_milli = sh_load32_relaxed(&c->cpu_milli),
                     .gpu_milli = sh_load32_relaxed(&c->gpu_milli),
                     .taker = sh_load32_relaxed(&c->x_taker),
                     .unreferenced = sh_load32_relaxed(&c->x_unreferenced) != 0,
                     .n_demands = n < SH_MAX_DEMANDS ? n : SH_MAX_DEMANDS};
  for (uint32_t i = 0; i < v.n_demands; i++) {
    v.kinds[i] = sh_load32_relaxed(&c->demands[i].kind);
    v.milli[i] = sh_load32_relaxed(&c->demands[i].milli);
  }
  if (!is_still(&c->word, word))
    return false;
  *out = v;
  return true;
}

uint32_t sh_survey_arguments(const sh_segment *s, sh_ref task, sh_ref *out, uint32_t most) {
  if (!sh_slot_known(s, task.index))
    return 0;
  sh_slot *t = sh_slot_at(s, task.index);
  uint64_t word = sh_load_acquire(&t->word);
  if (sh_word_generation(word) != task.generation || sh_word_state(word) < SH_TASK_READY)
    return 0;
  uint32_t n = rows_of_call(s, t, 0, out, most);
  if (!spec_is_still(s, t, task))
    return 0;
  word = sh_load_relaxed(&t->word); /* its state may have changed: the arguments do not */
  return sh_word_generation(word) == task.generation && sh_word_state(word) != SH_FREE ? n : 0;
}

uint32_t sh_survey_contents(const sh_segment *s, sh_ref object, sh_ref *out, uint32_t most) {
  sh_entry *e = sh_entry_checked(s, object);
  if (!e || !sh_entry_is_closed(e, object.generation))
    return 0;
  const sh_row *rows = NULL;
  uint64_t loc = sh_load_relaxed(&e->loc);
  uint32_t n = sh_look_at_rows(s, e, &rows);
  n = n < most ? n : most;
  copy_rows(rows, n, out);
  sh_fence_acquire(); /* (G) what was copied, then the words of the bytes and of the entry */
  if (sh_loc_in_heap(loc) && !sh_heap_holds(s, loc, sh_tag(SH_TAG_ENTRY, object)))
    return 0;
  return sh_entry_checked(s, object) ? n : 0;
}

bool sh_survey_is_pinned(const sh_segment *s, uint32_t client, uint32_t entry) {
  if (client >= sh_clients_high(s) || entry >= sh_pool_capacity(sh_pool_of(s, SH_POOL_ENTRY)))
    return false;
  return (sh_load_relaxed(sh_pins_word(s, client, entry)) >> (entry % 64U)) & 1U;
}
