/* SPDX-License-Identifier: Apache-2.0 */
#include "node/call_log.h"

#include "base/grow.h"
#include "node/children.h"
#include "node/claim.h"
#include "node/known.h"
#include "node/look.h"

#include <stdlib.h>
#include <string.h>

#define STEP 2U

static uint32_t number(uint32_t position) {
  return position & ~SH_POSITION_RAISED;
}

/* Positions wrap round: the later one is less than half way round ahead. */
static bool is_after(uint32_t position, uint32_t other) {
  return (int32_t)(number(position) - number(other)) > 0;
}

static int compare(const void *left, const void *right) {
  const sh_logged *a = left, *b = right;
  return is_after(a->position, b->position) - is_after(b->position, a->position);
}

/* The next slot at or after *i that is LOGGED by this class. Looks where calls of the class lie or lay. */
static bool next_logged(const sh_segment *s, uint32_t class_id, uint32_t *i, uint64_t *word) {
  uint32_t per_chunk = sh_pool_of(s, SH_POOL_SLOT)->chunk_records;
  uint32_t end = sh_pool_used_chunks(s, SH_POOL_SLOT) * per_chunk;
  while (*i < end) {
    uint32_t chunk = *i / per_chunk;
    if (!sh_pool_is_marked(sh_called_word(s, class_id, 0), chunk)) {
      *i = (chunk + 1U) * per_chunk;
      continue;
    }
    *word = sh_load_acquire(&sh_slot_at(s, *i)->word);
    if (sh_word_state(*word) == SH_TASK_LOGGED && sh_word_who(*word) == class_id)
      return true;
    ++*i;
  }
  return false;
}

static uint32_t class_of(const sh_self *self) {
  return sh_load32_relaxed(&self->me->x_class);
}

static bool has_room(sh_self *self) {
  return SH_HAS_ROOM(self->logged, self->n_logged, self->cap_logged, 64U);
}

static void add(sh_self *self, uint32_t slot) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  self->logged[self->n_logged++] =
      (sh_logged){.slot = slot, .position = number(sh_load32_relaxed(&t->x_position)), .bytes = t->spec_bytes};
  self->logged_bytes += t->spec_bytes;
}

bool sh_log_open(sh_self *self, uint32_t position) {
  uint32_t class_id = class_of(self);
  self->logs = self->role == SH_ROLE_ACTOR && sh_load32_relaxed(&sh_class_at(&self->seg, class_id)->logs);
  self->position = position;
  uint64_t word;
  for (uint32_t i = 0; self->logs && next_logged(&self->seg, class_id, &i, &word); i++) {
    if (!has_room(self))
      return false;
    add(self, i);
  }
  if (self->n_logged) {
    qsort(self->logged, self->n_logged, sizeof *self->logged, compare);
    uint32_t last = self->logged[self->n_logged - 1U].position;
    if (is_after(last, position))
      self->position = last;
    sh_log_cut(self, position);
  }
  return true;
}

void sh_log_begin(sh_self *self, uint32_t slot) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  if (!self->logs || !sh_log_takes(t->flags))
    return;
  self->position += STEP;
  if (self->position == 0)
    self->position = STEP;
  bool fits = has_room(self);
  self->checkpoint_is_due |= !fits; /* without a position it is not logged: the next checkpoint has to cover it */
  sh_store32_relaxed(&t->x_position, fits ? self->position : 0U);
}

void sh_log_raised(sh_self *self, uint32_t slot) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  uint32_t position = self->logs && sh_log_takes(t->flags) ? sh_load32_relaxed(&t->x_position) : 0;
  if (position)
    sh_store32_relaxed(&t->x_position, position | SH_POSITION_RAISED);
}

bool sh_log_has_raised(const sh_self *self, uint32_t slot) {
  return sh_load32_relaxed(&sh_slot_at(&self->seg, slot)->x_position) & SH_POSITION_RAISED;
}

/* COMMITTED -> LOGGED. False: it is out of use. Killed before: a sweep of who it names makes the step. */
static bool make_logged(sh_slot *t, uint64_t committed, uint32_t class_id) {
  /* Children that failed are adopted as they are: the call is repeated as it was, not to make it succeed. */
  sh_store32_relaxed(&t->x_made, sh_load32_relaxed(&t->x_made) & SH_MADE_BELOW);
  uint64_t logged = sh_word(sh_word_generation(committed), SH_TASK_LOGGED, class_id, sh_word_tag(committed));
  return sh_cas(&t->word, &committed, logged);
}

/* The log would keep an actor alive, perhaps this one, that nobody else refers to. */
static bool names_an_actor(const sh_segment *s, sh_slot *t) {
  sh_call_view call = {0};
  if (t->flags & SH_SLOT_HAS_ROWS)
    (void)sh_look_at_call(s, t, &call);
  for (uint32_t i = 0; i < call.n_rows; i++)
    if (call.rows[i].number & SH_NUMBER_ACTOR)
      return true;
  return false;
}

bool sh_log_keep(sh_self *self, uint32_t slot, uint64_t committed) {
  sh_slot *t = sh_slot_at(&self->seg, slot);
  uint32_t class_id = sh_slot_class(t);
  if (class_id != class_of(self) || !sh_log_takes(t->flags) || sh_load32_relaxed(&t->x_position) == 0 ||
      !sh_log_is_kept(self))
    return false;
  if (!make_logged(t, committed, class_id))
    return true; /* not ours to free */
  add(self, slot);
  self->checkpoint_is_due |= names_an_actor(&self->seg, t);
  return true;
}

bool sh_log_is_kept(const sh_self *self) {
  return self->logs && sh_load32_relaxed(&sh_class_at(&self->seg, class_of(self))->x_restarts);
}

bool sh_log_is_due(const sh_self *self, uint32_t every) {
  uint32_t most = sh_pool_capacity(sh_pool_of(&self->seg, SH_POOL_SLOT)) / SH_LOGGED_PART;
  return sh_log_is_kept(self) &&
         (self->checkpoint_is_due || self->n_logged >= every || self->n_logged >= most ||
          self->logged_bytes + self->kept_bytes > sh_kept_limit(self) || self->n_kept > SH_KEPT_MAX / 2U);
}

void sh_log_cut(sh_self *self, uint32_t position) {
  uint32_t n = 0, class_id = class_of(self);
  for (; n < self->n_logged && !is_after(self->logged[n].position, position); n++) {
    uint32_t slot = self->logged[n].slot;
    sh_slot *t = sh_slot_at(&self->seg, slot);
    uint64_t word = sh_load_relaxed(&t->word);
    self->logged_bytes -= self->logged[n].bytes;
    if (sh_word_state(word) != SH_TASK_LOGGED || sh_word_who(word) != class_id)
      continue;                /* out of use */
    sh_tell_where(self, slot); /* our sweep finds what we have not claimed ourselves, too */
    uint64_t ours = sh_word(sh_word_generation(word), SH_TASK_COMMITTED, self->index, sh_word_tag(word));
    if (!sh_cas(&t->word, &word, ours))
      continue;
    sh_log_forget(t); /* until here a sweep makes it LOGGED again, while its spec is whole */
    sh_let_slot_go(self, slot, ours);
  }
  self->n_logged -= n;
  if (n)
    memmove(self->logged, self->logged + n, self->n_logged * sizeof *self->logged);
  self->checkpoint_is_due = false;
  for (uint32_t i = 0; i < self->n_logged; i++)
    self->checkpoint_is_due |= names_an_actor(&self->seg, sh_slot_at(&self->seg, self->logged[i].slot));
  sh_children_cut(self);
}

/* ---- the repair thread ---- */

bool sh_log_take_over(sh_repair *d, uint32_t slot, uint64_t committed) {
  sh_slot *t = sh_slot_at(&d->seg, slot);
  uint32_t class_id = sh_slot_class(t);
  const sh_class *k = class_id < SH_MAX_CLASSES ? sh_known_class(d, class_id) : NULL;
  if (!k || !k->logs || !k->x_restarts || sh_word_state(k->word) != SH_CLASS_LIVE ||
      !sh_log_takes(sh_peek(&t->flags)) || sh_load32_relaxed(&t->x_position) == 0)
    return false;
  (void)make_logged(t, committed, class_id);
  return true;
}

void sh_log_end(sh_repair *d, uint32_t slot, uint64_t word) {
  const sh_class *k = sh_known_class(d, sh_word_who(word));
  if (sh_word_state(k->word) == SH_CLASS_LIVE || k->x_taker)
    return;
  uint64_t mine = sh_word(sh_word_generation(word), SH_TASK_COMMITTED, 0, sh_word_tag(word));
  if (sh_cas(&sh_slot_at(&d->seg, slot)->word, &word, mine))
    sh_counts_done(&d->counts, slot, mine);
}

void sh_log_end_all(sh_repair *d, uint32_t class_id) {
  uint64_t word;
  for (uint32_t i = 0; next_logged(&d->seg, class_id, &i, &word); i++)
    sh_log_end(d, i, word);
}
