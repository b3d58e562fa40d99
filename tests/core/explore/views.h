/* SPDX-License-Identifier: Apache-2.0
 *
 * What the memory model knows in one execution: the histories of words, and what each process has seen of them. */
#ifndef TESTS_CORE_EXPLORE_VIEWS_H
#define TESTS_CORE_EXPLORE_VIEWS_H

#include "search.h"

#define XP_MAX_WORDS 224U /* shared ones, in one execution */
#define XP_MAX_HISTORY 64U
#define XP_STORE_QUEUE 64U
#define XP_TIME_GAP (1U << 12)    /* between messages: others may come between */
#define XP_EVERYBODY XP_PROCESSES /* setup, check and the tick: sees the newest, is seen by all */

typedef struct xp_view {
  uint32_t clock[XP_PROCESSES + 1U]; /* for plain memory */
  uint32_t at[XP_MAX_WORDS];         /* the time of the oldest message that may be read */
} xp_view;

typedef struct xp_message {
  uint64_t value;
  uint32_t time;
  bool glued;   /* written by an RMW that read the one before: nothing comes between */
  xp_view seen; /* what an acquire of it brings */
} xp_message;

typedef struct xp_word {
  volatile void *at;
  uint32_t bytes, n;
  uint16_t history[XP_MAX_HISTORY]; /* in modification order */
} xp_word;

typedef struct xp_queued {
  volatile void *at;
  uint32_t bytes;
  uint64_t value;
} xp_queued;

typedef struct xp_thread {
  xp_view now, for_acquire, for_release;
  xp_queued stores[XP_STORE_QUEUE]; /* TSO */
  uint32_t first, n;
  bool published; /* its clock goes on before it uses plain memory again */
} xp_thread;

extern xp_thread xp_threads[XP_PROCESSES + 1U];
extern xp_view xp_agreed; /* of sequentially consistent operations and fences */
extern xp_word xp_words[XP_MAX_WORDS];

size_t xp_offset(const volatile void *p);
uint64_t xp_read_memory(const volatile void *at, uint32_t bytes);
void xp_write_memory(volatile void *at, uint32_t bytes, uint64_t value);

bool xp_acquires(int order);
bool xp_releases(int order);
void xp_join_view(xp_view *into, const xp_view *from);
/* Only what they say about words: agreement is not synchronisation. */
void xp_join_words(xp_view *into, const xp_view *from);
void xp_copy_view(xp_view *to, const xp_view *from);

/* The word at `at`, with the history that it has in this execution. */
uint32_t xp_word_at(const volatile void *at, uint32_t bytes);
xp_message *xp_new_message(uint64_t value, uint32_t time);
uint32_t xp_message_number(const xp_message *m); /* + 1 */
xp_message *xp_message_of(uint32_t number);
xp_message *xp_in_history(const xp_word *w, uint32_t i);
xp_message *xp_newest_message(const xp_word *w);
/* Messages that nobody may read any more are dropped, so that histories stay short and states meet again. */
void xp_trim(uint32_t word);
void xp_insert(xp_word *w, uint32_t at, xp_message *m);
/* Give a new message of process `me` its view; `sequence`: of the message that an RMW read. */
void xp_publish(uint32_t me, uint32_t word, xp_message *m, int order, const xp_view *sequence);
/* Read a message. */
uint64_t xp_take(uint32_t me, uint32_t word, const xp_message *m, int order);
/* The oldest message that may be read. */
uint32_t xp_oldest(uint32_t me, uint32_t word, int order);
void xp_tick_clock(uint32_t me);
void xp_views_reset(void);
uint64_t xp_views_hash(void);

/* sharing.c: which words and which plain memory several processes use */
#define XP_GRAIN 4U /* bytes of plain memory that are looked at together */
bool xp_is_shared(const volatile void *at, bool write);
bool xp_is_known_shared(const volatile void *at);
bool xp_is_atomic(const volatile void *at); /* some process has written to it by an atomic operation */
bool xp_is_shared_grain(size_t grain, bool write);

/* plain.c */
void xp_plain_reset(void);
uint64_t xp_plain_hash(void);

#endif
