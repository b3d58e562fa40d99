/* SPDX-License-Identifier: Apache-2.0 */
#include "node/warm.h"

#include "base/os.h"

#include <string.h>

typedef enum warm_what { WARM_HEAP, WARM_ENTRIES, WARM_SLOTS, WARM_COUNT } warm_what;

static uint64_t clamp(uint64_t value, uint64_t least, uint64_t most) {
  return value < least ? least : value > most ? most : value;
}

static uint64_t claimed(const sh_segment *s, warm_what what, uint64_t *end) {
  if (what == WARM_HEAP) {
    const sh_arena *arenas = sh_region(s, SH_REGION_ARENAS);
    uint64_t high = 0;
    for (uint32_t a = 0; a < s->fixed.n_arenas; a++)
      if (sh_load_relaxed(&arenas[a].x_word) != 0)
        high = a + 1U;
    *end = s->fixed.n_arenas * SH_ARENA_BYTES;
    return high * SH_ARENA_BYTES;
  }
  uint32_t id = what == WARM_ENTRIES ? SH_POOL_ENTRY : SH_POOL_SLOT;
  const sh_pool *pool = sh_pool_of(s, id);
  *end = (uint64_t)sh_pool_capacity(pool) * pool->record_bytes;
  return (uint64_t)sh_pool_used_chunks(s, id) * pool->chunk_records * pool->record_bytes;
}

static uint8_t *start_of(const sh_segment *s, warm_what what) {
  if (what == WARM_HEAP)
    return sh_region(s, SH_REGION_HEAP);
  return sh_at(s, sh_pool_of(s, what == WARM_ENTRIES ? SH_POOL_ENTRY : SH_POOL_SLOT)->data);
}

void sh_warm_look(sh_warm *w) {
  bool more = false;
  if (!w->running)
    return;
  pthread_mutex_lock(&w->lock);
  for (warm_what what = WARM_HEAP; what < WARM_COUNT; what++) {
    uint64_t end, used = claimed(w->seg, what, &end);
    uint64_t most = what == WARM_HEAP ? SH_WARM_ARENAS_AHEAD * SH_ARENA_BYTES : SH_WARM_RECORDS_AHEAD;
    uint64_t least = what == WARM_HEAP ? SH_ARENA_BYTES : SH_WARM_STEP;
    uint64_t want = used ? used + clamp(used / 4U, least, most) : 0;
    want = (want < end ? want : end) & ~(SH_WARM_STEP - 1U);
    /* What clients have claimed they touch themselves: start behind it. */
    uint64_t from = used & ~(SH_WARM_STEP - 1U);
    if (w->have[what] < from)
      w->have[what] = from;
    w->want[what] = want;
    more |= w->have[what] < want;
  }
  if (more)
    pthread_cond_signal(&w->wanted);
  pthread_mutex_unlock(&w->lock);
}

/* The next step to prepare; false when there is none. The lock is held. */
static bool next_step(sh_warm *w, uint8_t **at) {
  for (warm_what what = WARM_HEAP; what < WARM_COUNT; what++) {
    if (w->have[what] >= w->want[what])
      continue;
    *at = start_of(w->seg, what) + w->have[what];
    w->have[what] += SH_WARM_STEP;
    return true;
  }
  return false;
}

static void *warm_thread(void *context) {
  sh_warm *w = context;
  uint8_t *at = NULL;
  sh_os_idle_priority();
  pthread_mutex_lock(&w->lock);
  while (!w->stop) {
    if (!next_step(w, &at)) {
      pthread_cond_wait(&w->wanted, &w->lock);
      continue;
    }
    pthread_mutex_unlock(&w->lock);
    if (sh_os_memory_available() > SH_WARM_SPARE && sh_os_populate(at, SH_WARM_STEP) == 0)
      (void)sh_os_collapse(at, SH_WARM_STEP);
    pthread_mutex_lock(&w->lock);
  }
  pthread_mutex_unlock(&w->lock);
  return NULL;
}

sh_status sh_warm_start(sh_warm *w, const sh_segment *seg) {
  memset(w, 0, sizeof *w);
  w->seg = seg;
  pthread_mutex_init(&w->lock, NULL);
  pthread_cond_init(&w->wanted, NULL);
  if (pthread_create(&w->thread, NULL, warm_thread, w) != 0)
    return SH_OS;
  w->running = true;
  return SH_OK;
}

void sh_warm_stop(sh_warm *w) {
  if (!w->running)
    return;
  pthread_mutex_lock(&w->lock);
  w->stop = true;
  pthread_cond_signal(&w->wanted);
  pthread_mutex_unlock(&w->lock);
  pthread_join(w->thread, NULL);
  pthread_cond_destroy(&w->wanted);
  pthread_mutex_destroy(&w->lock);
  w->running = false;
}
