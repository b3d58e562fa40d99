/* SPDX-License-Identifier: Apache-2.0
 * Waste of the allocator on recorded traces of programs (traces/record.py): what was asked for, what the blocks and runs in
 * use hold, and what was claimed for them, at the moment when most was in use. The bounds are those of heap.h. */
#include "rig.h"

#define CLIENTS 32U
#define FIRST_CLIENT 40U

typedef struct held {
  uint64_t loc, bytes;
} held;

typedef struct waste {
  uint64_t asked, held, claimed, events, clients;
} waste;

static rig r;
static const sh_segment *s;

static uint64_t number(FILE *file) {
  uint64_t value = 0;
  for (uint32_t shift = 0;; shift += 7U) {
    int byte = fgetc(file);
    EXPECT(byte != EOF && shift < 64U);
    value |= (uint64_t)(byte & 127) << shift;
    if (byte < 128)
      return value;
  }
}

static uint64_t claimed(void) {
  uint64_t bytes = sh_heap_arenas_claimed(s) * SH_ARENA_BYTES;
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++) {
    const sh_pool *p = sh_pool_of(s, SH_POOL_BLOCK + c);
    bytes += (uint64_t)sh_pool_used_chunks(s, SH_POOL_BLOCK + c) * p->chunk_records * p->record_bytes;
  }
  return bytes;
}

static waste replay(const char *name) {
  static sh_heap heaps[CLIENTS];
  char path[512];
  const char *here = getenv("SHOAL_TRACES");
  (void)snprintf(path, sizeof path, "%s/%s.trace", here ? here : TRACES, name);
  FILE *file = fopen(path, "rb");
  EXPECT(file);
  held *items = NULL;
  uint64_t made = 0, room = 0, asked = 0, held_now = 0;
  waste most = {0};
  rig_open_sized(&r, 0, 1, 2ULL << 30);
  s = &r.d.seg;
  memset(heaps, 0, sizeof heaps);
  for (int byte; (byte = fgetc(file)) != EOF; most.events++) {
    uint32_t client = (uint32_t)byte / 2U;
    uint64_t value = number(file);
    EXPECT(client < CLIENTS);
    most.clients = client + 1U > most.clients ? client + 1U : most.clients;
    if (made == room)
      EXPECT((items = realloc(items, (room += 4096U) * sizeof *items)) != NULL);
    held *it = byte % 2 ? &items[made - value] : &items[made];
    uint64_t at = (uint64_t)(it - items), tag;
    tag = sh_tag(SH_TAG_ENTRY, (sh_ref){.index = (uint32_t)at, .generation = 1});
    if (byte % 2) {
      asked -= it->bytes;
      held_now -= sh_heap_capacity(s, it->loc);
      EXPECT(sh_heap_free(s, &heaps[client], FIRST_CLIENT + client, it->loc, tag));
      continue;
    }
    it->bytes = value;
    EXPECT_EQ(sh_heap_alloc(s, &heaps[client], FIRST_CLIENT + client, tag, value, NULL, NULL, &it->loc), SH_OK);
    made++;
    asked += value;
    held_now += sh_heap_capacity(s, it->loc);
    if (asked >= most.asked) {
      most.asked = asked;
      most.held = held_now;
      most.claimed = claimed();
    }
  }
  EXPECT(sh_heap_is_valid(s));
  (void)fclose(file);
  free(items);
  for (uint32_t c = 0; c < CLIENTS; c++)
    sh_heap_destroy(&heaps[c]);
  rig_close(&r);
  return most;
}

static void test_waste_is_bounded(const char *name) {
  rig_running(name);
  waste w = replay(name);
  if (getenv("SHOAL_TEST_VERBOSE"))
    fprintf(stderr, "| %s | %llu | %llu | %.1f | %.1f | %.1f |\n", name, (unsigned long long)w.events,
            (unsigned long long)w.clients, (double)w.asked / 1e6, (double)w.held / 1e6, (double)w.claimed / 1e6);
  EXPECT(w.events > 1000 && w.asked > 100000);
  EXPECT(w.held < 2U * w.asked + SH_BLOCK_MIN * w.events);
  /* For each client that uses them: a chunk of each size, and an arena that is not full. */
  EXPECT(w.claimed < 2U * w.held + w.clients * (SH_BLOCK_CLASSES * (512ULL << 10) + SH_ARENA_BYTES));
}

int main(void) {
  test_waste_is_bounded("rollouts");
  test_waste_is_bounded("puts");
  test_waste_is_bounded("calls");
  return 0;
}
