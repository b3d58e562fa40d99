/* SPDX-License-Identifier: Apache-2.0
 *
 * Verbs one step weaker than those of base/atomic.h, for mutate.py, which compiles mutants of the core with this included
 * before everything else. */
#ifndef TESTS_CORE_WEAKER_H
#define TESTS_CORE_WEAKER_H

#include "base/atomic.h"

/* An RMW that does not release, and one that does not acquire. */
#define WEAKER_CAS(name, word, value)                                                                                 \
  static inline bool name##_acquire(word *p, value *expected, value desired) {                                        \
    SH_HOOK(p);                                                                                                       \
    return atomic_compare_exchange_strong_explicit(p, expected, desired, memory_order_acquire, memory_order_acquire); \
  }                                                                                                                   \
  static inline bool name##_release(word *p, value *expected, value desired) {                                        \
    SH_HOOK(p);                                                                                                       \
    return atomic_compare_exchange_strong_explicit(p, expected, desired, memory_order_release, memory_order_relaxed); \
  }
WEAKER_CAS(sh_cas, sh_a64, uint64_t)
WEAKER_CAS(sh_cas32, sh_a32, uint32_t)

#define WEAKER_RMW(name, word, value, operation)             \
  static inline value name##_acquire(word *p, value v) {     \
    SH_HOOK(p);                                              \
    return operation##_explicit(p, v, memory_order_acquire); \
  }                                                          \
  static inline value name##_release(word *p, value v) {     \
    SH_HOOK(p);                                              \
    return operation##_explicit(p, v, memory_order_release); \
  }
WEAKER_RMW(sh_fetch_or, sh_a64, uint64_t, atomic_fetch_or)
WEAKER_RMW(sh_fetch_and, sh_a64, uint64_t, atomic_fetch_and)
WEAKER_RMW(sh_exchange, sh_a64, uint64_t, atomic_exchange)
WEAKER_RMW(sh_fetch_add32, sh_a32, uint32_t, atomic_fetch_add)

static inline void sh_store8_release(sh_a8 *p, uint8_t v) {
  SH_HOOK(p);
  atomic_store_explicit(p, v, memory_order_release);
}

#endif
