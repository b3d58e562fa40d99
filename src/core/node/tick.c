/* SPDX-License-Identifier: Apache-2.0
 *
 * The tick: every 40 ms, repeat any step that has not moved since the last one. It is the one cure for stopped processes: a
 * spinner that cannot spin, a wake that was not finished, a waiter list half served, a hint taken and not claimed. Each
 * repeated step is idempotent; each that had an effect counts as a repair, and there are none without faults. */
#include "base/os.h"
#include "node/cancel.h"
#include "node/idle.h"
#include "node/known.h"
#include "node/look.h"
#include "node/object.h"
#include "node/repair.h"
#include "node/seat.h"
#include "node/task.h"

#include <limits.h>
#include <string.h>

#define TICKS_PER_SECOND (1000000000U / SH_TICK_NS)

/* A process that is stopped computes nothing: its seat is for those who wait for one. -> seats that came free. */
static uint32_t take_seats_of_the_stopped(sh_repair *d) {
  uint32_t n = 0, high = d->clients_high;
  for (uint32_t i = 0; i < d->seg.fixed.n_seats; i++) {
    sh_a64 *seat = &sh_seats_of(&d->seg)->seat[i].word;
    uint64_t word = sh_load_acquire(seat);
    uint32_t client = sh_seat_client(word);
    if (sh_seat_state_of(word) == SH_SEAT_RUN && client < SH_MAX_CLIENTS &&
        sh_os_is_stopped(sh_known_client(d, client)->x_pid))
      n += sh_cas(seat, &word, sh_seat_word(0, SH_SEAT_FREE, (uint32_t)(word >> 32) + 1U));
  }
  for (uint32_t c = 1; c < high; c++) {
    sh_a64 *unseated = &d->seg.header->x_unseated[c / 64U];
    uint64_t bit = 1ULL << (c % 64U);
    if ((sh_load_relaxed(unseated) & bit) && sh_os_is_stopped(sh_known_client(d, c)->x_pid))
      n += (sh_fetch_and(unseated, ~bit) & bit) != 0;
  }
  return n;
}

/* The hint that a stopped client holds between ring and claim. */
static void help_intent(sh_repair *d, uint32_t client, sh_progress *seen) {
  sh_client *c = sh_client_at(&d->seg, client);
  uint64_t op = sh_load_acquire(&c->op);
  sh_ref r = sh_ref_unpack(op);
  bool stuck = op != 0 && op == seen->op;
  seen->op = op;
  if (!stuck || r.index >= sh_pool_capacity(sh_pool_of(&d->seg, SH_POOL_SLOT)))
    return;
  uint64_t word = sh_load_acquire(&sh_slot_at(&d->seg, r.index)->word);
  if (sh_word_generation(word) != r.generation)
    return;
  if (sh_word_state(word) == SH_TASK_READY)
    sh_task_hint(&d->self, r.index);
  else if (sh_word_state(word) == SH_TASK_WAITING)
    sh_task_deliver(&d->self, r.index, word);
  else
    return;
  d->repairs++;
  /* It may have what the task needs, too. */
  if (d->leases[client].class_id)
    d->repairs += sh_lease_revoke(d);
  if (!sh_seats_open(&d->seg) && take_seats_of_the_stopped(d))
    sh_wake_worker(&d->seg);
}

/* The results of a task that its worker committed and did not finish publishing. */
static void help_commit(sh_repair *d, uint32_t client, sh_progress *seen) {
  uint64_t current = sh_load_acquire(&sh_client_at(&d->seg, client)->x_current);
  sh_ref r = sh_ref_unpack(current);
  uint64_t before = seen->committed;
  seen->committed = 0;
  if (current == 0 || r.index >= sh_pool_capacity(sh_pool_of(&d->seg, SH_POOL_SLOT)))
    return;
  sh_slot *t = sh_slot_at(&d->seg, r.index);
  uint64_t word = sh_load_acquire(&t->word);
  if (sh_word_generation(word) != r.generation || sh_word_state(word) != SH_TASK_COMMITTED ||
      sh_word_who(word) != client)
    return;
  seen->committed = current;
  if (current != before)
    return;
  bool helped = false, is_error = false;
  sh_call_view call;
  (void)sh_look_at_call(&d->seg, t, &call);
  for (uint32_t i = 0; i < call.n_returns; i++) {
    sh_ref e = sh_view_return(&call, i);
    uint64_t loc = sh_load_relaxed(&t->loc);
    /* (G) It may come back to life under us and free spec and slot: believe the reference only if both are still there. */
    sh_fence_acquire();
    if ((sh_loc_kind_of(loc) > SH_LOC_INLINE && !sh_heap_holds(&d->seg, loc, sh_tag(SH_TAG_SLOT, r))) ||
        sh_load_acquire(&t->word) != word)
      break;
    sh_entry *entry = sh_entry_checked(&d->seg, e);
    if (!entry)
      continue;
    is_error |= (sh_load_relaxed(&entry->size_flags) & SH_VALUE_ERROR) != 0;
    uint64_t head = sh_load_acquire(&entry->head);
    if ((head & SH_HEAD_CLOSED) && !(head & SH_HEAD_TOP_MASK))
      continue;
    (void)sh_entry_close(entry, e.generation);
    sh_serve_waiters(&d->self, e); /* freeing stays with the one who committed, or its sweep */
    helped = true;
  }
  if (is_error && seen->told != current) { /* once: all are closed now */
    seen->told = current;
    sh_tell_of_error(&d->seg);
  }
  d->repairs += helped;
}

static void help_parking(sh_repair *d, uint32_t client, sh_progress *seen) {
  sh_client *c = sh_client_at(&d->seg, client);
  uint32_t wake = sh_load32_acquire(&c->park.x_wake);
  if (sh_park_is_stuck(&c->park) && wake == seen->wake) {
    sh_os_futex_wake(&c->park.x_wake, INT_MAX);
    d->repairs++;
  }
  seen->wake = wake;
  uint64_t bit = 1ULL << (client % 64U);
  uint32_t beat = sh_load32_relaxed(&c->x_beat);
  if ((sh_load_relaxed(&d->seg.header->x_spinning[client / 64U]) & bit) && beat == seen->beat) {
    sh_fetch_and(&d->seg.header->x_spinning[client / 64U], ~bit);
    sh_store8_seqcst(sh_run_state_of(&d->seg, client), SH_RUN_PARKED);
    sh_wake_worker(&d->seg);
    d->repairs++;
  }
  seen->beat = beat;
}

static bool is_idle(sh_repair *d, uint32_t client) {
  return (sh_load_relaxed(&d->seg.header->x_idle[client / 64U]) & (1ULL << (client % 64U))) != 0;
}

static bool out_of_turn(sh_repair *d, sh_class *c) {
  uint32_t turn = sh_load32_relaxed(&sh_seats_of(&d->seg)->x_turn);
  return turn != 0 && turn != sh_load32_relaxed(&c->root);
}

/* Who sleeps and is stopped would not come: wake it, for when it is continued, and count it out. */
static void count_out_stopped_sleepers(sh_repair *d) {
  for (uint32_t c = 1, high = d->clients_high; c < high; c++) {
    if (!is_idle(d, c) || !sh_os_is_stopped(sh_known_client(d, c)->x_pid))
      continue;
    sh_fetch_and(&d->seg.header->x_idle[c / 64U], ~(1ULL << (c % 64U)));
    (void)sh_park_wake(&sh_client_at(&d->seg, c)->park);
  }
}

/* Clients that have a ring: few of many, as an actor that calls nobody has none. A ring outlives its writer. */
static void find_writers(const sh_repair *d, uint64_t writers[SH_CLIENT_WORDS]) {
  const sh_pool *p = sh_pool_of(&d->seg, SH_POOL_RING);
  for (uint32_t chunk = 0, n = sh_pool_used_chunks(&d->seg, SH_POOL_RING); chunk < n; chunk++) {
    uint32_t owner = sh_load32_acquire(sh_pool_owner(&d->seg, p, chunk));
    if (owner != SH_CHUNK_RELEASED) {
      if (owner - 1U < SH_MAX_CLIENTS)
        writers[(owner - 1U) / 64U] |= 1ULL << ((owner - 1U) % 64U);
      continue;
    }
    for (uint32_t i = chunk * p->chunk_records; i < (chunk + 1U) * p->chunk_records; i++) {
      const sh_ring *ring = sh_ring_at(&d->seg, i);
      uint32_t writer = sh_peek(&ring->writer);
      if (sh_word_state(sh_load_acquire(&ring->word)) != SH_FREE && writer < SH_MAX_CLIENTS)
        writers[writer / 64U] |= 1ULL << (writer % 64U);
    }
  }
}

/* What lies in the rings, by class. A client's row is read from end to end: by class and client it would be a cache miss
 * for each pair, which a thousand actors make a million. */
static void count_hints(sh_repair *d, uint32_t n_classes) {
  uint64_t writers[SH_CLIENT_WORDS] = {0};
  memset(d->backlog, 0, n_classes * sizeof *d->backlog);
  find_writers(d, writers);
  for (uint32_t w = 0; w < SH_CLIENT_WORDS; w++)
    for (uint64_t bits = writers[w]; bits; bits &= bits - 1U) {
      uint32_t client = w * 64U + (uint32_t)__builtin_ctzll(bits);
      for (uint32_t class_id = 0; class_id < n_classes; class_id++) {
        const sh_ring *ring = sh_ring_named(&d->seg, client, class_id);
        if (!ring)
          continue;
        uint64_t length = sh_ring_length(ring);
        d->backlog[class_id].heads += sh_load_relaxed(&ring->x_head);
        d->backlog[class_id].waiting += length;
        if (length && sh_word_state(sh_known_class(d, class_id)->word) == SH_CLASS_LIVE)
          sh_fetch_or(&sh_class_at(&d->seg, class_id)->x_bits[w], 1ULL << (client % 64U));
      }
    }
}

/* Work that lies while somebody who could do it sleeps. */
static void help_classes(sh_repair *d) {
  uint32_t n_classes = d->classes_high;
  count_hints(d, n_classes);
  for (uint32_t class_id = 0; class_id < n_classes; class_id++) {
    sh_class *known = sh_known_class(d, class_id);
    if (sh_word_state(known->word) != SH_CLASS_LIVE)
      continue;
    uint64_t waiting = d->backlog[class_id].waiting, seen = waiting ? d->backlog[class_id].heads + 1U : 0U;
    bool still = seen != 0 && seen == d->ring_heads[class_id];
    d->ring_heads[class_id] = seen;
    if (!still)
      continue;
    uint32_t kind = known->kind, taker = known->x_taker;
    if (kind == SH_CLASS_ACTOR) {
      if (taker && is_idle(d, taker - 1U)) { /* not one that is parked in get, or that runs as much as it may */
        (void)sh_park_wake(&sh_client_at(&d->seg, taker - 1U)->park);
        d->repairs++;
      }
      continue;
    }
    sh_fetch_or(&d->seg.header->x_task_classes[class_id / 64U], 1ULL << (class_id % 64U));
    if (kind == SH_CLASS_SEAT && !sh_seats_open(&d->seg)) {
      uint32_t taken = take_seats_of_the_stopped(d);
      d->repairs += taken;
      if (!taken)
        continue;
    }
    if (kind == SH_CLASS_LEASE || out_of_turn(d, known))
      continue;
    count_out_stopped_sleepers(d);
    for (uint64_t n = 0; n < waiting && sh_wake_worker_of(&d->seg, known->root, false); n++)
      d->repairs++;
  }
}

/* References that a process dropped and has not flushed, because it makes no call: two ticks in a row. */
static void ask_to_flush(sh_repair *d, uint32_t client, sh_progress *seen) {
  uint32_t buried = sh_load32_relaxed(&sh_client_at(&d->seg, client)->x_buried);
  seen->buried = buried ? seen->buried + 1U : 0;
  if (seen->buried == 2U)
    sh_event_add(d, SH_EVENT_FLUSH, client, 0, 0);
}

/* The front end measures processes under a memory limit; this says when: at each tick while one of them computes, and once a
 * second for those that only wait, which threads of their own may still let grow. */
static bool may_have_grown(sh_repair *d, uint32_t client) {
  if (sh_load_relaxed(&sh_client_at(&d->seg, client)->x_allowance) == 0)
    return false;
  return d->n_ticks % TICKS_PER_SECOND == 0 || sh_load8_relaxed(sh_run_state_of(&d->seg, client)) != SH_RUN_PARKED;
}

void sh_tick(sh_repair *d) {
  bool measure = false;
  d->n_ticks++;
  sh_a32 *clock = &d->seg.header->x_clock;
  sh_store32_relaxed(clock, sh_load32_relaxed(clock) + 1U);
  sh_heal(d);
  uint32_t high = d->clients_high;
  uint64_t now = sh_os_now_ns();
  for (uint32_t client = 1; client < high; client++) {
    if (!sh_known_live(d, client))
      continue;
    help_intent(d, client, &d->progress[client]);
    help_commit(d, client, &d->progress[client]);
    help_parking(d, client, &d->progress[client]);
    ask_to_flush(d, client, &d->progress[client]);
    sh_cancel_overdue(d, client, now);
    measure = measure || may_have_grown(d, client);
  }
  if (measure)
    sh_event_add(d, SH_EVENT_LIMITED, 0, 0, 0);
  help_classes(d);
  if (d->short_of_leases)
    d->repairs += sh_lease_revoke(d);
}
