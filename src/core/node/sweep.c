/* SPDX-License-Identifier: Apache-2.0
 *
 * Sweeping a dead client: finish what it committed, put back what it had not begun, fail or retry what it was doing, free
 * what only it knew. Every step is found by scanning records for the dead client's name and is idempotent; the sweep may be
 * interrupted anywhere and run again. It bounds every walk and never aborts: an odd record is quarantined.
 *
 * The scans keep to chunks that the client owned, where all it allocated lies, and to those where it said that it claims, or
 * others that they made objects for it. So a death costs what the dead one had touched, not what the node has ever held. What a death may leave elsewhere, a lost
 * hint or a waiter of a detached list, is found by the look at everything (heal.c). */
#include "base/grow.h"
#include "base/os.h"
#include "node/call_log.h"
#include "node/children.h"
#include "node/idle.h"
#include "node/known.h"
#include "node/look.h"
#include "node/object.h"
#include "node/repair.h"
#include "node/stream.h"
#include "node/task.h"

#define MAX_DOUBLINGS 5U /* of the pause before a task is run again */

static uint32_t slots_in_use(const sh_segment *s) {
  return sh_pool_used_chunks(s, SH_POOL_SLOT) * sh_pool_of(s, SH_POOL_SLOT)->chunk_records;
}

void sh_fail_promise(sh_repair *d, sh_ref r, uint32_t code) {
  sh_system_error error = {.code = code, .wait_status = -1};
  sh_counts_unfill(&d->counts, r);
  sh_fill_system_error(&d->seg, r, &error);
  sh_seal(&d->self, r);
}

void sh_quarantine_slot(sh_repair *d, uint32_t slot, uint64_t word) {
  uint64_t out = sh_word(sh_word_generation(word), SH_QUARANTINED, sh_word_who(word), sh_word_tag(word));
  if (!sh_cas(&sh_slot_at(&d->seg, slot)->word, &word, out))
    return; /* it moved: the next look finds it again */
  sh_quarantine(d, SH_POOL_SLOT, slot);
  sh_ref task = {.index = slot, .generation = sh_word_generation(word)};
  const sh_pool *p = sh_pool_of(&d->seg, SH_POOL_ENTRY);
  uint32_t end = sh_pool_used_chunks(&d->seg, SH_POOL_ENTRY) * p->chunk_records;
  for (uint32_t i = 0; i < end; i++) { /* what it names is not to be trusted: look for those that name it */
    sh_entry *e = sh_entry_at(&d->seg, i);
    sh_ref r = {.index = i, .generation = sh_word_generation(sh_load_acquire(&e->word))};
    if (sh_load_relaxed(&e->producer) == sh_ref_pack(task) && sh_entry_checked(&d->seg, r) &&
        !sh_entry_is_closed(e, r.generation))
      sh_fail_promise(d, r, SH_ERR_DAMAGED);
  }
}

void sh_sweep_finish(sh_repair *d, uint32_t slot, uint64_t committed) {
  sh_slot *t = sh_slot_at(&d->seg, slot);
  sh_ref r = {.index = slot, .generation = sh_word_generation(committed)};
  uint64_t loc = sh_load_relaxed(&t->loc);
  /* A spec that was freed already may hold somebody else's references by now; but it is freed after the last seal. */
  bool intact = sh_loc_kind_of(loc) <= SH_LOC_INLINE || sh_heap_holds(&d->seg, loc, sh_tag(SH_TAG_SLOT, r));
  sh_call_view call;
  (void)sh_look_at_call(&d->seg, t, &call);
  for (uint32_t i = 0; intact && i < call.n_returns; i++)
    sh_seal(&d->self, sh_view_return(&call, i));
  if (intact && sh_log_take_over(d, slot, committed))
    return;
  if ((t->flags & SH_SLOT_HAS_ROWS) && d->counts.submitted[slot] != r.generation)
    (void)sh_counts_read(&d->counts); /* its rows were logged before READY: count them before they are released */
  sh_counts_done(&d->counts, slot, committed);
}

/* The word goes on naming who it names, so that an interrupted sweep of it finds the task again. */
void sh_sweep_resolve(sh_repair *d, uint32_t slot, uint64_t word, const sh_system_error *error) {
  sh_slot *t = sh_slot_at(&d->seg, slot);
  sh_call_view call;
  if (!sh_look_at_call(&d->seg, t, &call)) {
    sh_quarantine_slot(d, slot, word);
    return;
  }
  sh_system_error told = *error;
  told.function = t->fn_lo;
  if (told.code == SH_ERR_TIMED_OUT)
    told.class_id = (uint32_t)(sh_load_relaxed(&t->deadline_left_ns) / 1000000U);
  for (uint32_t i = 0; i < call.n_returns; i++) {
    sh_ref r = sh_view_return(&call, i);
    sh_counts_unfill(&d->counts, r);
    sh_fill_system_error(&d->seg, r, &told);
  }
  uint64_t committed = sh_word(sh_word_generation(word), SH_TASK_COMMITTED, sh_word_who(word), sh_word_tag(word));
  sh_log_forget(t); /* before COMMITTED: it was not applied */
  sh_store_release(&t->word, committed);
  sh_sweep_finish(d, slot, committed);
}

/* Until it is hinted the dead owner's intent word names it. */
static void back_to_ready(sh_repair *d, uint32_t slot, uint64_t word) {
  sh_slot *t = sh_slot_at(&d->seg, slot);
  sh_a64 *op = &sh_client_at(&d->seg, sh_word_who(word))->op;
  sh_ref r = {.index = slot, .generation = sh_word_generation(word)};
  uint64_t ready = sh_word(r.generation, SH_TASK_READY, sh_slot_class(t), (sh_word_tag(word) + 1U) & 0xFFFFU);
  sh_store_release(op, sh_ref_pack(r));
  if (sh_cas(&t->word, &word, ready))
    sh_task_hint(&d->self, slot);
  sh_store_release(op, 0);
}

/* Ready again after a pause that doubles with each attempt it lost to memory. Until then the task is the daemon's: a scan
 * that ends its class or job fails it. First the list, then the word: an interrupted sweep comes here again. */
static void put_off(sh_repair *d, uint32_t slot, uint64_t word, uint32_t pressed) {
  if (!SH_HAS_ROOM(d->put_off, d->n_put_off, d->cap_put_off, 64U)) {
    back_to_ready(d, slot, word);
    return;
  }
  uint64_t pause = d->pressed_pause_ns << (pressed <= MAX_DOUBLINGS ? pressed - 1U : MAX_DOUBLINGS);
  d->put_off[d->n_put_off++] =
      (sh_put_off){.slot = slot, .generation = sh_word_generation(word), .due_ns = sh_os_now_ns() + pause};
  sh_store_release(&sh_slot_at(&d->seg, slot)->word,
                   sh_word(sh_word_generation(word), SH_TASK_CLAIMED, 0, sh_word_tag(word)));
}

void sh_sweep_put_back(sh_repair *d, uint64_t now_ns) {
  for (uint32_t i = 0; i < d->n_put_off;) {
    sh_put_off p = d->put_off[i];
    if (p.due_ns > now_ns) {
      i++;
      continue;
    }
    d->put_off[i] = d->put_off[--d->n_put_off];
    uint64_t word = sh_load_acquire(&sh_slot_at(&d->seg, p.slot)->word);
    if (sh_word_generation(word) == p.generation && sh_word_state(word) == SH_TASK_CLAIMED && sh_word_who(word) == 0)
      back_to_ready(d, p.slot, word);
  }
}

/* An actor's call is run again by the actor's next process; the creating call by every one until it has returned. */
static bool retries_actor_call(sh_repair *d, const sh_slot *t, uint32_t attempt) {
  return sh_known_class(d, sh_slot_class(t))->x_restarts &&
         ((t->flags & SH_SLOT_CREATES_ACTOR) || attempt <= t->max_retries);
}

/* What the attempt filled is thrown away. */
static void next_attempt(sh_repair *d, uint32_t slot, uint32_t attempt) {
  sh_slot *t = sh_slot_at(&d->seg, slot);
  sh_call_view call;
  (void)sh_look_at_call(&d->seg, t, &call);
  for (uint32_t i = 0; i < call.n_returns; i++)
    sh_counts_unfill(&d->counts, sh_view_return(&call, i));
  sh_store32_relaxed(&t->x_attempt, attempt);
}

/* Why the task's process died, as far as the task is concerned. */
static sh_verdict verdict_on(const sh_repair *d, uint64_t word) {
  sh_verdict verdict = d->verdicts[sh_word_who(word)];
  bool about_one = verdict == SH_VERDICT_CANCEL || verdict == SH_VERDICT_OVERDUE || verdict == SH_VERDICT_REMOVED;
  if (sh_word_state(word) == SH_TASK_CANCELLED)
    return SH_VERDICT_CANCEL;
  if (sh_word_state(word) == SH_TASK_OVERDUE)
    return SH_VERDICT_OVERDUE;
  return about_one && sh_word_state(word) != SH_TASK_KILLING ? SH_VERDICT_NONE : verdict;
}

/* A crash costs one of max_retries; the daemon's verdict about memory has its own rules. */
static void sweep_running(sh_repair *d, uint32_t slot, uint64_t word, const sh_system_error *error) {
  sh_slot *t = sh_slot_at(&d->seg, slot);
  sh_verdict verdict = verdict_on(d, word);
  uint32_t attempt = sh_load32_relaxed(&t->x_attempt) + 1U;
  uint32_t pressed = (uint32_t)sh_load8_relaxed(&t->x_pressed) + (verdict == SH_VERDICT_PRESSURE ? 1U : 0U);
  bool retry = verdict != SH_VERDICT_LIMIT && verdict != SH_VERDICT_CANCEL && verdict != SH_VERDICT_REMOVED &&
               (verdict != SH_VERDICT_OVERDUE || (t->flags & SH_SLOT_RETRY_OVERDUE));
  if (t->flags & SH_SLOT_ACTOR_CALL)
    retry = retry && retries_actor_call(d, t, attempt);
  else if (verdict == SH_VERDICT_PRESSURE)
    retry = retry && t->max_retries > 0 && pressed <= d->pressed_max;
  else
    retry = retry && attempt - pressed <= t->max_retries;
  if (!retry) {
    static const uint32_t codes[] = {[SH_VERDICT_LIMIT] = SH_ERR_OUT_OF_MEMORY,
                                     [SH_VERDICT_PRESSURE] = SH_ERR_OUT_OF_MEMORY,
                                     [SH_VERDICT_CANCEL] = SH_ERR_CANCELLED,
                                     [SH_VERDICT_OVERDUE] = SH_ERR_TIMED_OUT,
                                     [SH_VERDICT_REMOVED] = SH_ERR_GROUP_REMOVED};
    sh_system_error told = *error;
    if (told.code == SH_ERR_ACTOR_DIED && sh_known_class(d, told.class_id)->x_restarts)
      told.code = SH_ERR_ACTOR_UNAVAILABLE;
    if (verdict != SH_VERDICT_NONE)
      told.code = codes[verdict];
    if (verdict == SH_VERDICT_REMOVED)
      told.class_id = sh_slot_class(t);
    sh_sweep_resolve(d, slot, word, &told);
    return;
  }
  sh_store8_relaxed(&t->x_pressed, (uint8_t)pressed);
  /* What it was told, the next attempt is told too; but what was cancelled with it is to be made again. */
  uint32_t made = sh_load32_relaxed(&t->x_made) & SH_MADE_BELOW;
  sh_store32_relaxed(&t->x_made, made | (verdict == SH_VERDICT_OVERDUE ? SH_MADE_FAILED : 0U));
  next_attempt(d, slot, attempt);
  if (verdict == SH_VERDICT_PRESSURE && !(t->flags & SH_SLOT_ACTOR_CALL))
    put_off(d, slot, word, pressed);
  else
    back_to_ready(d, slot, word);
}

bool sh_sweep_repeat(sh_repair *d, uint32_t slot, uint64_t word) {
  if (!sh_may_retry(&d->self, slot))
    return false;
  next_attempt(d, slot, sh_load32_relaxed(&sh_slot_at(&d->seg, slot)->x_attempt) + 1U);
  back_to_ready(d, slot, word);
  return true;
}

static void sweep_slots(sh_repair *d, uint32_t client, const sh_system_error *error) {
  const sh_pool *p = sh_pool_of(&d->seg, SH_POOL_SLOT);
  uint32_t end = slots_in_use(&d->seg);
  for (uint32_t i = 0; i < end; i++) {
    uint32_t chunk = i / p->chunk_records;
    if (!sh_pool_is_of(&d->seg, p, chunk, client) && !sh_pool_is_marked(sh_claims_word(&d->seg, client, 0), chunk)) {
      i |= p->chunk_records - 1U; /* on to the next chunk */
      continue;
    }
    sh_slot *t = sh_slot_at(&d->seg, i);
    uint64_t word = sh_load_acquire(&t->word);
    uint32_t state = sh_word_state(word);
    if (state == SH_FREE || state == SH_TASK_READY || state == SH_TASK_WAITING || state == SH_TASK_LOGGED ||
        sh_word_who(word) != client)
      continue;
    sh_call_view call;
    if (state != SH_BUILDING && state != SH_QUARANTINED && !sh_look_at_call(&d->seg, t, &call)) {
      sh_quarantine_slot(d, i, word);
      continue;
    }
    if (state == SH_BUILDING)
      sh_counts_done(&d->counts, i, word); /* its returns fall with their dead owner's entries */
    else if (state == SH_TASK_CLAIMED)
      back_to_ready(d, i, word);
    else if (sh_task_has_begun(state)) {
      sh_stream_rest(&d->self, i);
      sweep_running(d, i, word, error);
    } else if (state == SH_TASK_COMMITTED)
      sh_sweep_finish(d, i, word);
  }
}

/* The hint that the dead client was putting in or taking out. */
static void sweep_intent(sh_repair *d, uint32_t client) {
  sh_client *c = sh_client_at(&d->seg, client);
  sh_ref r = sh_ref_unpack(sh_load_acquire(&c->op));
  if (r.generation != 0 && r.index < sh_pool_capacity(sh_pool_of(&d->seg, SH_POOL_SLOT))) {
    uint64_t word = sh_load_acquire(&sh_slot_at(&d->seg, r.index)->word);
    if (sh_word_generation(word) == r.generation) {
      if (sh_word_state(word) == SH_TASK_READY) {
        /* Its own hint may be in, and not announced: an actor takes ours after those in the caller's ring. */
        if (sh_word_who(word) < SH_MAX_CLASSES)
          sh_fetch_or(&sh_class_at(&d->seg, sh_word_who(word))->x_bits[client / 64U], 1ULL << (client % 64U));
        sh_task_hint(&d->self, r.index);
      } else if (sh_word_state(word) == SH_TASK_WAITING)
        sh_task_deliver(&d->self, r.index, word); /* early: its claimer waits again */
    }
  }
  sh_store_release(&c->op, 0);
}

/* A promise whose submission was never published: nobody will resolve it. */
static bool is_orphan(sh_repair *d, sh_entry *e) {
  uint64_t producer = sh_load_relaxed(&e->producer);
  sh_ref r = sh_ref_unpack(producer);
  if (producer == 0 || r.index >= sh_pool_capacity(sh_pool_of(&d->seg, SH_POOL_SLOT)))
    return false;
  uint64_t word = sh_load_acquire(&sh_slot_at(&d->seg, r.index)->word);
  return sh_word_generation(word) != r.generation || sh_word_state(word) == SH_FREE;
}

static void sweep_entries(sh_repair *d, uint32_t client) {
  const sh_pool *p = sh_pool_of(&d->seg, SH_POOL_ENTRY);
  uint32_t end = sh_pool_used_chunks(&d->seg, SH_POOL_ENTRY) * p->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    uint32_t chunk = i / p->chunk_records;
    if (!sh_pool_is_of(&d->seg, p, chunk, client) && !sh_pool_is_marked(sh_given_word(&d->seg, client, 0), chunk)) {
      i |= p->chunk_records - 1U;
      continue;
    }
    sh_entry *e = sh_entry_at(&d->seg, i);
    uint64_t word = sh_load_acquire(&e->word);
    if (sh_word_state(word) == SH_FREE || sh_word_who(word) != client)
      continue;
    sh_ref r = {.index = i, .generation = sh_word_generation(word)};
    if (sh_word_state(word) == SH_BUILDING) {
      (void)sh_pool_free(&d->seg, SH_POOL_ENTRY, NULL, 0, i, word);
      continue;
    }
    sh_count *count = &d->counts.entries[i];
    bool counted = count->generation == r.generation && count->n > 0;
    if ((sh_load32_relaxed(&e->x_owner_flags) & SH_OWNER_SHARED) && counted)
      continue; /* others hold it */
    if (is_orphan(d, e))
      (void)sh_entry_close(e, r.generation);
    sh_counts_abandon(&d->counts, r);
  }
}

static bool is_listed(sh_waiters ws, uint64_t head, uint32_t index) {
  uint32_t at = (uint32_t)head & SH_HEAD_TOP_MASK;
  for (sh_waiter_path path = {0}; sh_waiter_goes_on(&path, at, ws.capacity);) {
    if (at == index + 1U)
      return true;
    at = sh_load32_relaxed(&ws.records[at - 1U].next);
  }
  return false;
}

/* Waiters that a dead client was building or had not listed yet. */
static void sweep_waiters(sh_repair *d, uint32_t client) {
  const sh_pool *p = sh_pool_of(&d->seg, SH_POOL_WAITER);
  sh_waiters ws = sh_waiters_of(&d->seg);
  uint32_t end = sh_pool_used_chunks(&d->seg, SH_POOL_WAITER) * p->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    if (!sh_pool_is_of(&d->seg, p, i / p->chunk_records, client)) {
      i |= p->chunk_records - 1U;
      continue;
    }
    uint64_t word = sh_load_acquire(&ws.records[i].word);
    if (sh_word_who(word) != client)
      continue;
    bool stale = sh_word_state(word) == SH_BUILDING;
    if (sh_word_state(word) == SH_WAITER_LIVE && !sh_load32_relaxed(&ws.records[i].x_listed)) {
      sh_ref r = sh_ref_unpack(sh_load_relaxed(&ws.records[i].promise));
      sh_entry *e = sh_entry_checked(&d->seg, r);
      /* At most one of a client is not listed: the walk is not repeated for each waiter. */
      stale = !e || !is_listed(ws, sh_load_acquire(&e->head), i);
    }
    if (stale)
      (void)sh_pool_free(&d->seg, SH_POOL_WAITER, NULL, 0, i, word);
  }
}

/* Rings that were made and not named. Named ones stay for the next client of this record. */
static void sweep_rings(sh_repair *d, uint32_t client) {
  const sh_pool *p = sh_pool_of(&d->seg, SH_POOL_RING);
  uint32_t end = sh_pool_used_chunks(&d->seg, SH_POOL_RING) * p->chunk_records;
  for (uint32_t i = 0; i < end; i++) {
    sh_ring *ring = sh_ring_at(&d->seg, i);
    uint64_t word = sh_load_acquire(&ring->word);
    if (sh_word_state(word) == SH_FREE || sh_word_who(word) != client)
      continue;
    bool named = sh_word_state(word) != SH_BUILDING && ring->class_id < SH_MAX_CLASSES &&
                 sh_load32_relaxed(sh_ring_of(&d->seg, client, ring->class_id)) == i + 1U;
    if (!named)
      (void)sh_pool_free(&d->seg, SH_POOL_RING, NULL, 0, i, word);
  }
}

static void free_orphan(void *context, uint64_t loc, uint64_t tag, uint64_t bytes) {
  (void)bytes;
  sh_repair *d = context;
  sh_ref r = sh_tag_ref(tag);
  bool owned = false;
  if (sh_tag_kind_of(tag) == SH_TAG_ENTRY) {
    sh_entry *e = sh_entry_checked(&d->seg, r);
    owned = e && sh_load_relaxed(&e->loc) == loc;
  } else if (sh_tag_kind_of(tag) == SH_TAG_SLOT && r.index < sh_pool_capacity(sh_pool_of(&d->seg, SH_POOL_SLOT))) {
    sh_slot *t = sh_slot_at(&d->seg, r.index);
    uint64_t word = sh_load_acquire(&t->word);
    owned =
        sh_word_generation(word) == r.generation && sh_word_state(word) != SH_FREE && sh_load_relaxed(&t->loc) == loc;
  } else if (sh_tag_kind_of(tag) == SH_TAG_RING) {
    owned = true; /* cells stay with their ring, which the next client of this record inherits */
  }
  if (!owned)
    (void)sh_heap_free(&d->seg, NULL, 0, loc, tag);
}

static void sweep_seats_and_bits(sh_repair *d, uint32_t client) {
  sh_segment_header *h = d->seg.header;
  sh_seats *seats = sh_seats_of(&d->seg);
  for (uint32_t i = 0; i < d->seg.fixed.n_seats; i++) {
    uint64_t word = sh_load_acquire(&seats->seat[i].word);
    if (sh_seat_state_of(word) != SH_SEAT_FREE && sh_seat_client(word) == client)
      (void)sh_cas(&seats->seat[i].word, &word, sh_seat_word(0, SH_SEAT_FREE, (uint32_t)(word >> 32) + 1U));
  }
  uint64_t keep = ~(1ULL << (client % 64U));
  sh_fetch_and(&h->x_idle[client / 64U], keep);
  sh_fetch_and(&h->x_spinning[client / 64U], keep);
  sh_fetch_and(&h->x_blocked[client / 64U], keep);
  sh_fetch_and(&h->x_unseated[client / 64U], keep);
  sh_fetch_and(&h->x_minding[client / 64U], keep);
  sh_store8_seqcst(sh_run_state_of(&d->seg, client), SH_RUN_NONE);
}

/* The chunks that the dead client had claimed stay claimed, by the daemon. Arenas count themselves. */
static void inherit_claims(sh_repair *d, uint32_t client) {
  sh_client *dead = sh_client_at(&d->seg, client), *me = d->self.me;
  sh_bump(&me->x_claimed_store, sh_load_relaxed(&dead->x_claimed_store));
  sh_bump(&me->x_claimed_records, sh_load_relaxed(&dead->x_claimed_records));
  sh_store_relaxed(&dead->x_claimed_store, 0);
  sh_store_relaxed(&dead->x_claimed_records, 0);
}

/* A dead process looks at nothing. Its bitmap is given back instead of written: most of it was never touched. */
static void sweep_pins(sh_repair *d, uint32_t client) {
  uint64_t bytes = sh_pins_bytes(&d->seg), at = d->seg.fixed.regions[SH_REGION_PINS] + client * bytes;
  if (bytes % 4096U == 0 && sh_os_punch(d->seg.fd, at, bytes) == 0)
    return;
  for (uint32_t i = 0; i < sh_pool_capacity(sh_pool_of(&d->seg, SH_POOL_ENTRY)); i += 64U)
    sh_store_relaxed(sh_pins_word(&d->seg, client, i), 0);
}

/* Nobody is to be woken for its calls until the next process is there. */
static void let_taker_go(sh_repair *d, uint32_t class_id, uint32_t client) {
  sh_class *k = sh_known_class(d, class_id);
  if (k->x_taker != client + 1U)
    return;
  k->x_taker = 0;
  (void)sh_publish_class(d, class_id);
}

void sh_sweep_client(sh_repair *d, uint32_t client) {
  sh_client *c = sh_client_at(&d->seg, client), *k = sh_known_client(d, client);
  uint32_t epoch = k->x_epoch;
  k->x_state = SH_CLIENT_DYING;
  k->x_fenced = 1U;
  (void)sh_publish_client(d, client);
  sh_system_error error = {
      .code = SH_ERR_WORKER_DIED, .client = client, .epoch = epoch, .pid = k->x_pid, .wait_status = -1};
  if (k->x_role == SH_ROLE_ACTOR) {
    error.code = SH_ERR_ACTOR_DIED;
    error.class_id = k->x_class;
    let_taker_go(d, k->x_class, client);
  }
  /* Its log to the end, with everything elsewhere that preceded it. It does not grow any more: one round reads it whole,
   * and to wait for the logs of the living to run dry would be to wait for ever. */
  (void)sh_counts_read(&d->counts);
  sweep_seats_and_bits(d, client);
  sh_lease_end(d, client);
  sweep_intent(d, client);
  sh_stream_settle(&d->self, client);
  sh_children_collect(d, client);
  sweep_slots(d, client, &error);
  if (k->x_role == SH_ROLE_ACTOR)
    sh_log_end_all(d, k->x_class); /* if its class is closed */
  sweep_pins(d, client);
  sh_counts_forget(&d->counts, client);
  sweep_entries(d, client);
  sweep_waiters(d, client);
  sweep_rings(d, client);
  sh_heap_visit(&d->seg, client, free_orphan, d);
  inherit_claims(d, client);
  for (uint32_t pool = SH_POOL_ENTRY; pool < SH_POOL_BLOCK; pool++)
    sh_pool_release_chunks(&d->seg, pool, client);
  for (uint32_t w = 0; w < sh_claims_words(&d->seg); w++)
    if (sh_load_relaxed(sh_claims_word(&d->seg, client, w * 64U)))
      sh_store_relaxed(sh_claims_word(&d->seg, client, w * 64U), 0);
  for (uint32_t w = 0; w < sh_given_words(&d->seg); w++)
    if (sh_load_relaxed(sh_given_word(&d->seg, client, w * 64U)))
      sh_store_relaxed(sh_given_word(&d->seg, client, w * 64U), 0);
  sh_heap_release(&d->seg, client);
  sh_store_relaxed(&c->x_lease, 0);
  sh_store_relaxed(&c->x_room_wanted, 0);
  k->x_pid = 0;
  k->x_state = SH_CLIENT_FREE;
  (void)sh_publish_client(d, client);
  d->verdicts[client] = SH_VERDICT_NONE;
  d->sweeps++;
  sh_event_add(d, SH_EVENT_CLIENT_SWEPT, client, epoch, 0);
  sh_wake_worker(&d->seg);
}
