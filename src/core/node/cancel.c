/* SPDX-License-Identifier: Apache-2.0 */
#include "node/cancel.h"

#include "base/grow.h"
#include "base/os.h"
#include "node/claim.h"
#include "node/idle.h"
#include "node/known.h"
#include "node/look.h"
#include "node/task.h"

#include <signal.h>

#define TRIES 64U /* against a word that moves under us; then the next round goes on */

static sh_ending *find(const sh_repair *d, sh_ref task) {
  for (uint32_t i = 0; i < d->n_endings; i++)
    if (d->endings[i].slot == task.index && d->endings[i].generation == task.generation)
      return &d->endings[i];
  return NULL;
}

bool sh_is_being_ended(const sh_repair *d, sh_ref task) {
  return find(d, task) != NULL;
}

/* The list's line for a task, made if there is none. NULL: no memory. The task may be over by now, and its id that of another
 * one: then the line is struck when it is first looked at, and nothing was done in its name. */
static sh_ending *line_of(sh_repair *d, sh_ref task) {
  sh_ending *known = find(d, task);
  if (known)
    return known;
  if (!SH_HAS_ROOM(d->endings, d->n_endings, d->cap_endings, 64U))
    return NULL;
  sh_slot *t = sh_slot_at(&d->seg, task.index);
  sh_ending *e = &d->endings[d->n_endings++];
  *e = (sh_ending){.slot = task.index,
                   .generation = task.generation,
                   .id = {.lo = sh_peek(&t->id_lo), .hi = sh_peek(&t->id_hi)},
                   .kill_ns = SH_NEVER_NS};
  return e;
}

static bool begin(sh_repair *d, sh_ref task, bool force, bool recursive) {
  sh_ending *e = line_of(d, task);
  if (!e)
    return false;
  e->cancelled = true;
  if (force && !(sh_peek(&sh_slot_at(&d->seg, task.index)->flags) & SH_SLOT_ACTOR_CALL))
    e->kill_ns = 0;
  e->recursive |= recursive;
  return true;
}

/* Everything that a task has submitted and that is not over; its actors live on. */
static void begin_children(sh_repair *d, sh_id128 parent, bool force) {
  uint32_t end = sh_pool_used_chunks(&d->seg, SH_POOL_SLOT) * sh_pool_of(&d->seg, SH_POOL_SLOT)->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    sh_slot *t = sh_slot_at(&d->seg, i);
    uint64_t word = sh_load_acquire(&t->word);
    uint32_t state = sh_word_state(word);
    if (sh_task_is_over(state) || sh_peek(&t->parent_lo) != parent.lo || sh_peek(&t->parent_hi) != parent.hi ||
        (sh_peek(&t->flags) & SH_SLOT_CREATES_ACTOR))
      continue;
    sh_fence_acquire(); /* (G) it was the task's own parent */
    if (sh_word_generation(sh_load_relaxed(&t->word)) == sh_word_generation(word))
      (void)begin(d, (sh_ref){.index = i, .generation = sh_word_generation(word)}, force, true);
  }
}

/* What a task that is being ended ends in. */
static sh_system_error error_of(const sh_repair *d, const sh_ending *e) {
  sh_system_error error = {.code = SH_ERR_TIMED_OUT, .wait_status = -1};
  if (e->cancelled)
    error.code = SH_ERR_CANCELLED;
  if (e->removed) {
    error.code = SH_ERR_GROUP_REMOVED;
    error.class_id = sh_slot_class(sh_slot_at(&d->seg, e->slot));
  }
  return error;
}

/* A call that its actor has put aside, with the caller's later calls behind it, is gone: the actor is to look at those it has put
 * aside. It does after it has cleared this bit, of a ring of ours that is empty (order.c). */
static void tell_actor(sh_repair *d, uint32_t class_id) {
  const sh_class *k = sh_known_class(d, class_id);
  if (k->kind != SH_CLASS_ACTOR || k->x_taker == 0)
    return;
  sh_fetch_or(&sh_class_at(&d->seg, class_id)->x_bits[0], 1U);
  sh_wake_client(&d->seg, k->x_taker - 1U);
}

static bool is_stale(const sh_repair *d, uint64_t hint) {
  sh_ref r = sh_ref_unpack(hint);
  if (!sh_slot_known(&d->seg, r.index))
    return true;
  uint64_t word = sh_load_acquire(&sh_slot_at(&d->seg, r.index)->word);
  return sh_word_generation(word) != r.generation || sh_word_state(word) == SH_FREE;
}

/* Take the first hint as a worker would, and put it back if it is about something after all. Clears the bit of an empty ring. */
static void take_stale(sh_repair *d, uint32_t client, uint32_t class_id) {
  uint64_t hint;
  if (sh_claim_take(&d->self, client, class_id, &hint) != SH_OK)
    return;
  if (!is_stale(d, hint))
    sh_task_hint(&d->self, sh_ref_unpack(hint).index);
  sh_store_release(&d->self.me->op, 0);
}

void sh_drop_stale_hints(sh_repair *d, uint32_t class_id) {
  sh_ring_memory memory = sh_self_ring_memory(&d->self);
  bool is_empty = true;
  for (uint32_t client = 0; client < d->clients_high; client++) {
    sh_ring *ring = sh_ring_named(&d->seg, client, class_id);
    uint64_t hint, most = sh_pool_capacity(sh_pool_of(&d->seg, SH_POOL_SLOT)); /* a damaged ring never ends */
    for (uint64_t n = 0; ring && n < most && sh_ring_peek(ring, &memory, 0, &hint) && is_stale(d, hint); n++)
      take_stale(d, client, class_id);
    if (ring && sh_ring_length(ring) == 0)
      take_stale(d, client, class_id);
    is_empty = is_empty && (!ring || sh_ring_length(ring) == 0);
  }
  if (is_empty)
    d->starved_since[class_id] = d->starved_told[class_id] = 0;
}

/* Not begun: it is ours by one CAS. */
static bool take_queued(sh_repair *d, sh_ending *e, uint64_t word) {
  sh_slot *t = sh_slot_at(&d->seg, e->slot);
  uint32_t class_id = sh_word_who(word);
  bool aside = sh_word_state(word) == SH_TASK_WAITING;
  uint64_t mine = sh_word(e->generation, SH_TASK_CLAIMED, 0, sh_word_tag(word));
  e->began |= sh_load32_relaxed(&t->x_attempt) != 0;
  if (!sh_cas(&t->word, &word, mine))
    return false;
  sh_system_error error = error_of(d, e);
  sh_sweep_resolve(d, e->slot, mine, &error);
  if (aside)
    tell_actor(d, class_id);
  /* Work that waits for a lease, or for an environment, is counted by its hints. Those of cancelled tasks would have resources
   * collected for nobody, and warnings written, until a worker comes to take them, which may be never. */
  const sh_class *k = sh_known_class(d, class_id);
  if (k->kind == SH_CLASS_LEASE || (k->kind != SH_CLASS_ACTOR && k->crew != k->root))
    sh_drop_stale_hints(d, class_id);
  return true;
}

/* Its worker has let go of it: what it filled and logged is complete. */
static void resolve(sh_repair *d, uint32_t at, uint64_t word) {
  sh_ending e = d->endings[at];
  (void)sh_counts_read(&d->counts);
  if (!e.cancelled && (sh_slot_at(&d->seg, e.slot)->flags & SH_SLOT_RETRY_OVERDUE)) {
    begin_children(d, e.id, false); /* now: the next attempt has children under the same name */
    if (sh_sweep_repeat(d, e.slot, word))
      return;
  }
  sh_system_error error = error_of(d, &e);
  sh_sweep_resolve(d, e.slot, word, &error);
}

static void kill_worker(sh_repair *d, sh_ending *e, uint64_t word) {
  uint32_t client = sh_word_who(word);
  uint64_t killing = sh_word(e->generation, SH_TASK_KILLING, client, sh_word_tag(word));
  if (!sh_cas(&sh_slot_at(&d->seg, e->slot)->word, &word, killing))
    return;
  sh_verdict verdict = e->removed ? SH_VERDICT_REMOVED : e->cancelled ? SH_VERDICT_CANCEL : SH_VERDICT_OVERDUE;
  d->verdicts[client] = (uint8_t)verdict;
  sh_event_add(d, SH_EVENT_CONDEMNED, client, sh_known_client(d, client)->x_epoch, verdict);
}

/* One step, and as many as can be made at once. True: it is over. */
static bool step(sh_repair *d, uint32_t at, bool tick, uint64_t now_ns) {
  for (uint32_t tries = 0; tries < TRIES; tries++) {
    sh_ending *e = &d->endings[at];
    sh_a64 *slot_word = &sh_slot_at(&d->seg, e->slot)->word;
    uint64_t word = sh_load_acquire(slot_word); /* (O) */
    uint32_t state = sh_word_state(word), who = sh_word_who(word);
    if (sh_word_generation(word) != e->generation ||
        (!e->cancelled && state != SH_TASK_OVERDUE && state != SH_TASK_KILLING))
      return true;
    switch (state) {
    case SH_TASK_READY:
    case SH_TASK_WAITING:
      if (take_queued(d, e, word))
        return true;
      continue; /* it moved */
    case SH_TASK_CLAIMED:
      if (who != 0)
        return false;       /* no user code yet: soon it runs, waits, or is put back */
      resolve(d, at, word); /* put off */
      return true;
    case SH_TASK_RUNNING:
      if (!sh_cas(slot_word, &word, sh_word(e->generation, SH_TASK_CANCELLED, who, sh_word_tag(word))))
        continue;
      e->began = tick = true;
      if (e->recursive)
        begin_children(d, e->id, e->kill_ns == 0); /* may move the list */
      continue;
    case SH_TASK_CANCELLED:
    case SH_TASK_OVERDUE:
      if (who == 0) {
        resolve(d, at, word);
        return true;
      }
      if (now_ns >= e->kill_ns)
        kill_worker(d, e, word);
      else if (tick)
        sh_os_signal(d->pidfds[who], SIGURG);
      return false;
    case SH_TASK_KILLING:
      return false; /* until it is swept */
    default:
      return true;
    }
  }
  return false;
}

/* Is the task itself over? Not if only an attempt was, and the next one has children of its own. */
static bool is_over(sh_repair *d, const sh_ending *e) {
  uint64_t word = sh_load_acquire(&sh_slot_at(&d->seg, e->slot)->word);
  return sh_word_generation(word) != e->generation || sh_word_state(word) == SH_FREE ||
         sh_word_state(word) == SH_TASK_LOGGED;
}

void sh_cancel_run(sh_repair *d, bool tick, uint64_t now_ns) {
  for (uint32_t i = 0; i < d->n_endings;) {
    if (!step(d, i, tick, now_ns)) {
      i++;
      continue;
    }
    sh_ending over = d->endings[i];
    d->endings[i] = d->endings[--d->n_endings];
    if (over.recursive && over.began && is_over(d, &over)) /* it can submit no more: what it did since our first look */
      begin_children(d, over.id, over.kill_ns == 0);
  }
}

void sh_cancel_group(sh_repair *d, uint32_t group, uint64_t now_ns) {
  uint32_t end = sh_pool_used_chunks(&d->seg, SH_POOL_SLOT) * sh_pool_of(&d->seg, SH_POOL_SLOT)->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    sh_slot *t = sh_slot_at(&d->seg, i);
    uint64_t word = sh_load_acquire(&t->word);
    uint32_t state = sh_word_state(word), class_id = sh_slot_class(t);
    if (sh_task_is_over(state) || class_id >= SH_MAX_CLASSES)
      continue;
    const sh_class *k = sh_known_class(d, class_id);
    sh_fence_acquire();
    if (k->kind != SH_CLASS_LEASE || sh_room_group(k->room) != group + 1U ||
        sh_word_generation(sh_load_relaxed(&t->word)) != sh_word_generation(word))
      continue; /* the class was another task's */
    sh_ending *e = line_of(d, (sh_ref){.index = i, .generation = sh_word_generation(word)});
    if (!e)
      continue;
    e->removed |= !e->cancelled;
    e->cancelled = true;
    e->kill_ns = 0;
  }
  sh_cancel_run(d, false, now_ns);
}

void sh_cancel_overdue(sh_repair *d, uint32_t client, uint64_t now_ns) {
  const sh_client *c = sh_client_at(&d->seg, client);
  sh_ref task = sh_ref_unpack(sh_load_relaxed(&c->x_current));
  if (!sh_slot_known(&d->seg, task.index))
    return;
  sh_slot *t = sh_slot_at(&d->seg, task.index);
  uint64_t word = sh_load_acquire(&t->word), limit = sh_load_relaxed(&t->deadline_left_ns);
  if (limit == 0 || sh_word_generation(word) != task.generation || sh_word_state(word) != SH_TASK_RUNNING ||
      sh_word_who(word) != client)
    return;
  uint64_t since = sh_load_relaxed(&c->x_since_ns); /* (N) of this run of the task, or later */
  if ((int64_t)(now_ns - since) < (int64_t)limit)
    return;
  sh_ending *e = line_of(d, task);
  if (!e || !sh_cas(&t->word, &word, sh_word(task.generation, SH_TASK_OVERDUE, client, sh_word_tag(word))))
    return; /* it has ended; a line that is about nothing is struck in the next round */
  e->recursive = e->began = true;
  e->kill_ns = now_ns + SH_GRACE_NS;
  sh_id128 id = e->id;
  sh_os_signal(d->pidfds[client], SIGURG);
  begin_children(d, id, false);
}

sh_status sh_repair_cancel(sh_repair *d, sh_ref task, bool force, bool recursive) {
  if (!sh_slot_known(&d->seg, task.index))
    return SH_INVALID;
  pthread_mutex_lock(&d->lock);
  uint64_t word = sh_load_acquire(&sh_slot_at(&d->seg, task.index)->word);
  uint32_t state = sh_word_state(word);
  bool over = sh_word_generation(word) != task.generation || sh_task_is_over(state);
  sh_status status = over ? SH_LOST : begin(d, task, force, recursive) ? SH_OK : SH_FULL;
  sh_cancel_run(d, false, sh_os_now_ns());
  pthread_mutex_unlock(&d->lock);
  sh_os_eventfd_signal(d->poke_fd); /* for what was released */
  return status;
}
