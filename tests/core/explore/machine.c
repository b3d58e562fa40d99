/* SPDX-License-Identifier: Apache-2.0
 *
 * The operating system below the explored core, and a segment that is small enough to be searched: stands in for
 * base/os_posix.c and node/layout.c. A futex wait without a wake ends when nobody can go
 * on, if it has a limit. */
#include "base/os.h"
#include "node/layout.h"
#include "search.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

/* ---- memory: all of it lies in the world ---- */

#define OWN_BYTES (64U << 10) /* what a process may allocate: its addresses do not depend on what others do */
typedef struct ground {       /* the first thing in the world */
  uint64_t used;
  uint64_t own_at, own[XP_PROCESSES];
  sh_a64 pokes;
} ground;
static ground *the_ground(void) {
  return (ground *)(void *)xp_world;
}

static void *cut(uint64_t *used, uint64_t end, size_t bytes) {
  uint64_t at = (*used + 63U) & ~63ULL;
  if (at + bytes > end)
    xp_fail(__FILE__, __LINE__, "the world is too small", bytes, at);
  *used = at + bytes;
  xp_dirty(used, sizeof *used);
  return xp_world + at;
}

void *xp_room(size_t bytes) {
  ground *g = the_ground();
  if (g->used == 0) {
    g->used = 4096;
    g->own_at = XP_WORLD_BYTES - XP_PROCESSES * OWN_BYTES;
    for (uint32_t p = 0; p < XP_PROCESSES; p++)
      g->own[p] = g->own_at + p * OWN_BYTES;
  }
  uint32_t me = xp_me();
  if (xp_exploring() && me != XP_NOBODY)
    return cut(&g->own[me], g->own_at + (me + 1U) * OWN_BYTES, bytes);
  return cut(&g->used, g->own_at, bytes);
}

/* The allocator of the core; sizes are kept in front. Freed memory is not used again. */
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *p, size_t bytes);
void __wrap_free(void *p);
void *__wrap_malloc(size_t bytes) {
  uint8_t *p = xp_room(bytes + 64U);
  __real_memcpy(p, &bytes, sizeof bytes);
  xp_dirty(p, sizeof bytes);
  return p + 64;
}
void *__wrap_calloc(size_t n, size_t bytes) {
  return __wrap_malloc(n * bytes);
}
void *__wrap_realloc(void *p, size_t bytes) {
  uint8_t *grown = __wrap_malloc(bytes);
  if (p) {
    size_t before;
    __real_memcpy(&before, (uint8_t *)p - 64, sizeof before);
    before = before < bytes ? before : bytes;
    __real_memcpy(grown, p, before);
    xp_dirty(grown, before);
  }
  return grown;
}
void __wrap_free(void *p) {
  (void)p;
}

static uint8_t *segment_base;

int sh_os_memfd_create(const char *name, uint64_t bytes) {
  (void)name, (void)bytes;
  return -ENOSYS;
}
int sh_os_map(int fd, uint64_t bytes, bool writable, void **base) {
  (void)fd, (void)bytes, (void)writable, (void)base;
  return -ENOSYS;
}
int sh_os_reserve(uint64_t bytes, void **base) {
  *base = xp_room(bytes);
  return 0;
}
void sh_os_unmap(void *base, uint64_t bytes) {
  (void)base, (void)bytes;
}
int sh_os_protect(void *p, uint64_t bytes, bool writable) {
  (void)p, (void)bytes, (void)writable;
  return 0;
}
int sh_os_populate(void *p, uint64_t bytes) {
  (void)p, (void)bytes;
  return 0;
}
int sh_os_collapse(void *p, uint64_t bytes) {
  (void)p, (void)bytes;
  return 0;
}
int sh_os_punch(int fd, uint64_t offset, uint64_t bytes) {
  (void)fd;
  xp_plain(segment_base + offset, bytes, true, __builtin_return_address(0));
  __real_memset(segment_base + offset, 0, bytes);
  return 0;
}
void sh_os_idle_priority(void) {}
int sh_os_start_beside(pthread_t *thread, void *(*run)(void *), void *context) {
  (void)thread, (void)run, (void)context;
  return -EAGAIN; /* copies are made by one thread */
}
void sh_os_signal(int pidfd, int number) {
  (void)pidfd, (void)number;
}

uint64_t sh_os_now_ns(void) {
  return xp_exploring() && xp_me() != XP_NOBODY && xp_playing()->time_passes ? xp_choose(2U) * 1000000000ULL : 0;
}
uint32_t sh_os_pid(void) {
  return 1;
}
uint64_t sh_os_memory_available(void) {
  return UINT64_MAX;
}
/* All have one pid; so if one is stopped, the tick helps at its first look, whomever it looks at. */
bool sh_os_is_stopped(uint32_t pid) {
  (void)pid;
  return xp_is_anybody_stopped();
}
uint32_t sh_os_cores(void) {
  return 4;
}

/* ---- sleeping and waking ---- */

int sh_os_futex_wait(sh_a32 *word, uint32_t expected, uint64_t timeout_ns) {
  xp_point(XP_FUTEX_WAIT, word, __builtin_return_address(0));
  uint64_t found = xp_newest(word, sizeof *word);
  xp_note(XP_FUTEX_WAIT, word, expected, found);
  if (found != expected)
    return -EAGAIN;
  return xp_block(word, timeout_ns != UINT64_MAX) ? 0 : -ETIMEDOUT;
}

void sh_os_futex_wake(sh_a32 *word, int n) {
  (void)n;
  if (xp_exploring() && xp_me() != XP_NOBODY) {
    xp_point(XP_FUTEX_WAKE, word, __builtin_return_address(0));
    (void)xp_newest(word, sizeof *word);
    xp_note(XP_FUTEX_WAKE, word, 0, 0);
  }
  xp_wake(word);
}

int sh_os_eventfd(void) {
  return 1000;
}
static uint64_t one_more(uint64_t before, uint64_t by) {
  return before + by;
}
static uint64_t nothing_left(uint64_t before, uint64_t by) {
  (void)before;
  return by;
}

void sh_os_eventfd_signal(int fd) {
  (void)fd;
  if (!xp_exploring() || !xp_playing()->listens)
    return;
  (void)xp_rmw(&the_ground()->pokes, sizeof(sh_a64), one_more, 1U, memory_order_acq_rel, __builtin_return_address(0));
  xp_poke();
}
uint64_t sh_os_eventfd_drain(int fd) {
  (void)fd;
  return 0;
}
bool xp_await_poke(void) {
  while (xp_rmw(&the_ground()->pokes, sizeof(sh_a64), nothing_left, 0, memory_order_acq_rel,
                __builtin_return_address(0)) == 0)
    if (!xp_sleep_for_poke())
      return false;
  return true;
}

/* Only the daemon takes its lock, and it is one process. */
int __wrap_pthread_mutex_lock(pthread_mutex_t *m);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m);
int __wrap_pthread_mutex_lock(pthread_mutex_t *m) {
  (void)m;
  return 0;
}
int __wrap_pthread_mutex_unlock(pthread_mutex_t *m) {
  (void)m;
  return 0;
}

/* ---- a segment of 64 records a chunk, and a chunk of each pool for each of a few clients ---- */

#define CHUNKS 6U
#define ARENAS 2U
#define CLIENTS 8U
#define CLASSES 64U /* of those that a client may have a ring for, in the table of rings */

static uint64_t reserve(uint64_t *end, uint64_t bytes) {
  uint64_t at = (*end + 63U) & ~63ULL;
  *end = at + bytes;
  return at;
}

static void plan_pool(uint64_t *end, sh_pool *p, uint32_t record_bytes, uint32_t chunks, bool own_words) {
  uint64_t capacity = (uint64_t)chunks * 64U;
  p->record_bytes = record_bytes;
  p->chunk_records = 64U;
  p->n_chunks = chunks;
  p->owners = reserve(end, chunks * sizeof(sh_a32));
  p->hints = reserve(end, chunks * sizeof(sh_a64));
  p->data = reserve(end, capacity * record_bytes);
  p->word_stride = own_words ? record_bytes : (uint32_t)sizeof(sh_a64);
  p->words = own_words ? p->data : reserve(end, capacity * sizeof(sh_a64));
}

sh_status sh_node_create(sh_segment *s, const sh_segment_config *config) {
  sh_geometry h;
  __real_memset(&h, 0, sizeof h);
  uint64_t end = sizeof(sh_segment_header);
  h.n_arenas = ARENAS;
  h.regions[SH_REGION_CLIENTS] = reserve(&end, CLIENTS * sizeof(sh_client));
  h.regions[SH_REGION_CLASSES] = reserve(&end, SH_MAX_CLASSES * sizeof(sh_class));
  h.regions[SH_REGION_SEATS] = reserve(&end, sizeof(sh_seats));
  h.regions[SH_REGION_ROOTS] = reserve(&end, SH_MAX_ROOTS * sizeof(sh_a64));
  h.regions[SH_REGION_RING_OF] = reserve(&end, ((uint64_t)CLIENTS * SH_MAX_CLASSES + CLASSES) * sizeof(sh_a32));
  h.regions[SH_REGION_LOGS] = reserve(&end, (uint64_t)CLIENTS * SH_LOG_CELLS * sizeof(sh_a64));
  h.regions[SH_REGION_RUN_STATE] = reserve(&end, CLIENTS);
  h.regions[SH_REGION_ARENAS] = reserve(&end, ARENAS * sizeof(sh_arena));
  h.regions[SH_REGION_UNITS] = reserve(&end, (uint64_t)ARENAS * SH_ARENA_UNITS * sizeof(sh_a64));
  h.regions[SH_REGION_UNIT_LENS] = reserve(&end, (uint64_t)ARENAS * SH_ARENA_UNITS * sizeof(sh_a32));
  plan_pool(&end, &h.pools[SH_POOL_ENTRY], sizeof(sh_entry), CHUNKS, true);
  plan_pool(&end, &h.pools[SH_POOL_SLOT], sizeof(sh_slot), CHUNKS, true);
  plan_pool(&end, &h.pools[SH_POOL_WAITER], sizeof(sh_waiter), CHUNKS, true);
  plan_pool(&end, &h.pools[SH_POOL_RING], sizeof(sh_ring), CHUNKS, true);
  h.regions[SH_REGION_PINS] = reserve(&end, (uint64_t)CLIENTS * CHUNKS * sizeof(sh_a64));
  h.regions[SH_REGION_CLAIMS] = reserve(&end, (uint64_t)CLIENTS * sizeof(sh_a64)); /* no more than 64 chunks */
  h.regions[SH_REGION_CALLED] = reserve(&end, (uint64_t)SH_MAX_CLASSES * sizeof(sh_a64));
  h.regions[SH_REGION_GIVEN] = reserve(&end, (uint64_t)CLIENTS * sizeof(sh_a64));
  h.regions[SH_REGION_LINKS] = reserve(&end, sh_pool_capacity(&h.pools[SH_POOL_ENTRY]) * sizeof(sh_link));
  h.regions[SH_REGION_ORIGINS] = reserve(&end, sh_pool_capacity(&h.pools[SH_POOL_ENTRY]) * sizeof(sh_origin));
  h.regions[SH_REGION_FIRED] = reserve(&end, (uint64_t)CHUNKS * sizeof(sh_a64));
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++)
    plan_pool(&end, &h.pools[SH_POOL_BLOCK + c], SH_BLOCK_MIN << c, c < 4U || c + 1U == SH_BLOCK_CLASSES ? 3U : 0U,
              false);
  h.regions[SH_REGION_HEAP] = reserve(&end, ARENAS * SH_ARENA_BYTES);
  h.magic = SH_MAGIC;
  h.layout_version = SH_LAYOUT_VERSION;
  h.header_bytes = (uint32_t)sizeof(sh_segment_header);
  h.segment_bytes = end;
  h.epoch = 1;
  h.n_seats = config->n_seats;
  h.cores = 4;
  h.store_bytes = config->store_bytes;
  h.records_bytes = 1ULL << 40;
  __real_memset(s, 0, sizeof *s);
  s->base = xp_room(end);
  s->read_base = s->base;
  segment_base = s->base;
  s->header = (sh_segment_header *)(void *)s->base;
  s->fixed = h;
  s->fd = -1;
  __real_memcpy(s->base, &h, sizeof h);
  sh_store32_release(&s->header->x_mode, SH_MODE_RUNNING);
  return SH_OK;
}
