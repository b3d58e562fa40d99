/* SPDX-License-Identifier: Apache-2.0
 *
 * What a process did and when, in a file that it maps and others read. One writer, which holds the GIL; the oldest events are
 * overwritten. Of a traced node only: docs/debugging.md.
 *
 * The head counts the events ever written and is stored after each of them, so a reader that copies the file and reads the head
 * before and after believes those that cannot have been written over meanwhile: all but the last `capacity` - 1 at the second
 * look may have been, for the next event is perhaps being written. So is one that a killed writer left half-written. Garbage
 * costs a reader an odd event.
 *
 * (X) The count of the events before, then the bytes of the next one; the bytes of an event, then the count that has it. A
 * reader looks at the count, at the bytes, and at the count again. */
#ifndef SH_BIND_TRACE_H
#define SH_BIND_TRACE_H

#include "base/atomic.h"
#include "base/id.h"

#include <string.h>

#define SH_TRACE_MAGIC 0x31454341525453ULL
#define SH_TRACE_NAME_BYTES 40U

typedef enum sh_trace_kind { SH_TRACE_RAN = 1, SH_TRACE_SUBMITTED, SH_TRACE_SPAN } sh_trace_kind;
typedef enum sh_trace_end { SH_TRACE_RETURNED, SH_TRACE_RAISED, SH_TRACE_CANCELLED, SH_TRACE_RETRIED } sh_trace_end;

typedef struct sh_trace_event {
  uint32_t kind, end, class_id, attempt;
  sh_id128 task, function;
  uint64_t at_ns
      [4]; /* RAN: claimed, arguments loaded, code ended, results stored; SPAN: begin, end; SUBMITTED: when. 0 = not */
  uint64_t thread;
  char name[SH_TRACE_NAME_BYTES]; /* of a SPAN */
} sh_trace_event;
_Static_assert(sizeof(sh_trace_event) == 128, "readers know the size");

typedef struct sh_trace_head {
  uint64_t magic;
  uint32_t event_bytes, capacity;
  sh_a64 x_count;
  uint64_t pad[5];
} sh_trace_head;
_Static_assert(sizeof(sh_trace_head) == 64, "readers know the size");

/* Room for events in a mapping of so many bytes, which are zero. NULL: too few. */
static inline sh_trace_head *sh_trace_begin(void *bytes, uint64_t n_bytes) {
  if (n_bytes < sizeof(sh_trace_head) + sizeof(sh_trace_event))
    return NULL;
  sh_trace_head *head = bytes;
  head->event_bytes = sizeof(sh_trace_event);
  head->capacity = (uint32_t)((n_bytes - sizeof(sh_trace_head)) / sizeof(sh_trace_event));
  head->magic = SH_TRACE_MAGIC;
  return head;
}

static inline void sh_trace_add(sh_trace_head *head, const sh_trace_event *event) {
  uint64_t n = sh_load_relaxed(&head->x_count);
  sh_fence_release(); /* (X) whoever finds bytes of this event in place of an older one finds that it may */
  memcpy((sh_trace_event *)(head + 1) + n % head->capacity, event, sizeof *event);
  sh_store_release(&head->x_count, n + 1U); /* (X) */
}

#endif
