/* SPDX-License-Identifier: Apache-2.0
 * A trace is read while it is written (bind/trace.h): what the reader believes is whole. */
#include "scenarios.h"

#include "bind/trace.h"

#define ROOM 2U
#define MORE_ROOM 4U
#define BEFORE 2U /* events that are there: the next one goes over the first, if there is no more room */

static struct {
  sh_trace_head *head;
} *stage;

static void add(uint64_t n) {
  sh_trace_event e = {.kind = SH_TRACE_SPAN, .thread = n};
  for (uint32_t i = 0; i < 4U; i++)
    e.at_ns[i] = n;
  sh_trace_add(stage->head, &e);
}

static void open(uint32_t room) {
  stage = xp_room(sizeof *stage);
  uint64_t bytes = sizeof(sh_trace_head) + room * sizeof(sh_trace_event);
  sh_trace_head *head = sh_trace_begin(xp_room(bytes), bytes);
  stage->head = head;
  for (uint64_t n = 0; n < BEFORE; n++)
    add(n);
}

static void setup(void) {
  open(ROOM);
}
static void setup_more(void) {
  open(MORE_ROOM);
}

static void write_two(void) {
  add(BEFORE);
  add(BEFORE + 1U);
}

/* As util/state/timeline.py does, by system calls. */
static void read_all(void) {
  const sh_trace_head *head = stage->head;
  sh_trace_event copied[ROOM];
  uint64_t count = sh_load_acquire(&head->x_count);
  memcpy(copied, head + 1, sizeof copied);
  sh_fence_acquire(); /* (X) the bytes, then the count once more */
  uint64_t after = sh_load_relaxed(&head->x_count), first = count > ROOM ? count - ROOM : 0;
  if (after + 1U > ROOM && first < after + 1U - ROOM)
    first = after + 1U - ROOM;
  for (uint64_t n = first; n < count; n++) {
    const sh_trace_event *e = &copied[n % ROOM];
    XP_EQUAL(e->thread, n);
    for (uint32_t i = 0; i < 4U; i++)
      XP_EQUAL(e->at_ns[i], n);
  }
}

static void all_are_written(void) {
  XP_EQUAL(sh_load_relaxed(&stage->head->x_count), BEFORE + 2U);
}

const xp_scenario trace_read = {
    .name = "X trace: it is read while its writer goes once around",
    .setup = setup,
    .run = {write_two, read_all},
    .check = all_are_written,
    .may_read_behind = true,
};

/* None of those that are counted is written to. */
static void read_counted(void) {
  const sh_trace_head *head = stage->head;
  uint64_t count = sh_load_acquire(&head->x_count);
  for (uint64_t n = 0; n < count; n++)
    XP_EQUAL(((const sh_trace_event *)(head + 1))[n % MORE_ROOM].thread, n);
}

const xp_scenario trace_counted = {
    .name = "X trace: it is read up to its count",
    .setup = setup_more,
    .run = {write_two, read_counted},
    .check = all_are_written,
};
