/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches of the core's primitive operations, for test_bench_core.py: one node, clients that are structures of this
 * process, no Python between two operations. Every function leaves the node as it found it. */
#include "node/idle.h"
#include "node/object.h"
#include "node/refs.h"
#include "node/repair.h"
#include "node/seat.h"
#include "node/task.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct bench {
  sh_repair d;
  sh_self driver, worker;
  uint32_t class_id;
  pthread_t sleeper;
  sh_park there, back;
  sh_a32 stop;
} bench;

static bool attach(bench *b, sh_self *self, uint32_t role) {
  uint32_t index, epoch;
  return sh_repair_register(&b->d, 0, -1, role, -1, 1, 0, &index, &epoch) == SH_OK &&
         sh_self_open_over(self, &b->d.seg, b->d.poke_fd, index, epoch) == SH_OK;
}

void bench_close(bench *b) {
  sh_self_close(&b->driver);
  sh_self_close(&b->worker);
  sh_repair_close(&b->d);
  free(b);
}

bench *bench_open(uint64_t store_bytes) {
  bench *b = calloc(1, sizeof *b);
  sh_segment_config config = {.store_bytes = store_bytes, .n_seats = 1, .cores = 2};
  sh_shape shape = {.root = 1, .cpu_milli = SH_CPU_MILLI};
  if (b && sh_repair_open(&b->d, &config) == SH_OK && sh_repair_define_class(&b->d, &shape, &b->class_id) == SH_OK &&
      attach(b, &b->driver, SH_ROLE_DRIVER) && attach(b, &b->worker, SH_ROLE_WORKER))
    return b;
  if (b)
    bench_close(b);
  return NULL;
}

/* Take and give back a record and room for `bytes`, n times. -> how often it worked. */
uint64_t bench_allocate_free(bench *b, uint64_t n, uint64_t bytes) {
  uint64_t good = 0;
  for (uint64_t i = 0; i < n; i++) {
    sh_put put;
    if (sh_put_begin(&b->driver, bytes, &put) != SH_OK)
      continue;
    sh_put_abort(&b->driver, &put);
    good++;
  }
  return good;
}

/* Publish an object of `bytes`, whose contents are left alone, and drop it. */
uint64_t bench_create_seal_drop(bench *b, uint64_t n, uint64_t bytes) {
  uint64_t good = 0;
  for (uint64_t i = 0; i < n; i++) {
    sh_put put;
    if (sh_put_begin(&b->driver, bytes, &put) != SH_OK)
      continue;
    sh_put_commit(&b->driver, &put, 0);
    sh_ref_drop(&b->driver, put.ref);
    good++;
  }
  return good;
}

/* Push n hints, then pop them. */
uint64_t bench_push_pop(bench *b, uint64_t n) {
  sh_ring *ring;
  sh_ring_memory memory = sh_self_ring_memory(&b->driver);
  if (sh_self_ring(&b->driver, b->class_id, &ring) != SH_OK)
    return 0;
  uint64_t good = 0, hint;
  bool was_empty;
  for (uint64_t i = 0; i < n; i++)
    good += sh_ring_push(ring, &memory, i, &was_empty) == SH_OK;
  for (uint64_t i = 0; i < n; i++)
    good -= sh_ring_pop(ring, &memory, &b->driver.me->op, &hint) != SH_OK;
  sh_store_release(&b->driver.me->op, 0);
  return good;
}

static bool submit(bench *b, sh_ref *out) {
  sh_call call = {.class_id = b->class_id, .n_returns = 1};
  uint32_t slot;
  uint8_t *payload;
  return sh_submit_begin(&b->driver, &call, 0, 0, &slot, &payload, out) == SH_OK &&
         sh_submit_commit(&b->driver, slot, false, out) == SH_OK;
}

/* The four steps of a batch of tasks without arguments, to be timed one by one. */
uint64_t bench_submit(bench *b, uint64_t n, sh_ref *out) {
  uint64_t good = 0;
  for (uint64_t i = 0; i < n; i++)
    good += submit(b, &out[i]);
  return good;
}
uint64_t bench_claim(bench *b, uint64_t n, uint32_t *slots) {
  uint64_t good = 0;
  for (uint64_t i = 0; i < n; i++)
    good += sh_next_try(&b->worker, &slots[i]) == SH_OK;
  return good;
}
uint64_t bench_commit(bench *b, uint64_t n, const uint32_t *slots) {
  uint64_t good = 0;
  for (uint64_t i = 0; i < n; i++) {
    sh_ref out = sh_slot_return(&b->worker.seg, sh_slot_at(&b->worker.seg, slots[i]), 0);
    uint8_t *data;
    good += sh_fill(&b->worker, out, 8, 0, &data) == SH_OK && sh_commit(&b->worker, slots[i]) == SH_OK;
  }
  return good;
}
uint64_t bench_drop(bench *b, uint64_t n, const sh_ref *out) {
  for (uint64_t i = 0; i < n; i++)
    sh_ref_drop(&b->driver, out[i]);
  return n;
}

/* ---- waking a thread that sleeps on its futex, and being woken by it ---- */

static void sleep_until_woken(sh_park *p, uint32_t seq) {
  while (sh_park_prepare(p) == seq) {
    sh_park_announce(p, seq);
    (void)sh_park_sleep(p, seq, UINT64_MAX);
  }
}

static void *answer_wakes(void *context) {
  bench *b = context;
  for (uint32_t seq = 0; !sh_load32_acquire(&b->stop); seq++) {
    sleep_until_woken(&b->there, seq);
    (void)sh_park_wake(&b->back);
  }
  return NULL;
}

bool bench_wake_begin(bench *b) {
  b->there = b->back = (sh_park){0};
  sh_store32_release(&b->stop, 0);
  return pthread_create(&b->sleeper, NULL, answer_wakes, b) == 0;
}
/* n round trips of two wakes. */
uint64_t bench_wake(bench *b, uint64_t n) {
  for (uint64_t i = 0; i < n; i++) {
    uint32_t seq = sh_park_prepare(&b->back);
    (void)sh_park_wake(&b->there);
    sleep_until_woken(&b->back, seq);
  }
  return n;
}
void bench_wake_end(bench *b) {
  sh_store32_release(&b->stop, 1U);
  (void)sh_park_wake(&b->there);
  (void)pthread_join(b->sleeper, NULL);
}

/* A wake when nobody sleeps: what every seal pays. */
uint64_t bench_wake_nobody(bench *b, uint64_t n) {
  for (uint64_t i = 0; i < n; i++)
    sh_wake_client(&b->d.seg, b->worker.index);
  return n;
}
