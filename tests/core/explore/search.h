/* SPDX-License-Identifier: Apache-2.0
 *
 * The search of a scenario: all that its processes may do, by their own choice, by that of the scheduler, and by that of the
 * memory model. */
#ifndef TESTS_CORE_EXPLORE_SEARCH_H
#define TESTS_CORE_EXPLORE_SEARCH_H

#include "explore.h"

#include <unistd.h>

typedef struct xp_result {
  uint64_t states, executions, ends, steps;
  uint32_t restarts, words; /* words that processes share */
  bool cut_short;           /* the limit of executions was reached before the end */
} xp_result;

/* So many executions by random choices, always the same ones: finds most of what there is to find sooner. */
void xp_walk(const xp_scenario *scenario, xp_model model, uint64_t walks);
/* Explore everything, or `limit` executions (0: all). Ends the program with a trace when something fails. */
xp_result xp_search(const xp_scenario *scenario, xp_model model, uint64_t limit);
/* Run one execution again, as a failure said: after so many restarts, by these choices ("0.1.0.2"). Prints its trace. */
void xp_replay(const xp_scenario *scenario, xp_model model, uint32_t restarts, const char *choices);
void xp_catch_signals(void);
bool xp_is_anybody_stopped(void);
void xp_poke(void);           /* wake those who sleep for a poke */
bool xp_sleep_for_poke(void); /* false: nobody is left who could poke */
bool xp_does_not_count(void); /* this execution took a shared word for unshared */

#endif
