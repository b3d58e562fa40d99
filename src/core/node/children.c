/* SPDX-License-Identifier: Apache-2.0 */
#include "node/children.h"

#include "base/grow.h"
#include "node/call_log.h"
#include "node/cancel.h"
#include "node/known.h"
#include "node/refs.h"
#include "node/stream.h"

#define CALL_FLAGS (SH_SLOT_ACTOR_CALL | SH_SLOT_CREATES_ACTOR | SH_SLOT_STREAM | SH_SLOT_DYNAMIC)

uint64_t sh_digest_begin(uint32_t flags, uint32_t n_returns, uint32_t n_deps) {
  return sh_fold((uint64_t)(flags & CALL_FLAGS) ^ 0x9E3779B97F4A7C15U,
                 ((uint64_t)n_returns << 32 | n_deps) ^ 0xD1B54A32D192ED03U);
}

/* An object that was put, and one of a thread's own calls, has another id in each attempt. */
uint64_t sh_digest_add(uint64_t digest, sh_id128 id, uint32_t number) {
  if ((number & SH_NUMBER_PUT) || sh_id_is_drawn(id))
    id = (sh_id128){0};
  return sh_fold(digest ^ id.lo, id.hi ^ 0xA0761D6478BD642FU) ^ number;
}

/* ---- the process that runs the task ---- */

static uint64_t digest_of(const sh_segment *s, sh_slot *t) {
  const sh_payload *p = t->n_deps ? sh_slot_payload(s, t) : NULL;
  uint64_t digest = sh_digest_begin(t->flags, t->n_returns, t->n_deps);
  for (uint32_t i = 0; p && i < t->n_deps; i++) {
    const sh_row *row = &sh_payload_rows(p)[i];
    digest = sh_digest_add(digest, (sh_id128){.lo = row->id_lo, .hi = row->id_hi}, row->number);
  }
  return digest;
}

/* The slot of a task that this process runs, or has logged; NULL: it has nothing to do with it (any more). */
static sh_slot *run_here(const sh_self *self, uint64_t task) {
  sh_ref r = sh_ref_unpack(task);
  if (task == 0 || !sh_slot_known(&self->seg, r.index))
    return NULL;
  sh_slot *t = sh_slot_at(&self->seg, r.index);
  uint64_t word = sh_load_relaxed(&t->word);
  bool is_here = sh_is_run_by(word, self->index) || sh_log_is_ours(self, word);
  return sh_word_generation(word) == r.generation && is_here ? t : NULL;
}

static void mark_made(const sh_self *self, uint64_t parent, uint32_t counter) {
  sh_slot *t = run_here(self, parent);
  if (!t || counter >= SH_MADE_BELOW)
    return;
  uint32_t made = sh_load32_relaxed(&t->x_made);
  if ((made & SH_MADE_BELOW) <= counter)
    sh_store32_relaxed(&t->x_made, (made & SH_MADE_FAILED) | (counter + 1U));
}

/* A result is let go of, though its caller may be run again. */
static void give_up(sh_self *self, const sh_origin *o) {
  if (run_here(self, o->parent))
    self->checkpoint_is_due |= self->logs; /* then it is not */
  if ((o->flags & SH_SLOT_ACTOR_CALL) && !(o->flags & SH_SLOT_CREATES_ACTOR))
    mark_made(self, o->parent, o->counter);
}

void sh_child_made(sh_self *self, uint32_t slot, const sh_ref *returns) {
  const sh_segment *s = &self->seg;
  sh_slot *t = sh_slot_at(s, slot);
  uint64_t digest = digest_of(s, t);
  for (uint32_t i = 0; i < t->n_returns; i++) {
    if ((t->flags & SH_SLOT_STREAM) && i == SH_STREAM_TAIL)
      continue; /* items come and go; the stream's end stands for the call */
    sh_origin *o = sh_origin_at(s, returns[i].index);
    o->parent = self->parent;
    o->fn_lo = t->fn_lo;
    o->digest = digest;
    o->counter = t->counter;
    o->class_id = sh_slot_class(t);
    o->class_generation = sh_word_generation(sh_load_relaxed(&sh_class_at(s, o->class_id)->word));
    o->flags = t->flags & CALL_FLAGS;
    sh_store32_release(&o->x_generation, returns[i].generation); /* (V) */
    self->local[returns[i].index].flags |= SH_LOCAL_CHILD;
  }
  if (t->n_returns == 0 && (t->flags & SH_SLOT_ACTOR_CALL))
    mark_made(self, self->parent, t->counter); /* before READY: at most once */
  else if (t->n_returns == 0)
    self->checkpoint_is_due |= self->logs; /* nothing of it can be found */
}

static bool is_kept_for(const sh_self *self, sh_ref r, uint32_t flags, uint64_t *bytes, bool *open) {
  const sh_entry *e = sh_entry_at(&self->seg, r.index);
  *bytes = 0;
  *open = !sh_entry_is_closed(e, r.generation);
  if (flags & (SH_SLOT_CREATES_ACTOR | SH_SLOT_STREAM))
    return false; /* an actor ends with its last handle; a stream cannot be taken twice */
  if (*open)
    return true;
  uint64_t size = sh_load_relaxed(&e->size_flags);
  if (sh_loc_kind_of(sh_load_relaxed(&e->loc)) > SH_LOC_INLINE)
    *bytes = size & SH_VALUE_SIZE_MASK;
  return !(size & SH_VALUE_HAS_REFS) && self->kept_bytes + *bytes <= sh_kept_limit(self);
}

/* Drop the i-th of those kept. The last one takes its place. */
static void let_go(sh_self *self, uint32_t i) {
  sh_keep k = self->kept[i];
  const sh_origin *o = sh_origin_of(&self->seg, k.r);
  if (o)
    give_up(self, o);
  self->kept_bytes -= k.bytes;
  self->kept[i] = self->kept[--self->n_kept];
  sh_ref_drop(self, k.r);
}

/* One that was not resolved yet may have turned out larger than what is kept. One look for each that is added. */
static void look_at_another(sh_self *self) {
  if (self->n_kept == 0)
    return;
  uint32_t i = self->kept_turn++ % self->n_kept;
  sh_keep *k = &self->kept[i];
  const sh_origin *o = k->open ? sh_origin_of(&self->seg, k->r) : NULL;
  if (!o)
    return;
  bool fits = is_kept_for(self, k->r, o->flags, &k->bytes, &k->open);
  if (fits) {
    self->kept_bytes += k->bytes;
  } else {
    k->bytes = 0;
    let_go(self, i);
  }
}

bool sh_child_keep(sh_self *self, sh_ref r) {
  sh_local *l = &self->local[r.index];
  l->flags &= ~SH_LOCAL_CHILD;
  const sh_origin *o = sh_origin_of(&self->seg, r);
  if (!o || !run_here(self, o->parent))
    return false;
  sh_keep k = {.r = r, .parent = o->parent};
  look_at_another(self);
  if (!(l->flags & SH_LOCAL_SHARED) && is_kept_for(self, r, o->flags, &k.bytes, &k.open) &&
      self->n_kept < SH_KEPT_MAX && SH_HAS_ROOM(self->kept, self->n_kept, self->cap_kept, 64U)) {
    self->kept[self->n_kept++] = k;
    self->kept_bytes += k.bytes;
    l->count = 1;
    return true;
  }
  give_up(self, o);
  return false;
}

void sh_children_hand_over(sh_self *self, uint32_t slot, bool any, bool failed) {
  const sh_segment *s = &self->seg;
  sh_slot *t = sh_slot_at(s, slot);
  uint64_t word = sh_load_relaxed(&t->word);
  if (t->max_retries == 0)
    return; /* its calls have no origins */
  uint64_t parent = sh_ref_pack((sh_ref){.index = slot, .generation = sh_word_generation(word)});
  uint32_t made = sh_load32_relaxed(&t->x_made) & SH_MADE_BELOW;
  sh_store32_relaxed(&t->x_made, made | (failed ? SH_MADE_FAILED : 0U));
  uint32_t end = sh_pool_used_chunks(s, SH_POOL_ENTRY) * sh_pool_of(s, SH_POOL_ENTRY)->chunk_records;
  for (uint32_t i = 0; any && i < end; i++) {
    const sh_local *l = &self->local[i];
    sh_ref r = {.index = i, .generation = l->generation};
    if (l->count == 0 || !(l->flags & SH_LOCAL_OWNED))
      continue;
    const sh_origin *o = sh_origin_of(s, r);
    if (!o || o->parent != parent)
      continue;
    sh_log_reserve(self, 2U); /* first: another thread may let go of it meanwhile */
    if (l->count == 0 || l->generation != r.generation)
      continue;
    sh_ref_share(self, r);
    sh_log_append(self, SH_LOG_KEEP, r);
  }
}

void sh_children_end(sh_self *self, uint64_t parent) {
  if (run_here(self, parent))
    return; /* it was logged */
  for (uint32_t i = self->n_kept; i-- > 0;)
    if (i < self->n_kept && self->kept[i].parent == parent)
      let_go(self, i);
}

void sh_children_cut(sh_self *self) {
  for (uint32_t i = self->n_kept; i-- > 0;)
    if (i < self->n_kept && !run_here(self, self->kept[i].parent))
      let_go(self, i);
}

/* ---- the daemon ---- */

static bool is_logged_by(const sh_client *k, uint64_t word) {
  return sh_word_state(word) == SH_TASK_LOGGED && k->x_role == SH_ROLE_ACTOR && sh_word_who(word) == k->x_class;
}

/* Is it the word of a call that the sweep of this client may yet make LOGGED? */
static bool is_to_be_logged(const sh_repair *d, uint32_t client, uint64_t word) {
  const sh_client *k = sh_known_client(d, client);
  return sh_word_state(word) == SH_TASK_COMMITTED && sh_word_who(word) == client && k->x_role == SH_ROLE_ACTOR &&
         sh_known_class(d, k->x_class)->logs;
}

/* Is this task one that the dead client ran, or that its actor has logged? */
static bool was_run_by(const sh_repair *d, uint64_t parent, uint32_t client) {
  sh_ref task = sh_ref_unpack(parent);
  if (!sh_slot_known(&d->seg, task.index))
    return false;
  uint64_t word = sh_load_acquire(&sh_slot_at(&d->seg, task.index)->word);
  uint32_t state = sh_word_state(word);
  const sh_client *k = sh_known_client(d, client);
  bool is_its = (sh_task_has_begun(state) && sh_word_who(word) == client) || is_logged_by(k, word) ||
                is_to_be_logged(d, client, word);
  return sh_word_generation(word) == task.generation && is_its;
}

/* Was the call that makes it never published? */
static bool is_orphan(const sh_segment *s, const sh_entry *e) {
  sh_ref task = sh_ref_unpack(sh_load_relaxed(&e->producer));
  if (!sh_slot_known(s, task.index))
    return true;
  uint64_t word = sh_load_acquire(&sh_slot_at(s, task.index)->word);
  return sh_word_generation(word) != task.generation || sh_word_state(word) <= SH_BUILDING;
}

void sh_children_collect(sh_repair *d, uint32_t client) {
  const sh_pool *p = sh_pool_of(&d->seg, SH_POOL_ENTRY);
  uint32_t end = sh_pool_used_chunks(&d->seg, SH_POOL_ENTRY) * p->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    if (!sh_pool_is_of(&d->seg, p, i / p->chunk_records, client)) {
      i |= p->chunk_records - 1U;
      continue;
    }
    sh_entry *e = sh_entry_at(&d->seg, i);
    uint64_t word = sh_load_acquire(&e->word);
    if (sh_word_state(word) != SH_ENTRY_LIVE || sh_word_who(word) != client)
      continue;
    sh_ref r = {.index = i, .generation = sh_word_generation(word)};
    const sh_origin *o = sh_origin_of(&d->seg, r);
    if (!o || !was_run_by(d, o->parent, client) || (sh_load_acquire(&e->head) & SH_HEAD_DROPPED))
      continue;
    /* First its task, then whether it is resolved: who runs it resolves it first. */
    if (is_orphan(&d->seg, e) && !sh_entry_is_closed(e, r.generation))
      continue;
    sh_store32_relaxed(&e->x_owner_flags, sh_load32_relaxed(&e->x_owner_flags) | SH_OWNER_SHARED);
    sh_counts_keep(&d->counts, r);
  }
}

/* Is it being cancelled with the attempt that made it? It can commit no more. */
static bool ends_with_its_caller(const sh_repair *d, sh_ref r) {
  const sh_entry *e = sh_entry_at(&d->seg, r.index);
  return sh_is_being_ended(d, sh_ref_unpack(sh_load_relaxed(&e->producer))) && !sh_entry_is_closed(e, r.generation);
}

uint32_t sh_repair_children(sh_repair *d, uint32_t client, uint32_t epoch, sh_ref task, sh_child *out, uint32_t max) {
  uint32_t n = 0;
  pthread_mutex_lock(&d->lock);
  (void)sh_counts_read(&d->counts);
  bool runs = client != 0 && sh_known_live(d, client) && sh_known_client(d, client)->x_epoch == epoch &&
              sh_slot_known(&d->seg, task.index);
  bool failed = false;
  if (runs) {
    const sh_slot *t = sh_slot_at(&d->seg, task.index);
    uint64_t word = sh_load_acquire(&t->word);
    runs = sh_word_generation(word) == task.generation &&
           (sh_is_run_by(word, client) || is_logged_by(sh_known_client(d, client), word));
    failed = (sh_load32_relaxed(&t->x_made) & SH_MADE_FAILED) != 0;
  }
  for (uint32_t i = 0; runs && i < d->counts.n_kept; i++) {
    sh_kept k = d->counts.kept[i];
    const sh_origin *o = k.parent == sh_ref_pack(task) ? sh_origin_of(&d->seg, k.r) : NULL;
    if (!o || (failed && ends_with_its_caller(d, k.r)) || (n < max && !sh_counts_hold_for(&d->counts, client, k.r)))
      continue;
    if (n < max)
      out[n] = (sh_child){.r = k.r,
                          .fn_lo = o->fn_lo,
                          .digest = o->digest,
                          .counter = o->counter,
                          .class_id = o->class_id,
                          .class_generation = o->class_generation,
                          .flags = o->flags,
                          .number = sh_entry_at(&d->seg, k.r.index)->number};
    n++;
  }
  pthread_mutex_unlock(&d->lock);
  return n;
}
