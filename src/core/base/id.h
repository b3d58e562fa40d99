/* SPDX-License-Identifier: Apache-2.0
 *
 * Identities. TaskId = root (32 bits) and a fixed hash of (parent TaskId, counter) (96 bits); ObjectId = TaskId and a
 * 32-bit number (return, put or stream item). The hash below is part of the format: a re-executed parent must name its
 * children as it did the first time, on any machine.
 *
 * hash: three rounds of 64x64->128-bit multiply and fold (the mixing step of wyhash, W. Yi 2019, with our own schedule).
 */
#ifndef SH_BASE_ID_H
#define SH_BASE_ID_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sh_id128 {
  uint64_t lo, hi;
} sh_id128;

static inline uint64_t sh_fold(uint64_t a, uint64_t b) {
  __extension__ typedef unsigned __int128 wide;
  wide p = (wide)a * b;
  return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* The id of the `counter`-th call made by `parent`. The root is carried over in the low 32 bits of lo. */
static inline sh_id128 sh_id_child(sh_id128 parent, uint64_t counter) {
  uint64_t a = sh_fold(parent.lo ^ 0x9E3779B97F4A7C15U, parent.hi ^ 0xD1B54A32D192ED03U);
  uint64_t b = sh_fold(a ^ counter, 0x8CB92BA72F3D8DD7U ^ parent.hi);
  uint64_t c = sh_fold(b ^ 0xA0761D6478BD642FU, a ^ counter ^ 0xE7037ED1A0B428DBU);
  sh_id128 id = {.lo = (parent.lo & 0xFFFFFFFFU) | (b & 0xFFFFFFFF00000000U), .hi = (c & ~1ULL) | (parent.hi & 1U)};
  return id;
}

/* An identity that nobody can derive again, for a thread that has none: `random` in place of a counter. */
static inline sh_id128 sh_id_draw(sh_id128 parent, uint64_t random) {
  sh_id128 id = sh_id_child(parent, random);
  id.hi |= 1U;
  return id;
}

/* Was it drawn, or does it lie below one that was? The lowest bit of hi goes down with the ids. */
static inline bool sh_id_is_drawn(sh_id128 id) {
  return (id.hi & 1U) != 0;
}

/* The id that a job's driver acts under. */
static inline sh_id128 sh_id_root(uint32_t root) {
  sh_id128 id = {.lo = root, .hi = 0};
  return id;
}

static inline uint32_t sh_id_root_of(sh_id128 id) {
  return (uint32_t)id.lo;
}

#endif
