/* SPDX-License-Identifier: Apache-2.0
 *
 * Scenarios of an actor that logs its calls: the victim is its process, and another one follows. */
#ifndef TESTS_CORE_LOGGED_H
#define TESTS_CORE_LOGGED_H

#include "stage.h"

extern const scenario logged_scenarios[];
extern const uint32_t logged_n_scenarios;

#endif
