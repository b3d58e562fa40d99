/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread that turns a client's futex into a readable descriptor, for event loops. It never takes the GIL. */
#ifndef SH_BIND_LISTENER_H
#define SH_BIND_LISTENER_H

#include "base/os.h"
#include "node/records.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct sh_listener {
  sh_client *me;
  int fd;
  uint32_t seq; /* written by the loop before it arms */
  sh_a32 armed, stop;
  pthread_t thread;
} sh_listener;

/* The loop announced itself parked (park.h) before it armed us, so no wake after its last look can be lost; we do the
 * sleeping. While the loop is busy nobody is parked, and wakers pay nothing. */
static void *sh_listener_run(void *context) {
  sh_listener *l = context;
  while (!sh_load32_acquire(&l->stop)) {
    if (!sh_load32_acquire(&l->armed)) {
      (void)sh_os_futex_wait(&l->armed, 0, 1000000000U);
      continue;
    }
    while (sh_park_prepare(&l->me->park) == l->seq && !sh_load32_acquire(&l->stop))
      (void)sh_os_futex_wait(&l->me->park.x_wake, l->seq, 1000000000U);
    sh_park_cancel(&l->me->park);
    sh_store32_seqcst(&l->armed, 0);
    sh_os_eventfd_signal(l->fd);
  }
  return NULL;
}

static inline bool sh_listener_is_armed(sh_listener *l) {
  return sh_load32_acquire(&l->armed) != 0;
}

/* `seq` is from before sh_park_announce, which the caller did. */
static inline void sh_listener_arm(sh_listener *l, uint32_t seq) {
  l->seq = seq;
  sh_store32_seqcst(&l->armed, 1U);
  sh_os_futex_wake(&l->armed, 1);
}

static inline sh_listener *sh_listener_start(sh_client *me, int fd) {
  sh_listener *l = calloc(1, sizeof *l);
  if (!l)
    return NULL;
  l->me = me;
  l->fd = fd;
  if (pthread_create(&l->thread, NULL, sh_listener_run, l) != 0) {
    free(l);
    return NULL;
  }
  return l;
}

static inline void sh_listener_stop(sh_listener *l) {
  if (!l)
    return;
  sh_store32_seqcst(&l->stop, 1U);
  sh_os_futex_wake(&l->armed, 1);
  (void)sh_park_wake(&l->me->park);
  pthread_join(l->thread, NULL);
  free(l);
}

#endif
