/* SPDX-License-Identifier: Apache-2.0
 *
 * Scenarios of streams: the victim makes items, or takes them. */
#ifndef TESTS_CORE_STREAMS_H
#define TESTS_CORE_STREAMS_H

#include "stage.h"

extern const scenario stream_scenarios[];
extern const uint32_t stream_n_scenarios;

#endif
