/* SPDX-License-Identifier: Apache-2.0 */
#include "disk.h"

#define PLACES 4096U

static uint8_t *disk[PLACES];
static uint64_t last_place;

void disk_open(rig *r, uint32_t n_workers, uint64_t store_bytes) {
  rig_open_sized(r, n_workers, 1, store_bytes);
  last_place = 0;
}

void disk_close(rig *r) {
  for (uint64_t i = 0; i <= last_place; i++) {
    free(disk[i]);
    disk[i] = NULL;
  }
  rig_close(r);
}

bool disk_write(rig *r, sh_ref ref) {
  uint64_t bytes = 0;
  const uint8_t *data = sh_spill_bytes(&r->d, ref, &bytes);
  EXPECT(data != NULL);
  uint64_t place = ++last_place;
  EXPECT(place < PLACES);
  disk[place] = malloc(bytes);
  memcpy(disk[place], data, bytes);
  return sh_spill_written(&r->d, ref, place) == SH_OK;
}

void disk_spill(rig *r, sh_ref ref) {
  EXPECT(disk_write(r, ref));
  EXPECT_EQ(sh_spill_evict(&r->d, ref), SH_OK);
}

void disk_read(const sh_restore *restore) {
  memcpy(restore->data, disk[restore->place], restore->bytes);
}

void disk_bring_back(rig *r, sh_ref ref) {
  sh_restore restore;
  EXPECT_EQ(sh_restore_begin(&r->d, ref, &restore), SH_OK);
  disk_read(&restore);
  EXPECT_EQ(sh_restore_commit(&r->d, &restore), SH_OK);
}

void disk_expect_empty(rig *r) {
  uint64_t places[64];
  rig_rounds(r, 2);
  while (sh_spill_gone(&r->d, places, 64, PLACES))
    continue;
  rig_expect_empty(r);
  EXPECT_EQ(r->d.spill.n_live, 0);
  EXPECT_EQ(r->d.spill.n_away, 0);
  EXPECT_EQ(r->d.spill.bytes_away, 0);
}

uint64_t disk_look(sh_self *self, sh_ref ref) {
  sh_pin(self, ref);
  EXPECT(sh_object_look(self, ref) != NULL);
  uint64_t value = rig_value(self, ref);
  sh_unpin(self, ref);
  return value;
}

void disk_expect_paid(rig *r) {
  const sh_segment *s = &r->d.seg;
  uint64_t paid = 0, claimed = 0;
  for (uint32_t c = 0; c < sh_clients_high(s); c++) {
    const sh_client *client = sh_client_at(s, c);
    paid += sh_load_relaxed(&client->x_claimed_store) + sh_load_relaxed(&client->x_claimed_records);
  }
  for (uint32_t pool = 0; pool < SH_POOL_COUNT; pool++) {
    const sh_pool *p = sh_pool_of(s, pool);
    for (uint32_t chunk = 0; chunk < sh_pool_used_chunks(s, pool); chunk++)
      if (sh_load32_relaxed(sh_pool_owner(s, p, chunk)) != SH_CHUNK_RETURNED)
        claimed += (uint64_t)p->chunk_records * p->record_bytes;
  }
  EXPECT_EQ(paid, claimed);
}
