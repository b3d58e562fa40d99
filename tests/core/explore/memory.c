/* SPDX-License-Identifier: Apache-2.0
 *
 * The operations, under three memory models.
 *
 * SC   every load returns the newest value.
 * TSO  each process has a queue of stores that reach memory one by one, at any later time (x86).
 * C11  by histories and views (views.c): a load returns any message that its process may read. RMWs read the newest one and
 *      continue its release sequence. A store may take its place before messages that its process has not seen. Loads are not
 *      satisfied by later stores of the same process ("out of thin air" and load buffering are excluded, as in RC11). */
#include "views.h"

#include <stdatomic.h>

const char *const xp_model_names[XP_MODELS] = {"sc", "tso", "c11"};
xp_model xp_model_now;

/* As the running process sees it: behind its own queue. */
static uint64_t read_own(const volatile void *at, uint32_t bytes) {
  const xp_thread *t = &xp_threads[xp_me()];
  for (uint32_t i = t->n; i-- > t->first;)
    if (t->stores[i].at == at)
      return t->stores[i].value;
  return xp_read_memory(at, bytes);
}

/* A store that nobody else can see is no point, but one may die before it, and then others look at what is there. */
static void pass(xp_kind kind, const volatile void *at, const void *pc) {
  if (xp_in_world(at) && xp_exploring() && xp_me() != XP_EVERYBODY)
    xp_pass(kind, at, pc);
}

/* ---- by nobody: at once, on the newest ---- */

static void nobody_writes(volatile void *at, uint32_t bytes, uint64_t value) {
  if (xp_model_now == XP_C11 && xp_is_known_shared(at) && xp_exploring()) {
    uint32_t i = xp_word_at(at, bytes);
    for (uint32_t p = 0; p < XP_PROCESSES; p++)
      xp_join_view(&xp_threads[XP_EVERYBODY].now, &xp_threads[p].now);
    xp_message *m = xp_new_message(value, xp_newest_message(&xp_words[i])->time + XP_TIME_GAP);
    m->glued = true;
    xp_insert(&xp_words[i], xp_words[i].n, m);
    xp_publish(XP_EVERYBODY, i, m, memory_order_seq_cst, NULL);
    return;
  }
  xp_write_memory(at, bytes, value);
}

/* ---- operations ---- */

static const volatile uint8_t *exclusive;
static size_t exclusive_bytes;

void xp_never_overlaps(const volatile void *at, size_t bytes) {
  exclusive = at;
  exclusive_bytes = bytes;
}

static void look_for_overlap(const volatile void *at, uint32_t bytes, bool write, const void *pc) {
  if ((uintptr_t)at - (uintptr_t)exclusive < exclusive_bytes)
    xp_plain(at, bytes, write, pc);
}

uint64_t xp_load(const volatile void *at, uint32_t bytes, int order, const void *pc) {
  look_for_overlap(at, bytes, false, pc);
  if (xp_in_world(at) && !xp_is_atomic(at)) /* sh_peek: what others write is plain */
    xp_plain(at, bytes, false, pc);
  if (!xp_in_world(at) || !xp_is_shared(at, false) || xp_me() == XP_EVERYBODY)
    return read_own(at, bytes);
  xp_point(XP_LOAD, at, pc);
  uint32_t me = xp_me(), i = xp_word_at(at, bytes);
  uint64_t value = read_own(at, bytes);
  if (xp_model_now == XP_C11) {
    uint32_t first = xp_oldest(me, i, order), n = xp_words[i].n - first;
    value = xp_take(me, i, xp_in_history(&xp_words[i], xp_words[i].n - 1U - xp_choose(n)), order);
    xp_trim(i);
  }
  xp_note(XP_LOAD, at, (uint64_t)order, value);
  return value;
}

void xp_store(volatile void *at, uint32_t bytes, uint64_t value, int order, const void *pc) {
  look_for_overlap(at, bytes, true, pc);
  if (!xp_in_world(at) || !xp_is_shared(at, true)) {
    pass(XP_STORE, at, pc);
    xp_write_memory(at, bytes, value);
    return;
  }
  if (xp_me() == XP_EVERYBODY) {
    nobody_writes(at, bytes, value);
    return;
  }
  xp_point(XP_STORE, at, pc);
  uint32_t me = xp_me(), i = xp_word_at(at, bytes);
  xp_note(XP_STORE, at, (uint64_t)order, value);
  if (xp_model_now == XP_TSO && order != memory_order_seq_cst) {
    xp_thread *t = &xp_threads[me];
    if (t->n == XP_STORE_QUEUE)
      xp_fail(__FILE__, __LINE__, "a store queue is full", t->n, 0);
    t->stores[t->n++] = (xp_queued){.at = at, .bytes = bytes, .value = value};
    return;
  }
  if (xp_model_now == XP_C11) {
    uint32_t places = 1;
    xp_word *w = &xp_words[i];
    while (places < w->n && xp_in_history(w, w->n - places)->time > xp_threads[me].now.at[i] &&
           order != memory_order_seq_cst)
      places++;
    uint32_t at_place = w->n - xp_choose(places);
    while (at_place < w->n && xp_in_history(w, at_place)->glued)
      at_place++; /* not between an RMW and what it read */
    uint32_t before = xp_in_history(w, at_place - 1U)->time;
    uint32_t time = at_place < w->n ? before + (xp_in_history(w, at_place)->time - before) / 2U : before + XP_TIME_GAP;
    xp_message *m = xp_new_message(value, time);
    xp_insert(w, at_place, m);
    xp_publish(me, i, m, order, NULL);
    xp_trim(i);
    return;
  }
  if (xp_model_now == XP_TSO)
    while (xp_memory_pending(me))
      xp_memory_flush(me);
  xp_write_memory(at, bytes, value);
}

static uint64_t fit(uint32_t bytes, uint64_t value) {
  return bytes == 8U ? value : value & ((1ULL << (8U * bytes)) - 1U);
}

static uint64_t rmw_now(volatile void *at, uint32_t bytes, xp_change change, uint64_t operand, int order) {
  uint32_t me = xp_me(), i = xp_word_at(at, bytes);
  if (xp_model_now == XP_TSO)
    while (xp_memory_pending(me))
      xp_memory_flush(me);
  uint64_t before = xp_read_memory(at, bytes), after = fit(bytes, change(before, operand));
  if (xp_model_now == XP_C11) {
    xp_word *w = &xp_words[i];
    xp_message *read = xp_newest_message(w);
    before = xp_take(me, i, read, order);
    after = fit(bytes, change(before, operand));
    xp_message *m = xp_new_message(after, read->time + XP_TIME_GAP);
    m->glued = true;
    xp_insert(w, w->n, m);
    xp_publish(me, i, m, order, &read->seen);
    xp_trim(i);
  } else {
    xp_write_memory(at, bytes, after);
  }
  xp_note(XP_RMW, at, before, after);
  return before;
}

uint64_t xp_rmw(volatile void *at, uint32_t bytes, xp_change change, uint64_t operand, int order, const void *pc) {
  if (!xp_in_world(at) || !xp_is_shared(at, true) || xp_me() == XP_EVERYBODY) {
    pass(XP_RMW, at, pc);
    uint64_t before = xp_read_memory(at, bytes);
    if (xp_in_world(at) && xp_me() == XP_EVERYBODY)
      nobody_writes(at, bytes, change(before, operand));
    else
      xp_write_memory(at, bytes, change(before, operand));
    return before;
  }
  xp_point(XP_RMW, at, pc);
  return rmw_now(at, bytes, change, operand, order);
}

static uint64_t put(uint64_t before, uint64_t operand) {
  (void)before;
  return operand;
}

/* It succeeds on the newest xp_message only; it fails on any that may be read and differs. Apart, so that its table is not on the
 * stack of a process that waits for its turn. */
static __attribute__((noinline)) bool cas_now(volatile void *at, uint32_t bytes, uint64_t *expected, uint64_t desired,
                                              int order, int failure) {
  uint32_t me = xp_me(), i = xp_word_at(at, bytes), first = xp_oldest(me, i, failure), n = 0, choices[XP_MAX_HISTORY];
  uint64_t wanted = *expected;
  xp_word *w = &xp_words[i];
  for (uint32_t m = w->n; m-- > first;)
    if (m == w->n - 1U || xp_in_history(w, m)->value != wanted)
      choices[n++] = m;
  const xp_message *m = xp_in_history(w, choices[xp_choose(n)]);
  if (m == xp_newest_message(w) && m->value == wanted) {
    (void)rmw_now(at, bytes, put, desired, order);
    return true;
  }
  *expected = xp_take(me, i, m, failure);
  xp_trim(i);
  xp_note(XP_LOAD, at, (uint64_t)failure, *expected);
  return false;
}

bool xp_cas(volatile void *at, uint32_t bytes, uint64_t *expected, uint64_t desired, int order, int failure,
            const void *pc) {
  uint64_t wanted = *expected;
  if (!xp_in_world(at) || !xp_is_shared(at, true) || xp_me() == XP_EVERYBODY) {
    pass(XP_RMW, at, pc);
    uint64_t before = xp_read_memory(at, bytes);
    if (before != wanted) {
      *expected = before;
      return false;
    }
    if (xp_in_world(at) && xp_me() == XP_EVERYBODY)
      nobody_writes(at, bytes, desired);
    else
      xp_write_memory(at, bytes, desired);
    return true;
  }
  xp_point(XP_RMW, at, pc);
  uint32_t me = xp_me();
  (void)xp_word_at(at, bytes);
  if (xp_model_now != XP_C11) {
    if (xp_model_now == XP_TSO)
      while (xp_memory_pending(me))
        xp_memory_flush(me);
    uint64_t before = xp_read_memory(at, bytes);
    if (before == wanted) {
      (void)rmw_now(at, bytes, put, desired, order);
      return true;
    }
    xp_note(XP_LOAD, at, (uint64_t)failure, before);
    *expected = before;
    return false;
  }
  return cas_now(at, bytes, expected, desired, order, failure);
}

void xp_fence(int order, const void *pc) {
  uint32_t me = xp_me();
  if (!xp_exploring() || me == XP_EVERYBODY || xp_model_now == XP_SC)
    return;
  if (xp_model_now == XP_TSO) {
    /* Plain memory is written at once: what follows a release fence must not overtake what waits in the queue. */
    if ((order != memory_order_seq_cst && order != memory_order_release) || !xp_memory_pending(me))
      return;
    xp_point(XP_FENCE, NULL, pc);
    while (xp_memory_pending(me))
      xp_memory_flush(me);
    return;
  }
  xp_thread *t = &xp_threads[me];
  if (xp_acquires(order))
    xp_join_view(&t->now, &t->for_acquire);
  if (order == memory_order_seq_cst) {
    xp_point(XP_FENCE, NULL, pc);
    xp_join_words(&t->now, &xp_agreed);
    xp_join_words(&t->for_acquire, &xp_agreed);
    xp_join_words(&xp_agreed, &t->now);
    xp_note(XP_FENCE, NULL, (uint64_t)order, 0);
  }
  if (xp_releases(order)) {
    xp_copy_view(&t->for_release, &t->now);
    xp_tick_clock(me);
  }
}

/* The kernel reads on behalf of the process: the newest, which the process cannot read behind from then on. */
uint64_t xp_newest(const volatile void *at, uint32_t bytes) {
  uint32_t me = xp_me();
  bool is = xp_is_shared(at, false);
  while (me != XP_EVERYBODY && xp_memory_pending(me))
    xp_memory_flush(me);
  if (is && me != XP_EVERYBODY && xp_model_now == XP_C11) {
    uint32_t i = xp_word_at(at, bytes);
    (void)xp_take(me, i, xp_newest_message(&xp_words[i]), memory_order_relaxed);
  }
  return xp_read_memory(at, bytes);
}

/* ---- executions ---- */

void xp_memory_reset(void) {
  xp_views_reset();
  xp_plain_reset();
}

bool xp_memory_pending(uint32_t process) {
  return xp_threads[process].first < xp_threads[process].n;
}

void xp_memory_flush(uint32_t process) {
  xp_thread *t = &xp_threads[process];
  xp_queued *q = &t->stores[t->first++];
  xp_write_memory(q->at, q->bytes, q->value);
  if (t->first == t->n)
    t->first = t->n = 0;
}

void xp_memory_settle(void) {
  for (uint32_t p = 0; p < XP_PROCESSES; p++)
    while (xp_memory_pending(p))
      xp_memory_flush(p);
}

void xp_memory_inherit(uint32_t from) {
  xp_thread *t = &xp_threads[xp_me()];
  xp_join_view(&t->now, &xp_threads[from].now);
  xp_join_view(&t->for_acquire, &xp_threads[from].now);
  xp_tick_clock(from);
}

uint64_t xp_memory_hash(void) {
  if (xp_model_now == XP_C11)
    return xp_views_hash() + xp_plain_hash();
  uint64_t sum = 0;
  for (uint32_t p = 0; p < XP_PROCESSES; p++) {
    uint64_t h = p;
    for (uint32_t i = xp_threads[p].first; i < xp_threads[p].n; i++)
      h = xp_mix(xp_mix(h, xp_offset(xp_threads[p].stores[i].at)), xp_threads[p].stores[i].value);
    sum = xp_mix(sum, h);
  }
  return sum;
}
