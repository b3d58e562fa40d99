/* SPDX-License-Identifier: Apache-2.0
 *
 * Atomic words of the segment. The memory order is part of the verb; nothing else in the core touches a shared word.
 *
 * Every store, exchange, CAS and fetch-op is one *hook point*: in a build with SH_HOOKS the function sh_hook is called
 * immediately before it, so that a test can kill, stop or interleave the process exactly there. A process that is killed
 * leaves behind a prefix of these stores; the harness visits every such prefix.
 */
#ifndef SH_BASE_ATOMIC_H
#define SH_BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t sh_a64;
typedef _Atomic uint32_t sh_a32;
typedef _Atomic uint8_t sh_a8;

_Static_assert(sizeof(sh_a64) == 8 && ATOMIC_LLONG_LOCK_FREE == 2, "64-bit words must be lock-free");
_Static_assert(sizeof(sh_a32) == 4 && ATOMIC_INT_LOCK_FREE == 2, "32-bit words must be lock-free");

#if defined(SH_HOOKS) && SH_HOOKS
/* Set by a test before any core call of the process; called with the address about to be written. */
extern void (*sh_hook_fn)(const volatile void *word);

/* A place in the source where a verb below is called. All of them lie one after the other in a section of the program, so
 * that a test can tell those that it visited from those that there are. */
typedef struct sh_site {
  _Alignas(32) const char *file; /* the compiler may align it so anyway, and the linker must not leave gaps */
  const char *function;
  int line;
} sh_site;
extern _Thread_local const sh_site *sh_hook_site; /* of the verb that is about to write */
#define SH_HOOK(p)                            \
  do {                                        \
    if (sh_hook_fn)                           \
      sh_hook_fn((const volatile void *)(p)); \
  } while (0)
#else
#define SH_HOOK(p) ((void)0)
#endif

static inline uint64_t sh_load_relaxed(const sh_a64 *p) {
  return atomic_load_explicit((sh_a64 *)p, memory_order_relaxed);
}
static inline uint64_t sh_load_acquire(const sh_a64 *p) {
  return atomic_load_explicit((sh_a64 *)p, memory_order_acquire);
}
static inline uint64_t sh_load_seqcst(const sh_a64 *p) {
  return atomic_load_explicit((sh_a64 *)p, memory_order_seq_cst);
}
/* A number in a record that may become another's at this very moment. Whoever has the record stores it plainly, before the word
 * that publishes it; who reads behind his back does so by this verb: one relaxed load of an aligned number, neither torn nor
 * repeated. What it says is anything, and its bounds are checked before it is used; it is the record's own only if the
 * record's word is still the same after an acquire fence, against the release fence of whoever takes the record next (G). */
#define sh_peek(p) __atomic_load_n(p, __ATOMIC_RELAXED)

static inline void sh_store_relaxed(sh_a64 *p, uint64_t v) {
  SH_HOOK(p);
  atomic_store_explicit(p, v, memory_order_relaxed);
}
static inline void sh_store_release(sh_a64 *p, uint64_t v) {
  SH_HOOK(p);
  atomic_store_explicit(p, v, memory_order_release);
}
static inline void sh_store_seqcst(sh_a64 *p, uint64_t v) {
  SH_HOOK(p);
  atomic_store_explicit(p, v, memory_order_seq_cst);
}
/* On failure *expected holds what was found. Sequentially consistent on success: these are the decisive steps. */
static inline bool sh_cas(sh_a64 *p, uint64_t *expected, uint64_t desired) {
  SH_HOOK(p);
  return atomic_compare_exchange_strong_explicit(p, expected, desired, memory_order_seq_cst, memory_order_acquire);
}
static inline uint64_t sh_fetch_or(sh_a64 *p, uint64_t bits) {
  SH_HOOK(p);
  return atomic_fetch_or_explicit(p, bits, memory_order_seq_cst);
}
static inline uint64_t sh_fetch_and(sh_a64 *p, uint64_t bits) {
  SH_HOOK(p);
  return atomic_fetch_and_explicit(p, bits, memory_order_seq_cst);
}
static inline uint64_t sh_exchange(sh_a64 *p, uint64_t v) {
  SH_HOOK(p);
  return atomic_exchange_explicit(p, v, memory_order_seq_cst);
}

static inline uint32_t sh_load32_relaxed(const sh_a32 *p) {
  return atomic_load_explicit((sh_a32 *)p, memory_order_relaxed);
}
static inline uint32_t sh_load32_acquire(const sh_a32 *p) {
  return atomic_load_explicit((sh_a32 *)p, memory_order_acquire);
}
static inline uint32_t sh_load32_seqcst(const sh_a32 *p) {
  return atomic_load_explicit((sh_a32 *)p, memory_order_seq_cst);
}
static inline void sh_store32_relaxed(sh_a32 *p, uint32_t v) {
  SH_HOOK(p);
  atomic_store_explicit(p, v, memory_order_relaxed);
}
static inline void sh_store32_release(sh_a32 *p, uint32_t v) {
  SH_HOOK(p);
  atomic_store_explicit(p, v, memory_order_release);
}
static inline void sh_store32_seqcst(sh_a32 *p, uint32_t v) {
  SH_HOOK(p);
  atomic_store_explicit(p, v, memory_order_seq_cst);
}
static inline bool sh_cas32(sh_a32 *p, uint32_t *expected, uint32_t desired) {
  SH_HOOK(p);
  return atomic_compare_exchange_strong_explicit(p, expected, desired, memory_order_seq_cst, memory_order_acquire);
}
static inline uint32_t sh_fetch_add32(sh_a32 *p, uint32_t v) {
  SH_HOOK(p);
  return atomic_fetch_add_explicit(p, v, memory_order_seq_cst);
}
static inline void sh_store8_seqcst(sh_a8 *p, uint8_t v) {
  SH_HOOK(p);
  atomic_store_explicit(p, v, memory_order_seq_cst);
}
static inline void sh_store8_relaxed(sh_a8 *p, uint8_t v) {
  SH_HOOK(p);
  atomic_store_explicit(p, v, memory_order_relaxed);
}
static inline uint8_t sh_load8_relaxed(const sh_a8 *p) {
  return atomic_load_explicit((sh_a8 *)p, memory_order_relaxed);
}

/* A counter with one writer: no RMW needed, others may read it at any time. */
static inline void sh_bump(sh_a64 *p, uint64_t by) {
  sh_store_relaxed(p, sh_load_relaxed(p) + by);
}
/* Store-load fence: the two halves of a Dekker hand-shake (publish, fence, look). Call sites name both accesses. */
static inline void sh_fence(void) {
  atomic_thread_fence(memory_order_seq_cst);
}
/* What was read before, by relaxed loads or plain ones, then what is read from now on. */
static inline void sh_fence_acquire(void) {
  atomic_thread_fence(memory_order_acquire);
}
/* What was written before, then stores that somebody may read before he looks at it. No instruction on x86. */
static inline void sh_fence_release(void) {
  atomic_thread_fence(memory_order_release);
}
#if defined(SH_HOOKS) && SH_HOOKS
/* From here on every call of a verb that writes is a site. No verb is called in an argument of another. */
#define SH_HERE(call)                                                                                       \
  (__extension__({                                                                                          \
    static const sh_site here_ __attribute__((section("sh_sites"), used)) = {__FILE__, __func__, __LINE__}; \
    sh_hook_site = &here_;                                                                                  \
    call;                                                                                                   \
  }))
#define sh_store_relaxed(p, v) SH_HERE(sh_store_relaxed(p, v))
#define sh_store_release(p, v) SH_HERE(sh_store_release(p, v))
#define sh_store_seqcst(p, v) SH_HERE(sh_store_seqcst(p, v))
#define sh_cas(p, e, d) SH_HERE(sh_cas(p, e, d))
#define sh_fetch_or(p, b) SH_HERE(sh_fetch_or(p, b))
#define sh_fetch_and(p, b) SH_HERE(sh_fetch_and(p, b))
#define sh_exchange(p, v) SH_HERE(sh_exchange(p, v))
#define sh_store32_relaxed(p, v) SH_HERE(sh_store32_relaxed(p, v))
#define sh_store32_release(p, v) SH_HERE(sh_store32_release(p, v))
#define sh_store32_seqcst(p, v) SH_HERE(sh_store32_seqcst(p, v))
#define sh_cas32(p, e, d) SH_HERE(sh_cas32(p, e, d))
#define sh_fetch_add32(p, v) SH_HERE(sh_fetch_add32(p, v))
#define sh_store8_seqcst(p, v) SH_HERE(sh_store8_seqcst(p, v))
#define sh_bump(p, b) SH_HERE(sh_bump(p, b))
#endif
static inline void sh_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

#endif
