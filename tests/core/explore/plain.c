/* SPDX-License-Identifier: Apache-2.0
 *
 * Plain memory, by four bytes: who wrote last and who has read since, with their clocks. Accesses must be ordered by
 * happens-before; a race is a failure. */
#include "views.h"

typedef struct shadow {
  uint32_t wrote, writer, brings; /* brings: a message with what a fence before the write gave along */
  uint32_t read[XP_PROCESSES];
} shadow;
#define MAX_SHADOWS 16384U
static uint16_t shadow_of[XP_WORLD_BYTES / XP_GRAIN];
static shadow shadows[MAX_SHADOWS];
static uint32_t shadow_grain[MAX_SHADOWS], n_shadows;

static bool is_before(const xp_view *seen, uint32_t process, uint32_t clock) {
  return clock == 0 || seen->clock[process] >= clock;
}

void xp_plain(const volatile void *at, size_t bytes, bool write, const void *pc) {
  if (!xp_in_world(at))
    return;
  if (write)
    xp_dirty(at, bytes);
  uint32_t me = xp_me();
  if (me == XP_EVERYBODY || !xp_exploring() || xp_model_now != XP_C11 || xp_does_not_count())
    return;
  xp_view *now = &xp_threads[me].now;
  size_t first = xp_offset(at) / XP_GRAIN, last = (xp_offset(at) + bytes - 1U) / XP_GRAIN;
  for (size_t g = first; g <= last; g++) {
    if (!xp_is_shared_grain(g, write))
      continue;
    if (xp_threads[me].published)
      now->clock[me]++;
    xp_threads[me].published = false;
    if (shadow_of[g] == 0) {
      if (n_shadows + 1U == MAX_SHADOWS)
        xp_fail(__FILE__, __LINE__, "too much plain memory", n_shadows, 0);
      shadow_grain[++n_shadows] = (uint32_t)g;
      __real_memset(&shadows[n_shadows], 0, sizeof *shadows);
      shadow_of[g] = (uint16_t)n_shadows;
    }
    shadow *s = &shadows[shadow_of[g]];
    bool race = s->wrote && s->writer != me && !is_before(now, s->writer, s->wrote);
    bool lenient = xp_playing()->may_read_behind;
    if (race && lenient && !write && s->brings)
      xp_join_view(&xp_threads[me].for_acquire, &xp_message_of(s->brings)->seen);
    race &= write || !lenient;
    for (uint32_t p = 0; write && !lenient && p < XP_PROCESSES; p++)
      race |= p != me && !is_before(now, p, s->read[p]);
    if (race) {
      xp_note(write ? XP_STORE : XP_LOAD, xp_world + g * XP_GRAIN, 99U, 0);
      (void)pc;
      xp_fail("plain memory", 0, "a race: not ordered with an earlier access of", s->writer, g * XP_GRAIN);
    }
    if (write) {
      __real_memset(s, 0, sizeof *s);
      s->wrote = now->clock[me];
      s->writer = me;
      if (lenient) {
        xp_message *m = xp_new_message(0, 0);
        xp_copy_view(&m->seen, &xp_threads[me].for_release);
        s->brings = xp_message_number(m);
      }
    } else {
      s->read[me] = now->clock[me];
    }
  }
}

void xp_plain_reset(void) {
  for (uint32_t i = 1; i <= n_shadows; i++)
    shadow_of[shadow_grain[i]] = 0;
  n_shadows = 0;
}

uint64_t xp_plain_hash(void) {
  uint64_t sum = 0;
  for (uint32_t i = 1; i <= n_shadows; i++) {
    uint64_t h = xp_mix(shadow_grain[i], (uint64_t)shadows[i].wrote << 8 | shadows[i].writer);
    for (uint32_t p = 0; p < XP_PROCESSES; p++)
      h = xp_mix(h, shadows[i].read[p]);
    sum += h;
  }
  return sum;
}
