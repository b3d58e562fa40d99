/* SPDX-License-Identifier: Apache-2.0
 *
 * The bytes of a value, an error or a call's arguments, as they lie in the segment, go over the wire and into the log.
 *
 *   header | rows (references it names) | extents (its out-of-band buffers) | in-band pickle | buffers, 64-byte aligned
 *
 * Position-independent: the pickle names references by row number; extents count from the payload's start; only the local
 * part of a row (index, generation) is rewritten when the payload moves to another node, and it can be read and rewritten
 * without unpickling. The first rows of a call are its dependencies (slot.n_deps), the others are nested references.
 */
#ifndef SH_STORE_PAYLOAD_H
#define SH_STORE_PAYLOAD_H

#include <stdint.h>

#define SH_PAYLOAD_VERSION 1U
#define SH_PAYLOAD_ERROR 1U        /* in-band is an error written by a front end */
#define SH_PAYLOAD_SYSTEM_ERROR 2U /* in-band is an sh_system_error */

typedef struct sh_payload {
  uint8_t version, py_minor;
  uint16_t flags;
  uint32_t n_rows;
  uint32_t n_extents;
  uint32_t spare;
  uint64_t inband_bytes;
  uint64_t digest; /* of the value, for re-execution checks; 0 = not computed */
} sh_payload;
_Static_assert(sizeof(sh_payload) == 32, "payload format is an ABI: bump SH_PAYLOAD_VERSION");

typedef struct sh_row {
  uint64_t id_lo, id_hi; /* ObjectId */
  uint32_t number;
  uint32_t owner_node;
  uint32_t index, generation; /* on this node */
} sh_row;
_Static_assert(sizeof(sh_row) == 32, "payload format is an ABI: bump SH_PAYLOAD_VERSION");

typedef struct sh_extent {
  uint64_t offset, bytes;
} sh_extent;

typedef enum sh_error_code {
  SH_ERR_WORKER_DIED = 1,
  SH_ERR_ACTOR_DIED,
  SH_ERR_CANCELLED,
  SH_ERR_ROOT_ENDED,
  SH_ERR_STORE_FULL,
  SH_ERR_DAMAGED,
  SH_ERR_OUT_OF_MEMORY,     /* the daemon ended the task's process for the memory it held */
  SH_ERR_TIMED_OUT,         /* it ran for longer than it may */
  SH_ERR_ACTOR_UNAVAILABLE, /* the actor's process died in the call, and another one follows */
  SH_ERR_ENVIRONMENT,       /* the environment of the class could not be made */
  SH_ERR_GROUP_REMOVED,     /* the placement group that it was to run in is no more */
} sh_error_code;

/* An error that the core itself seals: plain numbers, explained by the front end. */
typedef struct sh_system_error {
  uint32_t code; /* sh_error_code */
  uint32_t client, epoch, pid;
  int32_t wait_status; /* -1: unknown */
  uint32_t class_id;   /* SH_ERR_TIMED_OUT: milliseconds that it may run */
  uint64_t function;   /* fn_lo of the task; 0: unknown */
} sh_system_error;

static inline uint64_t sh_payload_inband_offset(const sh_payload *p) {
  return sizeof(sh_payload) + (uint64_t)p->n_rows * sizeof(sh_row) + (uint64_t)p->n_extents * sizeof(sh_extent);
}
static inline const sh_row *sh_payload_rows(const sh_payload *p) {
  return (const sh_row *)(const void *)(p + 1);
}
static inline const sh_extent *sh_payload_extents(const sh_payload *p) {
  return (const sh_extent *)(const void *)(sh_payload_rows(p) + p->n_rows);
}

#endif
