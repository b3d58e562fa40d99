/* SPDX-License-Identifier: Apache-2.0
 *
 * Values whose bytes are on disk. Resolution is for ever, residency is not: the bytes of a closed object may go and come back,
 * and only its `loc` says where they are. The daemon decides and moves (this file); its front end reads and writes files.
 *
 *   BLOCK, RUN --(copied to disk; then seized, and nobody has it pinned)--> SPILLED --(room, read back)--> BLOCK, RUN
 *
 * Once an entry is CLOSED, the holder of the repair lock is the only writer of its loc. The bytes are immutable, so they are
 * copied to disk while everybody reads on. Only the last step takes them away, all of it under the lock:
 *
 *   1  CAS the memory's tag: the entry's -> MOVING      from here on its owner's free finds another tag and frees nothing,
 *                                                      and no new entry can have these bytes; so 2 cannot hit a stranger
 *   2  CAS loc -> SPILLED(generation)                   on a record that was freed meanwhile it changes a dead word
 *   3  look at all pin bitmaps                          pinned: loc back, tag back; and if the entry is gone by now, free
 *   4  free the memory under its tag MOVING
 *
 *   (S) 2 and 3 against a reader's: set the pin; read loc. Each writes before it reads what the other writes, sequentially
 *   consistent: the daemon sees the pin, or the reader sees SPILLED, asks the daemon and waits, pinned all the time. A reader
 *   that saw SPILLED in the moment before the daemon put loc back asks for nothing and finds the bytes at its next look.
 *   An owner that drops an object frees it itself if it reads a loc in the heap (1 makes that safe), and leaves it to the daemon
 *   if it reads SPILLED: the daemon might be bringing it back. It sets DROPPED before it looks, and the daemon looks for DROPPED
 *   before it puts bytes back, which nobody wants then: so an owner that looked too early frees a record that stays as it is.
 *
 * The record of a copy on disk (its place, and the rows of a value that names other objects) is private to the daemon, by entry
 * and generation. Whoever frees an entry need not know of it: records of objects that are gone are found by looking
 * (sh_spill_gone); bytes that an owner could not free because they were MOVING just then are freed there too. A restored object keeps its copy, so that spilling it again costs no write. A crash of anybody but the
 * daemon leaves nothing half done here: every step is the daemon's, and with it the node ends.
 *
 * What is chosen: the least recently used first (x_used, a hint that readers refresh), by whole arenas and whole chunks of
 * blocks, because only one that is wholly free passes to whoever needs room (an arena is taken over, heap.h; a chunk is
 * returned, pool.h); never what is pinned, unsealed or dropped.
 *
 * Every function takes the repair lock.
 */
#ifndef SH_NODE_SPILL_H
#define SH_NODE_SPILL_H

#include "node/self.h"

typedef struct sh_repair sh_repair;

typedef struct sh_disk_copy { /* an object's copy on disk */
  sh_ref ref;                 /* generation 0: unused */
  uint64_t place;             /* the front end's name for it, not 0 */
  uint64_t loc;        /* where the bytes were put back, or left because of a pin; 0 = they are away, or never moved */
  uint64_t away_bytes; /* 0 = resident */
  bool coming;         /* between sh_restore_begin and its end */
  sh_row *rows;
  uint32_t n_rows, next_unused;
} sh_disk_copy;

typedef struct sh_use { /* what a look at the heap found out about an arena, or a chunk of blocks */
  uint64_t bytes;       /* in it */
  uint32_t used;        /* the latest x_used in it */
  bool stuck, chosen;   /* stuck: holds what cannot go */
} sh_use;

typedef struct sh_spill {
  uint32_t *copy_of; /* by entry: its copy + 1 */
  sh_disk_copy *copies;
  uint32_t n_copies, cap_copies, unused, cursor; /* unused: head of the list of unused records, + 1 */
  uint64_t n_live, n_away, bytes_away;
  sh_use *arenas, *chunks[SH_BLOCK_CLASSES]; /* scratch of sh_spill_choose */
} sh_spill;

typedef struct sh_victim {
  sh_ref ref;
  uint64_t bytes;
  uint64_t place; /* of its copy on disk; 0: not written yet */
} sh_victim;

/* What clients wait for: their x_room_wanted words. */
typedef struct sh_shortage {
  uint32_t n_waiting;
  uint64_t largest, total; /* bytes: of one allocation, of all */
} sh_shortage;
void sh_spill_shortage(sh_repair *d, sh_shortage *out);
/* Something came free: have the waiting clients look again. */
void sh_spill_wake(sh_repair *d);

/* Choose what to spill for room of `total` bytes, `largest` of them in one piece. -> how many, at most `max`. 0 with *has_room:
 * somebody only has to look; 0 without: nothing can go. */
uint32_t sh_spill_choose(sh_repair *d, uint64_t largest, uint64_t total, sh_victim *out, uint32_t max, bool *has_room);

/* The bytes of a resident object; NULL: it is gone, or away. They may be freed and used again while they are copied: what was
 * read counts only once sh_spill_written has said so. */
const uint8_t *sh_spill_bytes(sh_repair *d, sh_ref r, uint64_t *bytes);
/* Its bytes are on disk at `place`. SH_LOST: it is gone, the copy is worth nothing; SH_FULL: no memory for the record. */
sh_status sh_spill_written(sh_repair *d, sh_ref r, uint64_t place);
/* Take its memory. SH_AGAIN: it is pinned; SH_LOST: gone, away, or without a copy. */
sh_status sh_spill_evict(sh_repair *d, sh_ref r);
/* Give wholly free chunks of blocks back, pages and budget, and for a shortage of blocks arenas too, so that others can have
 * their bytes. -> bytes given back, about `bytes` at most. */
uint64_t sh_spill_trim(sh_repair *d, uint64_t largest, uint64_t bytes);

/* Bringing back: room for the bytes, which the caller reads from `place` (SH_OK), then commit or abort. SH_EMPTY: they are
 * here; SH_FULL: no room now (out->bytes says for how much); SH_AGAIN: somebody brings them just now; SH_LOST: the object is
 * gone. */
typedef struct sh_restore {
  sh_ref ref;
  uint64_t loc, bytes, place;
  uint8_t *data;
} sh_restore;
sh_status sh_restore_begin(sh_repair *d, sh_ref r, sh_restore *out);
/* SH_LOST: it was freed meanwhile. */
sh_status sh_restore_commit(sh_repair *d, const sh_restore *restore);
void sh_restore_abort(sh_repair *d, const sh_restore *restore);

/* Forget the copy of a resident object. -> its place; 0: it has none, or is away or gone. */
uint64_t sh_spill_forget(sh_repair *d, sh_ref r);
/* Places whose objects are gone, after a look at up to `looks` records. -> how many, at most `max`. */
uint32_t sh_spill_gone(sh_repair *d, uint64_t *places, uint32_t max, uint32_t looks);
/* Spilled arguments of the tasks at the heads of the rings, to be read ahead. -> how many, at most `max`. */
uint32_t sh_spill_next(sh_repair *d, sh_ref *out, uint32_t max);

/* -- for repair.c -- */
/* The shared object may go: closed, not dropped, in the heap, its references known to the counts. */
bool sh_spill_may_go(sh_repair *d, sh_ref r, uint64_t loc);
bool sh_spill_is_pinned(const sh_segment *s, uint32_t entry);
uint64_t sh_spill_place(const sh_spill *spill, sh_ref r);
sh_status sh_spill_open(sh_spill *spill, const sh_segment *s);
void sh_spill_close(sh_spill *spill, const sh_segment *s);
uint32_t sh_spill_rows(const sh_spill *spill, sh_ref r, const sh_row **rows);

#endif
