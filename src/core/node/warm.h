/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory ahead of need: a thread of the daemon at idle priority makes the next arenas and record chunks present and huge
 * before anybody asks for them.
 *
 * A page that a process touches first is zeroed then and there (0.3 GB/s); one that is present costs the second process a
 * fault of 1.3 us each 4 KiB (3 GB/s); after MADV_COLLAPSE the whole 2 MiB are mapped by one fault. The daemon pays that,
 * and the memory control group of the daemon is charged. Nothing is prepared before the first arena or chunk is claimed, and
 * nothing when the machine is short of memory. It only touches pages, never data.
 */
#ifndef SH_NODE_WARM_H
#define SH_NODE_WARM_H

#include "node/records.h"

#include <pthread.h>

#define SH_WARM_STEP (2ULL << 20)
#define SH_WARM_ARENAS_AHEAD 8U            /* at most; a quarter of what is claimed, at least one */
#define SH_WARM_RECORDS_AHEAD (8ULL << 20) /* bytes of entries and of slots, at most; at least a step */
#define SH_WARM_SPARE (1ULL << 30)         /* memory that is left alone */

typedef struct sh_warm {
  const sh_segment *seg;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t wanted;
  bool running, stop;
  uint64_t want[3], have[3]; /* bytes from the start of: the heap, the entries, the slots */
} sh_warm;

sh_status sh_warm_start(sh_warm *w, const sh_segment *seg);
void sh_warm_stop(sh_warm *w);
/* Look at what is claimed and tell the thread how far to go. Cheap: call it at every tick. */
void sh_warm_look(sh_warm *w);

#endif
