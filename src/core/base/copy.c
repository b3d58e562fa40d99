/* SPDX-License-Identifier: Apache-2.0 */
#include "base/copy.h"

#include "base/os.h"

#include <pthread.h>
#include <string.h>

#define MAX_THREADS 8U
#define STEP_BYTES (2U << 20) /* map and fill in huge-page steps, while the zeroed lines are still in cache */

typedef struct part {
  uint8_t *to;
  const uint8_t *from;
  size_t bytes;
  bool cold;
} part;

static void *copy_part(void *context) {
  part *p = context;
  if (!p->cold) {
    memcpy(p->to, p->from, p->bytes);
    return NULL;
  }
  size_t done = 0;
  while (done < p->bytes) {
    size_t to_boundary = STEP_BYTES - ((uintptr_t)(p->to + done) % STEP_BYTES);
    size_t step = to_boundary < p->bytes - done ? to_boundary : p->bytes - done;
    uintptr_t page = (uintptr_t)(p->to + done) & ~(uintptr_t)4095;
    (void)sh_os_populate((void *)page, (uint64_t)((uintptr_t)(p->to + done) + step - page));
    memcpy(p->to + done, p->from + done, step);
    done += step;
  }
  return NULL;
}

void sh_copy(void *to, const void *from, size_t bytes, uint32_t threads, bool cold) {
  if (bytes < SH_COPY_PARALLEL_BYTES || threads < 2U) {
    part whole = {.to = to, .from = from, .bytes = bytes, .cold = cold && bytes >= (64U << 10)};
    (void)copy_part(&whole);
    return;
  }
  uint32_t n = threads < MAX_THREADS ? threads : MAX_THREADS;
  part parts[MAX_THREADS];
  pthread_t started[MAX_THREADS];
  bool running[MAX_THREADS] = {false};
  size_t each = (bytes / n + STEP_BYTES - 1U) / STEP_BYTES * STEP_BYTES;
  for (uint32_t i = 0; i < n; i++) {
    size_t at = (size_t)i * each < bytes ? (size_t)i * each : bytes;
    size_t end = i + 1U == n || at + each > bytes ? bytes : at + each;
    parts[i] = (part){.to = (uint8_t *)to + at, .from = (const uint8_t *)from + at, .bytes = end - at, .cold = cold};
  }
  for (uint32_t i = 1; i < n; i++)
    running[i] = pthread_create(&started[i], NULL, copy_part, &parts[i]) == 0;
  (void)copy_part(&parts[0]);
  for (uint32_t i = 1; i < n; i++) {
    if (running[i])
      (void)pthread_join(started[i], NULL);
    else
      (void)copy_part(&parts[i]); /* no thread to be had: do it ourselves */
  }
}
