/* SPDX-License-Identifier: Apache-2.0
 *
 * What there is of resources other than CPUs, and what of it is booked: of the node, or of one bundle of a placement group.
 * Plain numbers of the daemon's; nothing here is shared.
 */
#ifndef SH_NODE_LEDGER_H
#define SH_NODE_LEDGER_H

#include "node/records.h"

#define SH_MAX_KINDS 64U /* resource kinds of a node; 0 = gpu */
#define SH_MAX_GPUS 32U
#define SH_WHOLE_MILLI 1000U

typedef struct sh_demand { /* of a task, of an actor while it lives, of a bundle */
  uint32_t cpu_milli, gpu_milli, n;
  uint32_t kinds[SH_MAX_DEMANDS], milli[SH_MAX_DEMANDS]; /* neither CPU nor GPU */
} sh_demand;

typedef struct sh_ledger {
  uint32_t capacity[SH_MAX_KINDS], used[SH_MAX_KINDS]; /* [0] is not used: GPUs are counted by device */
  uint32_t gpu[SH_MAX_GPUS], gpu_used[SH_MAX_GPUS];    /* milli of each device */
} sh_ledger;

/* What a class demands. */
sh_demand sh_demand_of(const sh_class *c);
/* Can it be booked at all: not too many kinds, none that is out of range, and none twice? */
bool sh_demand_is_sound(const sh_demand *demand);
/* The kinds of resources in it, one bit each; bit 0: GPUs. */
uint64_t sh_demand_kinds(const sh_demand *demand);
/* Is everything but the CPUs there? */
bool sh_ledger_fits(const sh_ledger *l, const sh_demand *demand);
/* Book it; it must fit. -> the GPUs, one bit each. */
uint32_t sh_ledger_book(sh_ledger *l, const sh_demand *demand);
void sh_ledger_unbook(sh_ledger *l, const sh_demand *demand, uint32_t gpu_mask);
/* Whole GPUs, so many. */
void sh_ledger_set_gpus(sh_ledger *l, uint32_t n);
/* Thousandths of all GPUs together: those that there are, and those that are booked. */
uint32_t sh_ledger_gpu_milli(const sh_ledger *l);
uint32_t sh_ledger_gpu_used(const sh_ledger *l);

#endif
