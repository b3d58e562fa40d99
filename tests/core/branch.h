/* SPDX-License-Identifier: Apache-2.0
 *
 * Branches of time: a moment of a node is tried again and again, each time in a process with a private copy of the segment.
 * What the branch does to its copy is gone with it. Everybody in it but the one who is dead or stopped is a plain
 * structure of this process (rig.h), so the branch has the whole node. */
#ifndef TESTS_CORE_BRANCH_H
#define TESTS_CORE_BRANCH_H

#include "rig.h"

#include <sys/types.h>

/* Fork. In the child (0 is returned) the segment is a private copy as it was at the fork. */
pid_t branch_off(rig *r);
/* Wait for a branch. -> its exit status; aborts when it ended by a signal, whose cause it has printed. */
int branch_end(pid_t branch);
/* Ends a branch, without the exit handlers of the process it came from. */
_Noreturn void branch_exit(int status);

/* Zeroed memory that all branches share with their origin. */
void *branch_shared(size_t bytes);

#endif
