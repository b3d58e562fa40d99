/* SPDX-License-Identifier: Apache-2.0
 *
 * Placement groups: bundles of resources that the node sets aside, all of them or none. Private to the daemon: a group is a
 * class without tasks, which waits for its resources in one line with everybody else. The classes of what runs in it name it,
 * and book from its bundles in the place of the node. Why this way: docs/design/030.
 *
 *   WAITING --booked--> GRANTED --removed--> REMOVED --its last lease and actor have ended--> gone, the node has it all back
 *      `---removed--> gone
 */
#ifndef SH_NODE_GROUP_H
#define SH_NODE_GROUP_H

#include "node/repair.h"

#define SH_MAX_BUNDLES 4096U

typedef struct sh_bundle {
  sh_demand demand;
  uint32_t gpu_mask; /* of the node's GPUs, once granted */
  uint32_t cpu_used;
  sh_ledger ledger; /* what it has, and what of it is booked */
} sh_bundle;

struct sh_group {
  uint32_t n_bundles, n_claims; /* claims: leases and actors in it */
  bool is_granted, is_removed;
  sh_bundle bundles[];
};

/* A group that has asked for nothing yet -> its class. SH_INVALID for a number of bundles or a kind out of range. */
sh_status sh_repair_define_group(sh_repair *d, const sh_demand *bundles, uint32_t n, uint32_t *class_id);
/* Ask for its resources. False: it waits, SH_EVENT_GRANTED will say when it has them. */
bool sh_repair_reserve_group(sh_repair *d, uint32_t class_id);
/* End it. Its tasks end with SH_ERR_GROUP_REMOVED, those that run with their workers; the ends of its actors are the business
 * of whoever knows them. What it has goes back to the node when nothing computes on it any more. Of no group: no effect. */
void sh_repair_remove_group(sh_repair *d, uint32_t class_id);
/* What is booked in a bundle. False: there is no such bundle, or it has nothing yet. */
bool sh_repair_look_at_bundle(sh_repair *d, uint32_t class_id, uint32_t bundle, sh_bundle *out);

/* -- the lock is held -- */

/* Book what the class demands in the group that it names, or nothing. */
bool sh_group_book(sh_repair *d, const sh_class *c, sh_claims *claims);
/* The CPUs of a claim alone, and everything. */
void sh_group_give_cpu_back(sh_repair *d, sh_claims *claims);
void sh_group_unbook(sh_repair *d, sh_claims *claims);
/* Grant a group what it waits for, or nothing. Would all but its CPUs be there? */
bool sh_group_grant(sh_repair *d, uint32_t class_id);
bool sh_group_others_fit(sh_repair *d, uint32_t class_id);
/* The kinds of resources in its bundles: as in ledger.h. */
uint64_t sh_group_kinds(const sh_repair *d, uint32_t class_id);
/* Forget all of them: the daemon ends. */
void sh_group_close_all(sh_repair *d);

#endif
