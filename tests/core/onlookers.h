/* SPDX-License-Identifier: Apache-2.0
 *
 * Everybody but one process, which has stopped: they sleep, and do nothing unless they are woken. */
#ifndef TESTS_CORE_ONLOOKERS_H
#define TESTS_CORE_ONLOOKERS_H

#include "stage.h"

/* Park all workers and the actor, except the victim and whoever has a task. */
void onlookers_park(stage *s);
/* Whoever was woken works, for as long as somebody is, and again after each of the ticks that fit into 100 ms. With no
 * extra tasks there is no push that could wake somebody: only the repair thread does. True if every promise is kept that
 * does not wait for the victim's own task. */
bool onlookers_go_on(stage *s, uint32_t extra_tasks);
/* They wake up and work as ever. */
void onlookers_leave(void);

#endif
