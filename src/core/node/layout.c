/* SPDX-License-Identifier: Apache-2.0 */
#include "node/layout.h"

#include "base/os.h"

#include <string.h>
#include <unistd.h>

#define HUGE_PAGE (2ULL << 20)
#define MIN_CHUNK 64U                  /* one word of hints */
#define MAX_CHUNK_BYTES (512ULL << 10) /* what a client claims at least, and is charged for, in each pool it uses */

typedef struct plan {
  uint64_t end;
} plan;

static uint64_t reserve(plan *p, uint64_t bytes, uint64_t align) {
  p->end = (p->end + align - 1U) / align * align;
  uint64_t at = p->end;
  p->end += bytes;
  return at;
}

/* `records` is a ceiling of addresses, not of memory: untouched records cost nothing. */
static void plan_pool(plan *p, sh_pool *pool, uint64_t records, uint32_t record_bytes, bool own_words) {
  uint32_t chunk = 1024U;
  while (chunk > MIN_CHUNK && (uint64_t)chunk * record_bytes > MAX_CHUNK_BYTES)
    chunk /= 2U;
  pool->record_bytes = record_bytes;
  pool->chunk_records = chunk;
  pool->n_chunks = (uint32_t)((records + chunk - 1U) / chunk);
  uint64_t capacity = (uint64_t)pool->n_chunks * chunk;
  pool->owners = reserve(p, capacity / chunk * sizeof(sh_a32), 4096);
  pool->hints = reserve(p, capacity / 64U * sizeof(sh_a64), 4096);
  pool->data = reserve(p, capacity * record_bytes, HUGE_PAGE);
  pool->word_stride = own_words ? record_bytes : (uint32_t)sizeof(sh_a64);
  pool->words = own_words ? pool->data : reserve(p, capacity * sizeof(sh_a64), 4096);
}

sh_status sh_node_create(sh_segment *s, const sh_segment_config *config) {
  if (config->n_seats > SH_MAX_SEATS || config->store_bytes < (1U << 20))
    return SH_INVALID;
  sh_geometry h;
  memset(&h, 0, sizeof h);
  plan p = {.end = sizeof(sh_segment_header)};
  uint64_t scale = config->small ? 1024U : 1U;
  uint64_t arenas = (config->store_bytes + SH_ARENA_BYTES - 1U) / SH_ARENA_BYTES;
  h.n_arenas = (uint32_t)(arenas < (1U << 20) ? arenas : (1U << 20));

  h.regions[SH_REGION_CLIENTS] = reserve(&p, SH_MAX_CLIENTS * sizeof(sh_client), 4096);
  h.regions[SH_REGION_CLASSES] = reserve(&p, SH_MAX_CLASSES * sizeof(sh_class), 4096);
  h.regions[SH_REGION_SEATS] = reserve(&p, sizeof(sh_seats), 4096);
  h.regions[SH_REGION_ROOTS] = reserve(&p, SH_MAX_ROOTS * sizeof(sh_a64), 4096);
  h.regions[SH_REGION_RING_OF] = reserve(&p, (uint64_t)SH_MAX_CLIENTS * SH_MAX_CLASSES * sizeof(sh_a32), 4096);
  h.regions[SH_REGION_LOGS] = reserve(&p, (uint64_t)SH_MAX_CLIENTS * SH_LOG_CELLS * sizeof(sh_a64), 4096);
  h.regions[SH_REGION_RUN_STATE] = reserve(&p, SH_MAX_CLIENTS * sizeof(sh_a8), 4096);
  h.regions[SH_REGION_ARENAS] = reserve(&p, h.n_arenas * sizeof(sh_arena), 4096);
  h.regions[SH_REGION_UNITS] = reserve(&p, (uint64_t)h.n_arenas * SH_ARENA_UNITS * sizeof(sh_a64), 4096);
  h.regions[SH_REGION_UNIT_LENS] = reserve(&p, (uint64_t)h.n_arenas * SH_ARENA_UNITS * sizeof(sh_a32), 4096);

  plan_pool(&p, &h.pools[SH_POOL_ENTRY], (16ULL << 20) / scale, sizeof(sh_entry), true);
  plan_pool(&p, &h.pools[SH_POOL_SLOT], (8ULL << 20) / scale, sizeof(sh_slot), true);
  plan_pool(&p, &h.pools[SH_POOL_WAITER], (8ULL << 20) / scale, sizeof(sh_waiter), true);
  /* A chunk for every client: whoever submits needs a ring of its own. */
  plan_pool(&p, &h.pools[SH_POOL_RING], (uint64_t)SH_MAX_CLIENTS * MIN_CHUNK, sizeof(sh_ring), true);
  h.regions[SH_REGION_PINS] =
      reserve(&p, (uint64_t)SH_MAX_CLIENTS * (sh_pool_capacity(&h.pools[SH_POOL_ENTRY]) / 64U) * sizeof(sh_a64), 4096);
  h.regions[SH_REGION_CLAIMS] =
      reserve(&p, (uint64_t)SH_MAX_CLIENTS * ((h.pools[SH_POOL_SLOT].n_chunks + 63U) / 64U) * sizeof(sh_a64), 4096);
  h.regions[SH_REGION_CALLED] =
      reserve(&p, (uint64_t)SH_MAX_CLASSES * ((h.pools[SH_POOL_SLOT].n_chunks + 63U) / 64U) * sizeof(sh_a64), 4096);
  h.regions[SH_REGION_GIVEN] =
      reserve(&p, (uint64_t)SH_MAX_CLIENTS * ((h.pools[SH_POOL_ENTRY].n_chunks + 63U) / 64U) * sizeof(sh_a64), 4096);
  h.regions[SH_REGION_LINKS] = reserve(&p, sh_pool_capacity(&h.pools[SH_POOL_ENTRY]) * sizeof(sh_link), 4096);
  h.regions[SH_REGION_ORIGINS] = reserve(&p, sh_pool_capacity(&h.pools[SH_POOL_ENTRY]) * sizeof(sh_origin), 4096);
  h.regions[SH_REGION_FIRED] = reserve(&p, sh_pool_capacity(&h.pools[SH_POOL_WAITER]) / 64U * sizeof(sh_a64), 4096);
  for (uint32_t c = 0; c < SH_BLOCK_CLASSES; c++) {
    uint32_t bytes = SH_BLOCK_MIN << c;
    /* So many that the budget for bytes is what ends first (sh_store_limit). */
    uint64_t records = (config->store_bytes + config->store_bytes / 8U + 2U * SH_ARENA_BYTES) / bytes;
    uint64_t ceiling = (16ULL << 20) / (config->small ? 64U : 1U);
    plan_pool(&p, &h.pools[SH_POOL_BLOCK + c], records < ceiling ? records : ceiling, bytes, false);
  }
  h.regions[SH_REGION_HEAP] = reserve(&p, (uint64_t)h.n_arenas * SH_ARENA_BYTES, HUGE_PAGE);

  h.magic = SH_MAGIC;
  h.layout_version = SH_LAYOUT_VERSION;
  h.header_bytes = (uint32_t)sizeof(sh_segment_header);
  h.segment_bytes = reserve(&p, 0, HUGE_PAGE);
  h.cluster_lo = config->cluster_lo;
  h.cluster_hi = config->cluster_hi;
  h.node_number = config->node_number;
  h.epoch = 1;
  h.n_seats = config->n_seats;
  h.cores = config->cores ? config->cores : sh_os_cores();
  h.store_bytes = config->store_bytes;
  /* Records may take a quarter of what the machine has left; at least enough for small machines' tests. */
  uint64_t available = sh_os_memory_available();
  h.records_bytes = available == UINT64_MAX ? 8ULL << 30 : available / 4U;

  int fd = sh_os_memfd_create("shoal", h.segment_bytes);
  if (fd < 0)
    return SH_OS;
  void *first = NULL;
  if (sh_os_map(fd, sizeof h, true, &first) != 0) {
    close(fd);
    return SH_OS;
  }
  memcpy(first, &h, sizeof h);
  sh_os_unmap(first, sizeof h);
  sh_status status = sh_segment_attach(s, fd);
  if (status != SH_OK) {
    close(fd);
    return status;
  }
  sh_store32_release(&s->header->x_mode, SH_MODE_RUNNING);
  return SH_OK;
}
