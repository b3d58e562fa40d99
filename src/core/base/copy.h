/* SPDX-License-Identifier: Apache-2.0
 *
 * Copying large buffers with several threads. One thread moves about half of what a memory bus can take.
 */
#ifndef SH_BASE_COPY_H
#define SH_BASE_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SH_COPY_PARALLEL_BYTES (4U << 20) /* from here on a second thread pays for its start */

/* memcpy; with up to `threads` threads from SH_COPY_PARALLEL_BYTES on. `cold`: the destination was never written by this
 * process, so each thread first maps its part. Blocks; call without locks. */
void sh_copy(void *to, const void *from, size_t bytes, uint32_t threads, bool cold);

#endif
