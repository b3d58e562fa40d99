/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies of every kind, small, shared out and streaming, from and to odd addresses: all bytes, and none beside them. */
#include "base/copy.h"
#include "rig.h"

#include <stdlib.h>
#include <string.h>

#define ROOM ((40U << 20) + 8192U)
#define GUARD 0xA5

static uint8_t *source, *target;

static void check_copy(size_t bytes, size_t from, size_t to, uint32_t threads, bool cold) {
  memset(target + to, 0, bytes);
  memset(target, GUARD, to);
  memset(target + to + bytes, GUARD, 64);
  sh_copy(target + to, source + from, bytes, threads, cold);
  EXPECT(memcmp(target + to, source + from, bytes) == 0);
  for (size_t i = 0; i < to; i++)
    EXPECT(target[i] == GUARD);
  for (size_t i = 0; i < 64; i++)
    EXPECT(target[to + bytes + i] == GUARD);
}

static void test_all_bytes_and_none_beside_them(void) {
  source = malloc(ROOM);
  target = malloc(ROOM);
  EXPECT(source && target);
  uint32_t x = 1;
  for (size_t i = 0; i < ROOM; i++)
    source[i] = (uint8_t)((x = x * 1664525U + 1013904223U) >> 24);
  size_t sizes[] = {0, 1, 4095, 70000, 4U << 20, (5U << 20) + 3U, 32U << 20, (40U << 20) + 2U, (40U << 20) + 77U};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (uint32_t threads = 1; threads <= 3; threads++)
      for (int cold = 0; cold < 2; cold++) {
        check_copy(sizes[s], 0, 0, threads, cold != 0);
        check_copy(sizes[s], 3, 192, threads, cold != 0);
        check_copy(sizes[s], 64, 17, threads, cold != 0);
      }
  free(source);
  free(target);
}

int main(void) {
  RUN(test_all_bytes_and_none_beside_them);
  return 0;
}
