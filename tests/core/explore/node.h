/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole node in the world, from the rig of the other tests: a driver and workers as processes, and the repair thread's
 * functions by hand. */
#ifndef TESTS_CORE_EXPLORE_NODE_H
#define TESTS_CORE_EXPLORE_NODE_H

#include "explore.h"
#include "rig.h"

extern rig *node;

/* Call in setup: a node with a driver, `n_workers` workers and `n_seats` seats, quiet and empty. */
void node_open(uint32_t n_workers, uint32_t n_seats);
/* Leave only `n` free records in `client`'s chunk of `pool`, the lowest ones. It must have allocated from it before. */
void node_leave(sh_self *self, uint32_t pool, uint32_t n);
/* At the end: every invariant, and no record left that nobody asked to keep. */
void node_check_valid(void);
uint32_t node_live(uint32_t pool);

/* A reference handed from one process to another outside the core, as by a socket: once. */
typedef struct node_box {
  sh_a64 full;
  sh_ref ref;
} node_box;
void node_give(node_box *box, sh_ref r);
bool node_look(node_box *box, sh_ref *r);

/* A worker that found nothing to do: idle and parked until there may be something. */
void node_rest(sh_self *self);

/* Ticks, as often as the tick needs to see that something does not move. For .quiet */
void node_tick(void);
/* The repair process: sweeps each of the dead processes in `mask`; process p runs as clients[p]. */
void node_sweep_dead(uint32_t mask);
extern sh_self *node_clients[XP_PROCESSES];

#endif
