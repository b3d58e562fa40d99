/* SPDX-License-Identifier: Apache-2.0 */
#include "node/self.h"

#include "base/os.h"
#include "node/stall.h"

#include <stdlib.h>
#include <string.h>

static uint64_t local_bytes(const sh_segment *s) {
  return (uint64_t)sh_pool_capacity(sh_pool_of(s, SH_POOL_ENTRY)) * sizeof(sh_local);
}
static uint64_t n_units(const sh_segment *s) {
  return (uint64_t)s->fixed.n_arenas * SH_ARENA_UNITS;
}

static uint64_t watched_bytes(const sh_segment *s) {
  return (uint64_t)sh_pool_capacity(sh_pool_of(s, SH_POOL_WAITER)) * sizeof(uint32_t);
}

static void wait_locked(sh_a32 *word, uint32_t seq, uint64_t ns) {
  (void)sh_os_futex_wait(word, seq, ns);
}

sh_status sh_self_open_over(sh_self *self, const sh_segment *seg, int poke_fd, uint32_t index, uint32_t epoch) {
  memset(self, 0, sizeof *self);
  if (index >= SH_MAX_CLIENTS)
    return SH_INVALID;
  void *local = NULL, *watched = NULL, *touched = NULL;
  if (sh_os_reserve(local_bytes(seg), &local) != 0 || sh_os_reserve(watched_bytes(seg), &watched) != 0 ||
      sh_os_reserve(n_units(seg), &touched) != 0) {
    sh_os_unmap(local, local_bytes(seg));
    sh_os_unmap(watched, watched_bytes(seg));
    return SH_OS;
  }
  self->seg = *seg;
  self->local = local;
  self->watched_entry = watched;
  self->touched = touched;
  self->me = sh_client_at(&self->seg, index);
  self->index = index;
  self->epoch = epoch;
  self->role = sh_load32_relaxed(&self->me->x_role);
  self->root = sh_load32_relaxed(&self->me->x_root);
  self->crew = sh_load32_relaxed(&self->me->x_crew);
  self->task_id = sh_id_root(self->root);
  self->poke_fd = poke_fd;
  self->wait_hook = wait_locked;
  self->rotor = index;
  self->open = true;
  sh_store8_seqcst(sh_run_state_of(&self->seg, index), SH_RUN_BUSY);
  return SH_OK;
}

bool sh_self_first_touch(sh_self *self, const uint8_t *data, uint64_t bytes) {
  const uint8_t *heap = sh_region(&self->seg, SH_REGION_HEAP);
  if (data < heap || bytes == 0)
    return false;
  uint64_t unit = (uint64_t)(data - heap) / SH_UNIT_BYTES, end = ((uint64_t)(data - heap) + bytes - 1U) / SH_UNIT_BYTES;
  bool first = false;
  for (; unit <= end && unit < n_units(&self->seg); unit++) {
    first |= self->touched[unit] == 0;
    self->touched[unit] = 1;
  }
  return first;
}

sh_status sh_self_open(sh_self *self, int segment_fd, int poke_fd, uint32_t index, uint32_t epoch) {
  sh_segment seg;
  memset(self, 0, sizeof *self);
  sh_status status = sh_segment_attach(&seg, segment_fd);
  if (status != SH_OK)
    return status;
  status = sh_self_open_over(self, &seg, poke_fd, index, epoch);
  if (status == SH_OK)
    self->owns_seg = true;
  else
    sh_segment_detach(&seg);
  return status;
}

void sh_self_close(sh_self *self) {
  if (!self->open)
    return;
  self->open = false;
  sh_os_unmap(self->local, local_bytes(&self->seg));
  sh_os_unmap(self->watched_entry, watched_bytes(&self->seg));
  sh_os_unmap(self->touched, n_units(&self->seg));
  if (self->owns_seg)
    sh_segment_detach(&self->seg);
  memset(&self->seg, 0, sizeof self->seg);
  for (uint32_t p = 0; p < SH_POOL_BLOCK; p++)
    sh_magazine_destroy(&self->mags[p]);
  sh_heap_destroy(&self->heap);
  for (uint32_t i = 0; self->stalls && i < SH_MAX_CLIENTS; i++)
    sh_stall_destroy(&self->stalls[i]);
  if (self->late)
    sh_stall_destroy(self->late);
  free(self->late);
  free(self->stalls);
  self->late = self->stalls = NULL;
  free(self->dead);
  self->dead = NULL;
  self->n_dead = self->cap_dead = 0;
  free(self->kept);
  self->kept = NULL;
  self->n_kept = self->cap_kept = 0;
  self->kept_bytes = 0;
  free(self->logged);
  self->logged = NULL;
  self->n_logged = self->cap_logged = 0;
  free(self->overtaken);
  self->overtaken = NULL;
  self->n_overtaken = self->cap_overtaken = 0;
}

void sh_self_forked(sh_self *self) {
  self->forked = true;
}

sh_status sh_self_usable(const sh_self *self) {
  if (!self->open || self->forked)
    return SH_INVALID;
  if (atomic_load(&((sh_self *)(uintptr_t)self)->lost))
    return SH_FENCED;
  if (sh_load32_relaxed(&self->me->x_fenced) || sh_load32_relaxed(&self->me->x_epoch) != self->epoch)
    return SH_FENCED;
  return sh_load32_relaxed(&self->seg.header->x_mode) >= SH_MODE_FENCED ? SH_FENCED : SH_OK;
}

void sh_self_lost(sh_self *self) {
  atomic_store(&self->lost, true);
  (void)sh_park_wake(&self->me->park);
}

void sh_self_leave(sh_self *self) {
  atomic_store(&self->leaving, true);
  (void)sh_park_wake(&self->me->park);
}

void sh_self_poke(sh_self *self) {
  sh_os_eventfd_signal(self->poke_fd);
}

/* Sums of single-writer counters: two claims at once may overshoot by one chunk, never lose count. */
static uint64_t claimed(const sh_segment *s, bool store) {
  uint64_t sum = 0;
  uint32_t high = sh_clients_high(s);
  for (uint32_t c = 0; c < high; c++) {
    sh_client *other = sh_client_at(s, c);
    sum += sh_load_relaxed(store ? &other->x_claimed_store : &other->x_claimed_records);
  }
  return sum;
}

static bool machine_has(uint64_t bytes) {
  return bytes < (1U << 20) || sh_os_memory_available() >= bytes + (64U << 20);
}

uint64_t sh_store_limit(const sh_segment *s) {
  /* Blocks and arenas are claimed whole; the slack lets a store smaller than one arena still hold both kinds. */
  return s->fixed.store_bytes + s->fixed.store_bytes / 8U + SH_ARENA_BYTES;
}

uint64_t sh_store_claimed(const sh_segment *s) {
  return claimed(s, true) + sh_heap_arenas_claimed(s) * SH_ARENA_BYTES;
}

static bool is_given_back(uint64_t bytes) {
  return (int64_t)bytes < 0;
}

bool sh_budget_store(void *context, uint64_t bytes) {
  sh_self *self = context;
  uint64_t grow = bytes ? bytes : SH_ARENA_BYTES;
  if (!is_given_back(bytes) && (sh_store_claimed(&self->seg) + grow > sh_store_limit(&self->seg) || !machine_has(grow)))
    return false;
  sh_bump(&self->me->x_claimed_store, bytes);
  return true;
}

bool sh_budget_records(void *context, uint64_t bytes) {
  sh_self *self = context;
  if (!is_given_back(bytes) &&
      (claimed(&self->seg, false) + bytes > self->seg.fixed.records_bytes || !machine_has(bytes)))
    return false;
  sh_bump(&self->me->x_claimed_records, bytes);
  return true;
}

sh_status sh_self_room(sh_self *self, uint64_t tag, uint64_t bytes, uint64_t *loc) {
  sh_status status = sh_heap_alloc(&self->seg, &self->heap, self->index, tag, bytes, sh_budget_store, self, loc);
  if (status == SH_FULL) {
    self->lacks_room = true;
    /* References that idle processes have dropped may still hold what is needed: have them flushed (repair.c). */
    (void)sh_fetch_add32(&self->seg.header->x_pressure, 1U);
    sh_self_poke(self);
  }
  return status;
}

static sh_a64 *ring_cells(void *context, uint32_t id) {
  sh_self *self = context;
  return (sh_a64 *)(void *)sh_heap_at(&self->seg, (uint64_t)SH_LOC_BLOCK | ((uint64_t)(SH_BLOCK_CLASSES - 1U) << 4) |
                                                      ((uint64_t)id << 8));
}

/* Paid for as records. Cells are never freed, so a chunk that has some is never returned to the store (spill.c). */
static sh_status ring_grow(void *context, sh_ring *r, uint32_t *id) {
  _Static_assert(SH_RING_SEGMENT * sizeof(sh_a64) <= SH_BLOCK_MAX, "a ring segment is one block of the largest class");
  sh_self *self = context;
  uint32_t index = (uint32_t)(r - sh_ring_at(&self->seg, 0));
  sh_ref ring = {.index = index, .generation = sh_word_generation(sh_load_relaxed(&r->word))};
  uint64_t loc;
  sh_status status = sh_heap_alloc(&self->seg, &self->heap, self->index, sh_tag(SH_TAG_RING, ring), SH_BLOCK_MAX,
                                   sh_budget_records, self, &loc);
  if (status == SH_OK)
    *id = (uint32_t)(loc >> 8);
  return status;
}

sh_ring_memory sh_self_ring_memory(sh_self *self) {
  sh_ring_memory m = {.context = self, .cells = ring_cells, .grow = ring_grow};
  return m;
}

#define RING_LIVE 2U

/* Forget a damaged ring: the hints in it are lost, and found by the repair thread's scan. */
static void abandon_ring(sh_self *self, uint32_t class_id) {
  sh_store32_release(sh_ring_of(&self->seg, self->index, class_id), 0);
  (void)sh_fetch_add32(&self->seg.header->x_rescan, 1U);
}

sh_status sh_self_ready_ring(sh_self *self, uint32_t class_id, sh_ring **ring) {
  sh_ring_memory memory = sh_self_ring_memory(self);
  for (uint32_t tries = 0; tries < 2U; tries++) {
    sh_status status = sh_self_ring(self, class_id, ring);
    if (status == SH_OK)
      status = sh_ring_reserve(*ring, &memory);
    if (status != SH_INVALID)
      return status;
    abandon_ring(self, class_id);
  }
  return SH_FULL;
}

sh_status sh_self_ring(sh_self *self, uint32_t class_id, sh_ring **ring) {
  sh_a32 *of = sh_ring_of(&self->seg, self->index, class_id);
  *ring = sh_ring_named(&self->seg, self->index, class_id);
  if (*ring)
    return SH_OK;
  uint32_t index;
  uint64_t word;
  sh_status status = sh_self_alloc(self, SH_POOL_RING, &index, &word);
  if (status != SH_OK)
    return status;
  sh_ring *r = sh_ring_at(&self->seg, index);
  r->writer = self->index;
  r->class_id = class_id;
  /* LIVE before it is named: a kill in between costs one ring, which the sweep frees. */
  sh_store_release(&r->word, sh_word(sh_word_generation(word), RING_LIVE, self->index, 0));
  sh_store32_release(of, index + 1U); /* takers look here with an acquire */
  *ring = r;
  return SH_OK;
}
