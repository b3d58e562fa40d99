/* SPDX-License-Identifier: Apache-2.0
 *
 * What the calling thread is doing. Per thread, because pickling runs Python code that may switch threads. */
#ifndef SH_BIND_CONTEXT_H
#define SH_BIND_CONTEXT_H

#include "base/id.h"

#include <stdbool.h>

typedef struct sh_thread_context {
  void *rows;       /* list of ObjectRef: pickling appends, unpickling indexes; NULL outside of both */
  sh_id128 task_id; /* whom this thread submits for */
  uint32_t counter, put_counter, depth;
  uint64_t parent; /* packed slot of its task, if that may have another attempt; else 0 */
  bool adopts;     /* earlier attempts of the task may have made the call that is made now */
  void *task;      /* strong reference to the Task, whose counters go on where they stopped */
  uint64_t client; /* serial number of the connection that all this is about; 0 = none */
} sh_thread_context;

static __thread sh_thread_context sh_context;

#endif
