/* SPDX-License-Identifier: Apache-2.0
 *
 * The segment: one memfd that all clients of a node map, its header, and the words that its records are made of.
 *
 * Owner: the daemon creates it, fills the header and only then hands the descriptor over, so no client ever waits for
 * initialisation. Everything after the header is zero-filled, sparse, and meaningful when zero; memory is used as it is
 * touched. Offsets count from the base; nothing in the segment is a pointer.
 */
#ifndef SH_STORE_SEGMENT_H
#define SH_STORE_SEGMENT_H

#include "base/atomic.h"
#include "base/status.h"

#include <stddef.h>

#define SH_MAGIC 0x314C414F48530A1AU /* "\x1A\nSHOAL1" */
#define SH_LAYOUT_VERSION 9U

#ifndef SH_MAX_CLIENTS       /* fewer where a search must exhaust it: tests/core/explore */
#define SH_MAX_CLIENTS 2048U /* record 0 is the daemon */
#define SH_MAX_CLASSES 4096U
#endif
#define SH_CLIENT_WORDS (SH_MAX_CLIENTS / 64U)
#define SH_MAX_SEATS 1024U
#define SH_MAX_ROOTS 1024U

/* A record's word decides everything about it:
 *   generation [0,32) | state [32,36) | who [36,48) | tag [48,64)
 * `who` is the client (or class) that the state is about. State 0 is FREE in every pool. */
#define SH_STATE_SHIFT 32
#define SH_WHO_SHIFT 36
#define SH_TAG_SHIFT 48
#define SH_FREE 0U
#define SH_QUARANTINED 15U /* damaged: out of use until the node ends */
#define SH_BUILDING 1U     /* allocated by `who`, known to nobody else; a sweep of `who` frees it */

static inline uint64_t sh_word(uint32_t generation, uint32_t state, uint32_t who, uint32_t tag) {
  return (uint64_t)generation | ((uint64_t)(state & 15U) << SH_STATE_SHIFT) |
         ((uint64_t)(who & 4095U) << SH_WHO_SHIFT) | ((uint64_t)(tag & 65535U) << SH_TAG_SHIFT);
}
static inline uint32_t sh_word_generation(uint64_t w) {
  return (uint32_t)w;
}
static inline uint32_t sh_word_state(uint64_t w) {
  return (uint32_t)(w >> SH_STATE_SHIFT) & 15U;
}
static inline uint32_t sh_word_who(uint64_t w) {
  return (uint32_t)(w >> SH_WHO_SHIFT) & 4095U;
}
static inline uint32_t sh_word_tag(uint64_t w) {
  return (uint32_t)(w >> SH_TAG_SHIFT);
}

/* A record's address for others: its index and the generation it must still have. */
typedef struct sh_ref {
  uint32_t index, generation;
} sh_ref;

static inline uint64_t sh_ref_pack(sh_ref r) {
  return (uint64_t)r.index | ((uint64_t)r.generation << 32);
}
static inline sh_ref sh_ref_unpack(uint64_t v) {
  sh_ref r = {.index = (uint32_t)v, .generation = (uint32_t)(v >> 32)};
  return r;
}

/* Pools of fixed-size records, see pool.h. Blocks hold payloads: 128 B, 256 B, ... 32 KiB. */
#define SH_BLOCK_CLASSES 9U
#define SH_BLOCK_MIN 128U
typedef enum sh_pool_id {
  SH_POOL_ENTRY,
  SH_POOL_SLOT,
  SH_POOL_WAITER,
  SH_POOL_RING,
  SH_POOL_BLOCK, /* the first of SH_BLOCK_CLASSES */
  SH_POOL_COUNT = SH_POOL_BLOCK + SH_BLOCK_CLASSES,
} sh_pool_id;

typedef struct sh_pool { /* immutable once the segment is handed over */
  uint64_t words;        /* offset of the first record word */
  uint64_t data;         /* offset of the first record */
  uint64_t hints;        /* offset of the free-hint bitmap, one bit a record */
  uint64_t owners;       /* offset of one owner word (sh_a32) a chunk */
  uint32_t word_stride; /* bytes between record words: record_bytes when the word is the record's first field, else 8 */
  uint32_t record_bytes;
  uint32_t chunk_records; /* power of two, at least 64 */
  uint32_t n_chunks;
} sh_pool;

/* Regions with fixed offsets; their element types live with their nouns. */
typedef enum sh_region_id {
  SH_REGION_CLIENTS,
  SH_REGION_CLASSES,
  SH_REGION_SEATS,
  SH_REGION_ROOTS,
  SH_REGION_RING_OF,   /* sh_a32 [client][class]: ring index + 1 */
  SH_REGION_LOGS,      /* sh_a64 [client][SH_LOG_CELLS] */
  SH_REGION_RUN_STATE, /* sh_a8 [client] */
  SH_REGION_ARENAS,    /* sh_arena [n_arenas] */
  SH_REGION_PINS,      /* sh_a64 bitmap over entries, one a client: views exist, bytes must not move */
  SH_REGION_CLAIMS,    /* sh_a64 bitmap over chunks of slots, one a client: it may have claimed a task there */
  SH_REGION_CALLED,    /* sh_a64 bitmap over chunks of slots, one a class: calls of the actor may lie there */
  SH_REGION_GIVEN,   /* sh_a64 bitmap over chunks of entries, one a client: others may have made objects of its there */
  SH_REGION_LINKS,   /* sh_link [entries]: what items of streams lead to */
  SH_REGION_ORIGINS, /* sh_origin [entries]: which call of which task made them */
  SH_REGION_FIRED,   /* sh_a64 bitmap over waiters: a client's watched object resolved */
  SH_REGION_UNITS,   /* sh_a64 [n_arenas * SH_ARENA_UNITS] */
  SH_REGION_UNIT_LENS, /* sh_a32, beside the units */
  SH_REGION_HEAP,      /* the arenas themselves, 2 MiB aligned */
  SH_REGION_COUNT,
} sh_region_id;

typedef enum sh_mode { SH_MODE_RUNNING = 1, SH_MODE_DRAINING, SH_MODE_FENCED, SH_MODE_STOPPED } sh_mode;

/* What is decided when the segment is created and never changes. Every process works with a copy of its own, made when it
 * attached: a peer that writes over the header moves nobody's pools. */
typedef struct sh_geometry {
  uint64_t magic;
  uint32_t layout_version;
  uint32_t header_bytes;
  uint64_t segment_bytes;
  uint64_t cluster_lo, cluster_hi;
  uint32_t node_number;
  uint32_t epoch;         /* incarnation of the node */
  uint32_t n_seats;       /* CPUs that tasks may use */
  uint32_t cores;         /* CPUs that the machine gives us: the spin budget */
  uint64_t store_bytes;   /* limit for payloads: blocks and arenas together */
  uint64_t records_bytes; /* limit for entries, slots, waiters and rings */
  uint32_t n_arenas;
  uint32_t lineage_retention; /* 0 on a lone node */
  sh_pool pools[SH_POOL_COUNT];
  uint64_t regions[SH_REGION_COUNT];
} sh_geometry;

typedef struct sh_segment_header {
  sh_geometry fixed;
  _Alignas(128) sh_a32 x_mode; /* sh_mode; written by the daemon, one load at each claim */
  sh_a32 x_clients_high;       /* clients ever registered, daemon's counter; bounds scans */
  sh_a32 x_pressure;           /* grows when somebody found the heap full: flush dropped references */
  sh_a32 x_classes_high;       /* scheduling classes ever defined, daemon's counter; bounds scans */
  sh_a32 x_orphans;            /* grows when a call met a closed class: the repair thread resolves it */
  sh_a32 x_rescan;             /* grows when a hint found no room: the repair thread scans for READY tasks */
  sh_a32 x_clock;              /* ticks of the repair thread: the age of values */
  sh_a32 x_ranked;             /* daemon: 1 once task classes differ in priority; workers then look in that order */
  _Alignas(128) sh_a64 x_task_classes[SH_MAX_CLASSES / 64]; /* hint: task class may have ready work */
  _Alignas(128) sh_a64 x_idle[SH_CLIENT_WORDS];             /* hint: worker parked and wakeable */
  _Alignas(128) sh_a64 x_spinning[SH_CLIENT_WORDS];         /* hint: worker spinning for work */
  _Alignas(128) sh_a64 x_blocked[SH_CLIENT_WORDS];          /* hint: worker parked in get with children queued */
  _Alignas(128) sh_a64 x_unseated[SH_CLIENT_WORDS];         /* hint: worker runs user code without a seat */
  _Alignas(128) sh_a64 x_minding[SH_CLIENT_WORDS];          /* client waits for several objects: tell it of errors */
  sh_a32 x_errors;                                          /* grows when an error was sealed */
} sh_segment_header;

/* This process's view. Plain data: N views of one mapping may live in one process (that is how sanitizers see us). */
typedef struct sh_segment {
  uint8_t *base;             /* writable, unless this process only observes */
  const uint8_t *read_base;  /* read-only: what users' views point into */
  sh_segment_header *header; /* == base; only its x_ words are read after the attach */
  sh_geometry fixed;
  int fd;
} sh_segment;

typedef struct sh_segment_config {
  uint64_t store_bytes;
  uint64_t cluster_lo, cluster_hi;
  uint32_t node_number;
  uint32_t n_seats;
  uint32_t cores;
  uint32_t small; /* 1: a few thousand records, for sanitizers and explorers */
} sh_segment_config;

static inline void *sh_at(const sh_segment *s, uint64_t offset) {
  return s->base + offset;
}
static inline void *sh_region(const sh_segment *s, sh_region_id region) {
  return s->base + s->fixed.regions[region];
}

/* Map `fd` both ways and check magic, version and the size of the header. Any process, blocks not. SH_INVALID when it is not ours.
 * The file is a daemon's, and as long as its header says. */
sh_status sh_segment_attach(sh_segment *s, int fd);
/* Map `fd`, which may be open for reading only, for those who look and never write (node/survey.h): base and read_base are one
 * mapping, and a store through it faults. Statuses as above. */
sh_status sh_segment_observe(sh_segment *s, int fd);
void sh_segment_detach(sh_segment *s);

#endif
