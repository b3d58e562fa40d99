/* SPDX-License-Identifier: Apache-2.0
 *
 * C11 by views. Every word has its history, a list of messages in modification order. A process has a view: for each word,
 * the time of the oldest message that it may still read. A release store gives its view along; an acquire load takes it over.
 * Relaxed stores carry the view of the last release fence, relaxed loads are kept for the next acquire fence. Sequentially
 * consistent operations and fences meet in one more view. */
#include "views.h"

#include <stdatomic.h>

#define MAX_MESSAGES 20000U

xp_thread xp_threads[XP_PROCESSES + 1U];
xp_view xp_agreed;
xp_word xp_words[XP_MAX_WORDS];
static xp_message messages[MAX_MESSAGES];
static uint32_t n_words, n_messages;
static uint8_t number[XP_WORLD_BYTES]; /* by byte of the world: live word + 1 */

size_t xp_offset(const volatile void *p) {
  return (size_t)((uintptr_t)p - (uintptr_t)xp_world);
}

uint64_t xp_read_memory(const volatile void *at, uint32_t bytes) {
  uint64_t value = 0;
  __real_memcpy(&value, (const void *)(uintptr_t)at, bytes);
  return value;
}
void xp_write_memory(volatile void *at, uint32_t bytes, uint64_t value) {
  xp_dirty(at, bytes);
  __real_memcpy((void *)(uintptr_t)at, &value, bytes);
}

void xp_join_view(xp_view *into, const xp_view *from) {
  for (uint32_t i = 0; i <= XP_PROCESSES; i++)
    if (into->clock[i] < from->clock[i])
      into->clock[i] = from->clock[i];
  for (uint32_t i = 0; i < n_words; i++)
    if (into->at[i] < from->at[i])
      into->at[i] = from->at[i];
}

/* Only what they say about words: agreement is not synchronisation. */
void xp_join_words(xp_view *into, const xp_view *from) {
  for (uint32_t i = 0; i < n_words; i++)
    if (into->at[i] < from->at[i])
      into->at[i] = from->at[i];
}

void xp_copy_view(xp_view *to, const xp_view *from) {
  __real_memcpy(to, from, offsetof(xp_view, at) + n_words * sizeof *to->at);
}

bool xp_acquires(int order) {
  return order == memory_order_acquire || order == memory_order_consume || order == memory_order_acq_rel ||
         order == memory_order_seq_cst;
}
bool xp_releases(int order) {
  return order == memory_order_release || order == memory_order_acq_rel || order == memory_order_seq_cst;
}

/* ---- histories ---- */

xp_message *xp_new_message(uint64_t value, uint32_t time) {
  if (n_messages == MAX_MESSAGES)
    xp_fail(__FILE__, __LINE__, "too many messages", MAX_MESSAGES, 0);
  xp_message *m = &messages[n_messages++];
  m->value = value;
  m->time = time;
  m->glued = false;
  __real_memset(&m->seen, 0, offsetof(xp_view, at) + n_words * sizeof *m->seen.at);
  return m;
}

static void add_word_to_views(uint32_t i) {
  for (uint32_t t = 0; t <= XP_PROCESSES; t++)
    xp_threads[t].now.at[i] = xp_threads[t].for_acquire.at[i] = xp_threads[t].for_release.at[i] = 0;
  for (uint32_t m = 0; m < n_messages; m++)
    messages[m].seen.at[i] = 0;
  xp_agreed.at[i] = 0;
}

/* The word at `at`, with the history that it has in this execution. */
uint32_t xp_word_at(const volatile void *at, uint32_t bytes) {
  size_t o = xp_offset(at);
  if (number[o])
    return number[o] - 1U;
  if (n_words == XP_MAX_WORDS)
    xp_fail(__FILE__, __LINE__, "too many shared words", n_words, 0);
  uint32_t i = n_words++;
  number[o] = (uint8_t)(i + 1U);
  xp_words[i] = (xp_word){.at = (volatile void *)(uintptr_t)at, .bytes = bytes};
  add_word_to_views(i);
  xp_words[i].history[xp_words[i].n++] = (uint16_t)n_messages;
  (void)xp_new_message(xp_read_memory(at, bytes), XP_TIME_GAP);
  return i;
}

xp_message *xp_in_history(const xp_word *w, uint32_t i) {
  return &messages[w->history[i]];
}
xp_message *xp_newest_message(const xp_word *w) {
  return xp_in_history(w, w->n - 1U);
}

/* Messages that nobody may read any more are dropped, so that histories stay short and states meet again. */
void xp_trim(uint32_t number_of_word) {
  xp_word *w = &xp_words[number_of_word];
  uint32_t least = UINT32_MAX;
  for (uint32_t p = 0; p < XP_PROCESSES; p++)
    if (xp_lives(p) && xp_threads[p].now.at[number_of_word] < least)
      least = xp_threads[p].now.at[number_of_word];
  uint32_t gone = 0;
  while (gone + 1U < w->n && xp_in_history(w, gone + 1U)->time <= least)
    gone++;
  if (gone) {
    __real_memmove(w->history, w->history + gone, (w->n - gone) * sizeof *w->history);
    w->n -= gone;
  }
}

void xp_insert(xp_word *w, uint32_t at, xp_message *m) {
  if (w->n == XP_MAX_HISTORY)
    xp_fail(__FILE__, __LINE__, "a history is too long", w->n, 0);
  __real_memmove(w->history + at + 1U, w->history + at, (w->n - at) * sizeof *w->history);
  w->history[at] = (uint16_t)(m - messages);
  w->n++;
  if (at + 1U == w->n)
    xp_write_memory(w->at, w->bytes, m->value);
}

/* What it did so far has been given along; what it does to plain memory from now on is later (plain.c). */
void xp_tick_clock(uint32_t me) {
  xp_threads[me].published = true;
}

/* Give a new message of process `me` its view. */
void xp_publish(uint32_t me, uint32_t i, xp_message *m, int order, const xp_view *sequence) {
  xp_thread *t = &xp_threads[me];
  t->now.at[i] = m->time;
  if (t->for_acquire.at[i] < m->time)
    t->for_acquire.at[i] = m->time;
  xp_copy_view(&m->seen, xp_releases(order) ? &t->now : &t->for_release);
  m->seen.at[i] = m->time;
  if (sequence)
    xp_join_view(&m->seen, sequence);
  if (order == memory_order_seq_cst && xp_agreed.at[i] < m->time)
    xp_agreed.at[i] = m->time;
  xp_tick_clock(me);
}

uint64_t xp_take(uint32_t me, uint32_t i, const xp_message *m, int order) {
  xp_thread *t = &xp_threads[me];
  if (t->now.at[i] < m->time)
    t->now.at[i] = m->time;
  xp_join_view(&t->for_acquire, &m->seen);
  if (t->for_acquire.at[i] < m->time)
    t->for_acquire.at[i] = m->time;
  if (xp_acquires(order))
    xp_join_view(&t->now, &m->seen);
  return m->value;
}

/* The oldest message that may be read. */
uint32_t xp_oldest(uint32_t me, uint32_t i, int order) {
  const xp_word *w = &xp_words[i];
  uint32_t least = xp_threads[me].now.at[i];
  if (order == memory_order_seq_cst && xp_agreed.at[i] > least)
    least = xp_agreed.at[i];
  uint32_t first = w->n - 1U;
  while (first > 0 && xp_in_history(w, first)->time > least)
    first--;
  return first;
}

uint32_t xp_message_number(const xp_message *m) {
  return (uint32_t)(m - messages) + 1U;
}
xp_message *xp_message_of(uint32_t n) {
  return &messages[n - 1U];
}

/* ---- executions ---- */

void xp_views_reset(void) {
  for (uint32_t i = 0; i < n_words; i++)
    number[xp_offset(xp_words[i].at)] = 0;
  n_words = n_messages = 0;
  for (uint32_t p = 0; p <= XP_PROCESSES; p++) {
    xp_thread *t = &xp_threads[p];
    t->first = t->n = 0;
    t->published = false;
    __real_memset(t->now.clock, 0, sizeof t->now.clock);
    __real_memset(t->for_acquire.clock, 0, sizeof t->for_acquire.clock);
    __real_memset(t->for_release.clock, 0, sizeof t->for_release.clock);
    t->now.clock[p] = 1;
  }
}

uint64_t xp_mix(uint64_t h, uint64_t v) {
  __extension__ typedef unsigned __int128 wide;
  wide p = (wide)(h ^ v ^ 0x9E3779B97F4A7C15U) * 0xD6E8FEB86659FD93U;
  return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* A view by ranks in the histories: absolute times depend on the way here. */
static uint64_t view_hash(uint64_t h, const xp_view *v) {
  for (uint32_t i = 0; i < XP_PROCESSES; i++)
    h = xp_mix(h, v->clock[i]);
  for (uint32_t i = 0; i < n_words; i++) {
    uint32_t rank = 0;
    while (rank < xp_words[i].n && xp_in_history(&xp_words[i], rank)->time <= v->at[i])
      rank++;
    if (rank > 1U)
      h ^= xp_mix(xp_offset(xp_words[i].at), rank);
  }
  return h;
}

uint64_t xp_views_hash(void) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < n_words; i++)
    xp_trim(i);
  for (uint32_t i = 0; i < n_words; i++) {
    const xp_word *w = &xp_words[i];
    uint64_t h = xp_offset(w->at);
    for (uint32_t m = 0; m < w->n; m++)
      h = view_hash(xp_mix(h, xp_in_history(w, m)->value * 2U + xp_in_history(w, m)->glued),
                    &xp_in_history(w, m)->seen);
    sum += xp_mix(h, w->n); /* words come in any order */
  }
  for (uint32_t p = 0; p < XP_PROCESSES; p++)
    if (xp_lives(p)) {
      uint64_t h = view_hash(p + 1U, &xp_threads[p].now);
      h = view_hash(xp_mix(h, 1U), &xp_threads[p].for_acquire);
      h = view_hash(xp_mix(h, 2U + xp_threads[p].published), &xp_threads[p].for_release);
      sum += xp_mix(h, 77U);
    }
  return xp_mix(sum, view_hash(0, &xp_agreed));
}
