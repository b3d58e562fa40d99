/* SPDX-License-Identifier: Apache-2.0
 *
 * Scenarios of paths that operations go seldom: full stores, closed classes, races that somebody else won. */
#ifndef TESTS_CORE_RARE_H
#define TESTS_CORE_RARE_H

#include "stage.h"

extern const scenario rare_scenarios[];
extern const uint32_t rare_n_scenarios;

#endif
