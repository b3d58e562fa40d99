/* SPDX-License-Identifier: Apache-2.0
 *
 * Scenarios of tasks that may have another attempt: the victim runs one, and calls what the next attempt is to find. */
#ifndef TESTS_CORE_REPEATS_H
#define TESTS_CORE_REPEATS_H

#include "stage.h"

extern const scenario repeat_scenarios[];
extern const uint32_t repeat_n_scenarios;

#endif
