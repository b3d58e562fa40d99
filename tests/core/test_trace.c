/* SPDX-License-Identifier: Apache-2.0
 * Traces: the last events are there, whoever reads while one is written believes none that is not whole. Looks at each store if
 * it is built with SH_HOOKS. */
#include "rig.h"

#include "bind/trace.h"

enum { ROOM = 4, BYTES = sizeof(sh_trace_head) + ROOM * sizeof(sh_trace_event) };

static _Alignas(64) uint8_t bytes[BYTES];

/* Every part of the n-th event says so. */
static sh_trace_event event_of(uint64_t n) {
  sh_trace_event e = {.kind = SH_TRACE_SPAN, .end = (uint32_t)n, .class_id = (uint32_t)n, .attempt = (uint32_t)n};
  e.task = e.function = (sh_id128){.lo = n, .hi = n};
  for (uint32_t i = 0; i < 4; i++)
    e.at_ns[i] = n;
  e.thread = n;
  memset(e.name, (int)n, sizeof e.name);
  return e;
}

static sh_trace_head *begin(void) {
  memset(bytes, 0, sizeof bytes);
  sh_trace_head *head = sh_trace_begin(bytes, sizeof bytes);
  EXPECT(head == (void *)bytes);
  return head;
}

static void add(sh_trace_head *head, uint64_t n) {
  sh_trace_event e = event_of(n);
  sh_trace_add(head, &e);
}

/* As a reader does, of whom nobody writes over anything while he reads -> how many he believes. All of them are whole. */
static uint64_t expect_whole(const sh_trace_head *head) {
  uint64_t count = sh_load_acquire(&head->x_count), first = count >= ROOM ? count - ROOM + 1U : 0;
  for (uint64_t n = first; n < count; n++) {
    sh_trace_event wanted = event_of(n);
    EXPECT(memcmp((const sh_trace_event *)(head + 1) + n % ROOM, &wanted, sizeof wanted) == 0);
  }
  return count - first;
}

static void test_without_room_for_an_event_there_is_no_trace(void) {
  EXPECT(sh_trace_begin(bytes, sizeof(sh_trace_head) + sizeof(sh_trace_event) - 1U) == NULL);
  memset(bytes, 0, sizeof bytes);
  sh_trace_head *head = sh_trace_begin(bytes, sizeof(sh_trace_head) + sizeof(sh_trace_event));
  EXPECT(head && head->capacity == 1U);
  add(head, 0);
  add(head, 1);
  sh_trace_event last = event_of(1);
  EXPECT(memcmp(head + 1, &last, sizeof last) == 0);
}

static void test_the_head_says_what_a_reader_needs(void) {
  const sh_trace_head *head = begin();
  EXPECT_EQ(head->magic, SH_TRACE_MAGIC);
  EXPECT_EQ(head->event_bytes, sizeof(sh_trace_event));
  EXPECT_EQ(head->capacity, ROOM);
  EXPECT_EQ(expect_whole(head), 0);
}

static void test_the_last_events_are_there(void) {
  sh_trace_head *head = begin();
  for (uint64_t n = 0; n < 3U * ROOM; n++) {
    add(head, n);
    EXPECT_EQ(sh_load_relaxed(&head->x_count), n + 1U);
    EXPECT_EQ(expect_whole(head), n + 1U < ROOM ? n + 1U : ROOM - 1U);
  }
}

/* The event that is being written is somewhere in its place, and the count is the one before. */
static void test_one_that_was_killed_leaves_whole_events(void) {
  sh_trace_head *head = begin();
  for (uint64_t n = 0; n < 2U * ROOM + 1U; n++) {
    memset((sh_trace_event *)(head + 1) + n % ROOM, 0xEE, sizeof(sh_trace_event) / 2U);
    (void)expect_whole(head);
    add(head, n);
  }
}

#if defined(SH_HOOKS) && SH_HOOKS
static uint32_t looks;
static void look(const volatile void *word) {
  const sh_trace_head *head = (const void *)bytes;
  EXPECT(word == (const volatile void *)&head->x_count); /* there is no other word */
  (void)expect_whole(head);
  looks++;
}
static void test_before_each_store_the_events_are_whole(void) {
  sh_trace_head *head = begin();
  sh_hook_fn = look;
  for (uint64_t n = 0; n < 2U * ROOM + 1U; n++)
    add(head, n);
  sh_hook_fn = NULL;
  EXPECT_EQ(looks, 2U * ROOM + 1U);
}
#endif

int main(void) {
  RUN(test_without_room_for_an_event_there_is_no_trace);
  RUN(test_the_head_says_what_a_reader_needs);
  RUN(test_the_last_events_are_there);
  RUN(test_one_that_was_killed_leaves_whole_events);
#if defined(SH_HOOKS) && SH_HOOKS
  RUN(test_before_each_store_the_events_are_whole);
#endif
  return 0;
}
