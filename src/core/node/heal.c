/* SPDX-License-Identifier: Apache-2.0
 *
 * Damage: a peer may write over any word of the segment. What the daemon alone writes is written again. A task or a value that
 * cannot be right is quarantined, and who waits for it gets SH_ERR_DAMAGED. A record that only looks odd is doubted, and
 * acted upon when the next look finds it just the same: an operation may be under way. A look at everything takes as many
 * ticks as there are records in use, RECORDS_AT_ONCE at a time. It also finds what a death may leave in chunks of others, which
 * no sweep looks at. */
#include "node/call_log.h"
#include "node/known.h"
#include "node/look.h"
#include "node/task.h"

#define CLASSES_AT_ONCE 64U
#define RECORDS_AT_ONCE 2048U

void sh_quarantine(sh_repair *d, uint32_t what, uint32_t index) {
  d->quarantined++;
  sh_event_add(d, SH_EVENT_QUARANTINED, what, index, 0);
}

static void own_records(sh_repair *d) {
  if (sh_publish_header(d))
    sh_quarantine(d, SH_DAMAGED_HEADER, 0);
  for (uint32_t c = 0; c < d->clients_high; c++)
    if (sh_publish_client(d, c))
      sh_quarantine(d, SH_DAMAGED_CLIENT, c);
  for (uint32_t n = 0; n < CLASSES_AT_ONCE && n < d->classes_high; n++) {
    d->heal_class = d->heal_class + 1U < d->classes_high ? d->heal_class + 1U : 0;
    if (sh_publish_class(d, d->heal_class))
      sh_quarantine(d, SH_DAMAGED_CLASS, d->heal_class);
  }
}

/* A seat whose owner is nobody would be lost to the node. */
static void seats(sh_repair *d) {
  for (uint32_t i = 0; i < d->seg.fixed.n_seats; i++) {
    sh_a64 *seat = &sh_seats_of(&d->seg)->seat[i].word;
    uint64_t word = sh_load_acquire(seat);
    uint32_t client = sh_seat_client(word), state = sh_seat_state_of(word);
    bool right = state == SH_SEAT_FREE || (state == SH_SEAT_LEASED && client == 0) ||
                 ((state == SH_SEAT_IDLE || state == SH_SEAT_RUN) && client != 0 && sh_known_live(d, client));
    if (!right && sh_cas(seat, &word, sh_seat_word(0, SH_SEAT_FREE, (uint32_t)(word >> 32) + 1U)))
      sh_quarantine(d, SH_DAMAGED_SEAT, i);
  }
}

/* Was the record just like this, and as odd, at the last look? */
static bool doubted_before(uint64_t *doubt, uint64_t word) {
  bool before = *doubt == word;
  *doubt = before ? 0 : word;
  return before;
}

static bool is_hinted(sh_repair *d, uint32_t class_id) {
  for (uint32_t c = 0; c < d->clients_high; c++) {
    const sh_ring *ring = sh_ring_named(&d->seg, c, class_id);
    if (ring && sh_ring_length(ring))
      return true;
  }
  return false;
}

/* Does the argument that a WAITING task waits for still have to come? */
static bool is_awaited(sh_repair *d, sh_slot *t, const sh_call_view *call) {
  uint32_t at = sh_load32_relaxed(&t->x_cursor);
  if (at >= call->n_rows)
    return false;
  sh_ref r = sh_look_at_row(&call->rows[at]);
  sh_entry *e = sh_entry_checked(&d->seg, r);
  return e && !sh_entry_is_closed(e, r.generation);
}

static void look_at_slot(sh_repair *d, uint32_t i) {
  sh_slot *t = sh_slot_at(&d->seg, i);
  uint64_t word = sh_load_acquire(&t->word), *doubt = &d->slot_doubts[i];
  uint32_t state = sh_word_state(word), who = sh_word_who(word);
  if (state == SH_FREE || state == SH_BUILDING || state == SH_QUARANTINED)
    return;
  sh_call_view call;
  bool sound = sh_look_at_call(&d->seg, t, &call) && state <= SH_TASK_LAST;
  bool unclaimed = state == SH_TASK_READY || state == SH_TASK_WAITING, logged = state == SH_TASK_LOGGED;
  if (sound && (unclaimed || logged))
    sound = who == sh_slot_class(t) && who < SH_MAX_CLASSES && sh_known_class(d, who)->word != 0;
  if (sound && logged)
    sound = sh_known_class(d, who)->logs;
  if (sound && !unclaimed && !logged)
    sound = sh_known_live(d, who) && (who != 0 || state == SH_TASK_CLAIMED ||
                                      state >= SH_TASK_CANCELLED); /* else nobody ends it; 0: put off, or let go of */
  if (!sound) {
    if (doubted_before(doubt, word))
      sh_quarantine_slot(d, i, word);
    return;
  }
  const sh_class *k = sh_known_class(d, who);
  if (logged) {
    if (sh_word_state(k->word) != SH_CLASS_LIVE && doubted_before(doubt, word))
      sh_log_end(d, i, word); /* the bit was lost that leads there */
    return;
  }
  bool refused = unclaimed && sh_word_state(k->word) == SH_CLASS_CLOSED; /* the bit was lost that leads there */
  if (refused && doubted_before(doubt, word))
    d->repairs += sh_sweep_refuse(d, i, word, &k->end);
  if (refused)
    return;
  uint32_t kind = k->kind;
  bool lost = (state == SH_TASK_READY && kind != SH_CLASS_ACTOR && !is_hinted(d, who)) ||
              (state == SH_TASK_WAITING && !is_awaited(d, t, &call));
  if (!lost || !doubted_before(doubt, word))
    return;
  if (state == SH_TASK_READY)
    sh_task_hint(&d->self, i);
  else
    sh_task_deliver(&d->self, i, word);
  d->repairs++;
}

static bool has_producer(sh_repair *d, sh_entry *e) {
  sh_ref task = sh_ref_unpack(sh_load_relaxed(&e->producer));
  if (task.index >= sh_pool_capacity(sh_pool_of(&d->seg, SH_POOL_SLOT)))
    return false;
  uint64_t word = sh_load_acquire(&sh_slot_at(&d->seg, task.index)->word);
  return sh_word_generation(word) == task.generation && sh_word_state(word) != SH_FREE &&
         sh_word_state(word) != SH_QUARANTINED;
}

static bool has_value(sh_repair *d, sh_entry *e) {
  uint64_t loc = sh_load_relaxed(&e->loc), size = sh_load_relaxed(&e->size_flags);
  if (sh_loc_kind_of(loc) == SH_LOC_SPILLED)
    return true; /* on disk: its reader asks the daemon, who knows */
  uint64_t room = sh_loc_kind_of(loc) == SH_LOC_INLINE ? SH_INLINE_BYTES : sh_heap_capacity(&d->seg, loc);
  return (size & SH_VALUE_SIZE_MASK) <= room;
}

static void tell_everybody(sh_repair *d) {
  for (uint32_t c = 1; c < d->clients_high; c++)
    (void)sh_park_wake(&sh_client_at(&d->seg, c)->park);
}

static void look_at_entry(sh_repair *d, uint32_t i) {
  sh_entry *e = sh_entry_at(&d->seg, i);
  uint64_t word = sh_load_acquire(&e->word), head = sh_load_acquire(&e->head), *doubt = &d->entry_doubts[i];
  uint32_t state = sh_word_state(word), generation = sh_word_generation(word);
  if (state == SH_FREE || state == SH_BUILDING || state == SH_QUARANTINED)
    return;
  bool is_closed = (head & SH_HEAD_CLOSED) != 0, is_its_own = sh_head_is(head, generation);
  if (state == SH_ENTRY_LIVE && is_its_own && (is_closed ? has_value(d, e) : has_producer(d, e)))
    return;
  if (!doubted_before(doubt, word))
    return;
  sh_quarantine(d, SH_POOL_ENTRY, i);
  if (state != SH_ENTRY_LIVE) {
    (void)sh_cas(&e->word, &word, sh_word(generation, SH_QUARANTINED, sh_word_who(word), sh_word_tag(word)));
    return;
  }
  if (!is_its_own) /* its list is lost: tasks on it are found by their own doubt, clients look when they are woken */
    sh_store_seqcst(&e->head, (uint64_t)generation << 32);
  sh_fail_promise(d, (sh_ref){.index = i, .generation = generation}, SH_ERR_DAMAGED);
  tell_everybody(d);
}

/* A leftover of a list that was detached by somebody who died before he had freed it. A living sealer that is freeing such a
 * list finds some of it gone, which is all the same. */
static void look_at_waiter(sh_repair *d, uint32_t i) {
  sh_waiters ws = sh_waiters_of(&d->seg);
  uint64_t word = sh_load_acquire(&ws.records[i].word);
  if (sh_word_state(word) != SH_WAITER_LIVE)
    return;
  sh_entry *e = sh_entry_checked(&d->seg, sh_ref_unpack(sh_load_relaxed(&ws.records[i].promise)));
  uint64_t head = e ? sh_load_acquire(&e->head) : 0;
  if (!e || ((head & SH_HEAD_CLOSED) && !(head & SH_HEAD_TOP_MASK)))
    (void)sh_pool_free(&d->seg, SH_POOL_WAITER, NULL, 0, i, word);
}

typedef void (*look_fn)(sh_repair *d, uint32_t index);
static const look_fn looks[] = {
    [SH_POOL_ENTRY] = look_at_entry, [SH_POOL_SLOT] = look_at_slot, [SH_POOL_WAITER] = look_at_waiter};
#define LOOKED_AT (sizeof looks / sizeof *looks)

/* The record `at`, of the pools one after the other, and with the first one of a chunk its hints. False: past the last. */
static bool look_at(sh_repair *d, const uint32_t chunks[LOOKED_AT], uint32_t at) {
  for (uint32_t pool = 0; pool < LOOKED_AT; pool++) {
    uint32_t per_chunk = sh_pool_of(&d->seg, pool)->chunk_records, n = chunks[pool] * per_chunk;
    if (at < n) {
      if (at % per_chunk == 0)
        sh_pool_rehint(&d->seg, pool, at / per_chunk);
      looks[pool](d, at);
      return true;
    }
    at -= n;
  }
  return false;
}

void sh_heal(sh_repair *d) {
  own_records(d);
  seats(d);
  uint32_t chunks[LOOKED_AT];
  for (uint32_t pool = 0; pool < LOOKED_AT; pool++)
    chunks[pool] = sh_pool_used_chunks(&d->seg, pool);
  for (uint32_t n = 0; n < RECORDS_AT_ONCE; n++) {
    if (!look_at(d, chunks, d->heal_record)) {
      d->heal_record = 0; /* the next look begins again */
      return;
    }
    d->heal_record++;
  }
}
