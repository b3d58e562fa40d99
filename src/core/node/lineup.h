/* SPDX-License-Identifier: Apache-2.0
 *
 * The line: the classes that wait for resources, in the order in which they are served. Plain numbers of the daemon's; nothing
 * here is shared, and no step of it is left half done by anybody's death but the daemon's, with which the node ends.
 *
 * Each round asks all classes whether they wait, and each that does stands in the line, however many there are: so what cannot
 * be served holds up nobody that can be. A class keeps the number that it drew when it came until it waits no more or was
 * served, so it is overtaken only by those before it, and by more urgent ones of its job.
 */
#ifndef SH_NODE_LINEUP_H
#define SH_NODE_LINEUP_H

#include "node/records.h"

typedef struct sh_waiting {
  uint64_t number; /* that it drew: the lower, the longer it has waited */
  uint64_t turn;   /* its number, or a lower one of its job that it outranks */
  uint32_t class_id, root, priority;
} sh_waiting;

typedef struct sh_lineup { /* all zero to begin with */
  uint32_t n;
  bool is_ranked;                     /* they differ in priority */
  uint64_t drawn, round;              /* the last number, this round */
  uint64_t numbers[SH_MAX_CLASSES];   /* by class: that it drew; 0 = none */
  uint64_t joined[SH_MAX_CLASSES];    /* by class: the last round in which it stood there */
  sh_waiting waiting[SH_MAX_CLASSES]; /* n of them: of this round; once they are in order, the first is served first */
} sh_lineup;

/* A round: begin, let each class that waits join, and put them in order. Who does not join has left. In a job the more
 * urgent one goes first, so it has waited as long as any that it outranks. Jobs come in the order of their oldest class,
 * whatever its priority. */
void sh_lineup_begin(sh_lineup *l);
void sh_lineup_join(sh_lineup *l, uint32_t class_id, const sh_class *c);
void sh_lineup_order(sh_lineup *l);

/* It was served, or is another class now: when it joins again it is the last. Does not move those in `waiting`. */
void sh_lineup_leave(sh_lineup *l, uint32_t class_id);

#endif
