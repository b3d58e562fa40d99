/* SPDX-License-Identifier: Apache-2.0
 *
 * A process that is run one instruction at a time, and is told apart before every store to the segment.
 *
 * The segment is read-only in the traced process, so each instruction that is about to write to it faults, with the
 * segment as it was: the kernel names every store, whatever the compiler made of it. The tracer looks, makes the page
 * writable, lets the one instruction pass, and closes the page again. System calls write nothing to the segment: with a
 * read-only page they would fail, and so would the operation. */
#ifndef TESTS_CORE_TRACER_H
#define TESTS_CORE_TRACER_H

#include "rig.h"

#include <sys/types.h>

typedef struct tracer {
  pid_t pid;
  const sh_segment *seg;
  uint64_t instructions; /* executed by tracer_step */
} tracer;

typedef enum tracer_stop {
  TRACER_STEPPED, /* one instruction was executed */
  TRACER_STORE,   /* the next one writes to the segment */
  TRACER_ENDED,   /* the process has exited with 0 */
} tracer_stop;

/* Run act(context) in a child, stopped before its first instruction. `guard` makes it stop at stores. */
void tracer_start(tracer *t, const sh_segment *seg, bool guard, void (*act)(void *context), void *context);
/* One instruction on. After TRACER_STORE this executes the store: all of it, if it is a string instruction on one page. */
tracer_stop tracer_step(tracer *t);
/* The same, without a stop at the instructions that do not write to the segment. */
tracer_stop tracer_next_store(tracer *t);
/* SIGKILL it where it is. */
void tracer_kill(tracer *t);

#endif
