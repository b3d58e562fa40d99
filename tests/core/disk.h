/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk for tests of spilling: an array of copies, and the steps by which the daemon's front end moves bytes.
 */
#ifndef TESTS_CORE_DISK_H
#define TESTS_CORE_DISK_H

#include "rig.h"

#include "node/spill.h"

#define MIB (1ULL << 20)
#define RUN_BYTES (100U << 10) /* more than a block */

/* A node that spills to an empty disk; and the end of both, when nothing is left of either. */
void disk_open(rig *r, uint32_t n_workers, uint64_t store_bytes);
void disk_close(rig *r);
/* Copy to disk. False: it was gone when the copy was done. */
bool disk_write(rig *r, sh_ref ref);
/* Copy, and take the memory. */
void disk_spill(rig *r, sh_ref ref);
void disk_read(const sh_restore *restore);
void disk_bring_back(rig *r, sh_ref ref);
/* Forget the copies of objects that are gone, as the front end does now and then; then nothing must be left. */
void disk_expect_empty(rig *r);
/* What all clients say that they have claimed is what is claimed, no more and no less. */
void disk_expect_paid(rig *r);
/* The value of an object that is here, read as clients read. */
uint64_t disk_look(sh_self *self, sh_ref ref);

#endif
