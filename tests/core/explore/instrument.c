/* SPDX-License-Identifier: Apache-2.0
 *
 * What code that is compiled with -fsanitize=thread calls: one function for each kind of access. This file stands in for the
 * sanitizer's runtime; nothing here is itself instrumented. It also keeps track of the pages of the world that were written,
 * so that the next execution begins with the same world. */
#include "explore.h"

#include <string.h>

#define PC __builtin_return_address(0)
#define EXPORT __attribute__((visibility("default")))

/* ---- the world ---- */

#define PAGE 512U
uint8_t xp_world[XP_WORLD_BYTES] __attribute__((aligned(4096)));
static uint8_t sealed_world[XP_WORLD_BYTES] __attribute__((aligned(4096)));
static uint8_t is_dirty[XP_WORLD_BYTES / PAGE];
static uint32_t dirty[XP_WORLD_BYTES / PAGE], n_dirty;
/* What a dirty page adds to the hash of the world, and whether that is still true. */
static uint64_t added[XP_WORLD_BYTES / PAGE], sealed_hash[XP_WORLD_BYTES / PAGE], hash_of_world;
static uint32_t touched[XP_WORLD_BYTES / PAGE], n_touched;
static uint8_t is_touched[XP_WORLD_BYTES / PAGE];

void xp_dirty(const volatile void *at, size_t bytes) {
  if (!xp_in_world(at) || bytes == 0)
    return;
  size_t first = (size_t)((uintptr_t)at - (uintptr_t)xp_world), last = first + bytes - 1U;
  for (size_t page = first / PAGE; page <= last / PAGE; page++)
    if (!is_dirty[page]) {
      is_dirty[page] = 1;
      dirty[n_dirty++] = (uint32_t)page;
    }
  for (size_t page = first / PAGE; page <= last / PAGE; page++)
    if (!is_touched[page]) {
      is_touched[page] = 1;
      touched[n_touched++] = (uint32_t)page;
    }
}

static uint64_t page_hash(const uint8_t *world, uint32_t page) {
  __extension__ typedef unsigned __int128 wide;
  uint64_t h = page + 1U;
  for (uint32_t i = 0; i < PAGE; i += 8U) {
    uint64_t v;
    __real_memcpy(&v, world + (size_t)page * PAGE + i, 8);
    wide p = (wide)(h ^ v ^ 0x8CB92BA72F3D8DD7U) * 0x9E3779B97F4A7C15U;
    h = (uint64_t)p ^ (uint64_t)(p >> 64);
  }
  return h;
}

uint64_t xp_world_hash(void) {
  while (n_touched) {
    uint32_t page = touched[--n_touched];
    is_touched[page] = 0;
    if (sealed_hash[page] == 0)
      sealed_hash[page] = page_hash(sealed_world, page);
    uint64_t adds = page_hash(xp_world, page) - sealed_hash[page];
    hash_of_world += adds - added[page];
    added[page] = adds;
  }
  return hash_of_world;
}

static void forget_dirty(void) {
  while (n_touched)
    is_touched[touched[--n_touched]] = 0;
  while (n_dirty) {
    is_dirty[dirty[--n_dirty]] = 0;
    added[dirty[n_dirty]] = 0;
  }
  hash_of_world = 0;
}

void xp_world_seal(void) {
  __real_memcpy(sealed_world, xp_world, sizeof xp_world);
  forget_dirty();
}

void xp_world_restore(void) {
  static uint64_t looked;
  for (uint32_t i = 0; i < n_dirty; i++)
    __real_memcpy(xp_world + (size_t)dirty[i] * PAGE, sealed_world + (size_t)dirty[i] * PAGE, PAGE);
  forget_dirty();
  looked++;
  if ((looked & (looked - 1U)) == 0 && memcmp(sealed_world, xp_world, sizeof xp_world) != 0) {
    size_t at = 0;
    while (sealed_world[at] == xp_world[at])
      at++;
    xp_fail(__FILE__, __LINE__, "a write to the world was not seen", at, 0);
  }
}

/* ---- plain accesses ---- */

#define PLAIN(name, bytes, write)     \
  EXPORT void __tsan_##name(void *p); \
  void __tsan_##name(void *p) {       \
    xp_plain(p, bytes, write, PC);    \
  }
#define PLAIN_BOTH(bytes)                    \
  PLAIN(read##bytes, bytes, false)           \
  PLAIN(write##bytes, bytes, true)           \
  PLAIN(unaligned_read##bytes, bytes, false) \
  PLAIN(unaligned_write##bytes, bytes, true) \
  PLAIN(volatile_read##bytes, bytes, false)  \
  PLAIN(volatile_write##bytes, bytes, true)
PLAIN_BOTH(1)
PLAIN_BOTH(2)
PLAIN_BOTH(4)
PLAIN_BOTH(8)
PLAIN_BOTH(16)

EXPORT void __tsan_read_range(void *p, size_t bytes);
EXPORT void __tsan_write_range(void *p, size_t bytes);
void __tsan_read_range(void *p, size_t bytes) {
  xp_plain(p, bytes, false, PC);
}
void __tsan_write_range(void *p, size_t bytes) {
  xp_plain(p, bytes, true, PC);
}
EXPORT void __tsan_init(void);
void __tsan_init(void) {}

/* The linker sends the core's calls of these functions here (--wrap). */
EXPORT void *__wrap_memcpy(void *to, const void *from, size_t bytes);
EXPORT void *__wrap_memmove(void *to, const void *from, size_t bytes);
EXPORT void *__wrap_memset(void *to, int value, size_t bytes);
void *__wrap_memcpy(void *to, const void *from, size_t bytes) {
  if (bytes) {
    xp_plain(from, bytes, false, PC);
    xp_plain(to, bytes, true, PC);
  }
  return __real_memcpy(to, from, bytes);
}
void *__wrap_memmove(void *to, const void *from, size_t bytes) {
  if (bytes) {
    xp_plain(from, bytes, false, PC);
    xp_plain(to, bytes, true, PC);
  }
  return __real_memmove(to, from, bytes);
}
void *__wrap_memset(void *to, int value, size_t bytes) {
  if (bytes)
    xp_plain(to, bytes, true, PC);
  return __real_memset(to, value, bytes);
}

/* What it moves is one process's own. */
void __real_qsort(void *base, size_t n, size_t bytes, int (*compare)(const void *, const void *));
EXPORT void __wrap_qsort(void *base, size_t n, size_t bytes, int (*compare)(const void *, const void *));
void __wrap_qsort(void *base, size_t n, size_t bytes, int (*compare)(const void *, const void *)) {
  xp_plain(base, n * bytes, true, PC);
  __real_qsort(base, n, bytes, compare);
}

/* ---- atomic operations ---- */

static uint64_t change_exchange(uint64_t before, uint64_t v) {
  (void)before;
  return v;
}
static uint64_t change_fetch_add(uint64_t before, uint64_t v) {
  return before + v;
}
static uint64_t change_fetch_or(uint64_t before, uint64_t v) {
  return before | v;
}
static uint64_t change_fetch_and(uint64_t before, uint64_t v) {
  return before & v;
}

#define CHANGE(bits, name)                                                                           \
  EXPORT uint##bits##_t __tsan_atomic##bits##_##name(volatile void *p, uint##bits##_t v, int order); \
  uint##bits##_t __tsan_atomic##bits##_##name(volatile void *p, uint##bits##_t v, int order) {       \
    return (uint##bits##_t)xp_rmw(p, bits / 8U, change_##name, v, order, PC);                        \
  }
#define ATOMIC(bits)                                                                                         \
  EXPORT uint##bits##_t __tsan_atomic##bits##_load(const volatile void *p, int order);                       \
  uint##bits##_t __tsan_atomic##bits##_load(const volatile void *p, int order) {                             \
    return (uint##bits##_t)xp_load(p, bits / 8U, order, PC);                                                 \
  }                                                                                                          \
  EXPORT void __tsan_atomic##bits##_store(volatile void *p, uint##bits##_t v, int order);                    \
  void __tsan_atomic##bits##_store(volatile void *p, uint##bits##_t v, int order) {                          \
    xp_store(p, bits / 8U, v, order, PC);                                                                    \
  }                                                                                                          \
  EXPORT bool __tsan_atomic##bits##_compare_exchange_strong(volatile void *p, uint##bits##_t *expected,      \
                                                            uint##bits##_t desired, int order, int failure); \
  bool __tsan_atomic##bits##_compare_exchange_strong(volatile void *p, uint##bits##_t *expected,             \
                                                     uint##bits##_t desired, int order, int failure) {       \
    uint64_t seen = *expected;                                                                               \
    bool done = xp_cas(p, bits / 8U, &seen, desired, order, failure, PC);                                    \
    *expected = (uint##bits##_t)seen;                                                                        \
    return done;                                                                                             \
  }                                                                                                          \
  CHANGE(bits, exchange)                                                                                     \
  CHANGE(bits, fetch_add)                                                                                    \
  CHANGE(bits, fetch_or)                                                                                     \
  CHANGE(bits, fetch_and)
ATOMIC(8)
ATOMIC(16)
ATOMIC(32)
ATOMIC(64)

EXPORT void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order) {
  xp_fence(order, PC);
}
