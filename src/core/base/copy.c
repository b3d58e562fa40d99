/* SPDX-License-Identifier: Apache-2.0 */
#include "base/copy.h"

#include "base/os.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define MAX_THREADS 8U
#define STEP_BYTES (2U << 20) /* map and fill in huge-page steps, while the zeroed lines are still in cache */
#define TAKES 8U              /* by each thread: a core that others use too must not hold up the rest */
#define MAX_TAKE_BYTES (8U << 20)
#define STREAM_BYTES (32U << 20) /* from here on past the caches; below, whoever reads next finds it there */
#define PAGE_BYTES 4096U
#define STREAM_PAGES 4U /* written side by side: memory keeps as many rows open */

typedef struct job {
  uint8_t *to;
  const uint8_t *from;
  size_t bytes, take_bytes;
  bool cold, streaming;
  _Atomic size_t taken; /* private to this process: no word of the segment */
} job;

/* A plain store first reads the line that it overwrites, a third of all traffic. memcpy streams too, but only from a size
 * on that grows with the machine's cache: 190 MB on one with 480 MB. */
static void copy_streaming(uint8_t *to, const uint8_t *from, size_t bytes) {
#ifdef __SSE2__
  size_t head = (64U - (uintptr_t)to % 64U) % 64U;
  head = head < bytes ? head : bytes; /* the last part may be shorter than a line */
  memcpy(to, from, head);
  size_t done = head, stride = (size_t)STREAM_PAGES * PAGE_BYTES;
  for (; bytes - done >= stride; done += stride)
    for (size_t line = 0; line < PAGE_BYTES; line += 64U)
      for (size_t page = 0; page < stride; page += PAGE_BYTES) {
        const __m128i *source = (const __m128i *)(const void *)(from + done + page + line);
        __m128i *target = (__m128i *)(void *)(to + done + page + line);
        __m128i a = _mm_loadu_si128(source), b = _mm_loadu_si128(source + 1);
        __m128i c = _mm_loadu_si128(source + 2), d = _mm_loadu_si128(source + 3);
        _mm_stream_si128(target, a);
        _mm_stream_si128(target + 1, b);
        _mm_stream_si128(target + 2, c);
        _mm_stream_si128(target + 3, d);
      }
  memcpy(to + done, from + done, bytes - done);
  _mm_sfence(); /* streaming stores are ordered by nothing else; what publishes the bytes comes after us */
#else
  memcpy(to, from, bytes);
#endif
}

static void copy_cold(uint8_t *to, const uint8_t *from, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    size_t to_boundary = STEP_BYTES - ((uintptr_t)(to + done) % STEP_BYTES);
    size_t step = to_boundary < bytes - done ? to_boundary : bytes - done;
    uintptr_t page = (uintptr_t)(to + done) & ~(uintptr_t)4095;
    (void)sh_os_populate((void *)page, (uint64_t)((uintptr_t)(to + done) + step - page));
    memcpy(to + done, from + done, step);
    done += step;
  }
}

static void *copy_parts(void *context) {
  job *j = context;
  for (;;) {
    size_t at = atomic_fetch_add_explicit(&j->taken, j->take_bytes, memory_order_relaxed);
    if (at >= j->bytes)
      return NULL;
    size_t n = j->bytes - at < j->take_bytes ? j->bytes - at : j->take_bytes;
    if (j->cold)
      copy_cold(j->to + at, j->from + at, n);
    else if (j->streaming)
      copy_streaming(j->to + at, j->from + at, n);
    else
      memcpy(j->to + at, j->from + at, n);
  }
}

void sh_copy(void *to, const void *from, size_t bytes, uint32_t threads, bool cold) {
  if (bytes < SH_COPY_PARALLEL_BYTES || threads < 2U) {
    if (cold && bytes >= (64U << 10))
      copy_cold(to, from, bytes);
    else
      memcpy(to, from, bytes);
    return;
  }
  uint32_t n = threads < MAX_THREADS ? threads : MAX_THREADS, n_started = 0;
  size_t take = (bytes / (n * TAKES) + 4095U) & ~(size_t)4095;
  job j = {.to = to, .from = from, .bytes = bytes, .cold = cold, .streaming = bytes >= STREAM_BYTES};
  j.take_bytes = take < MAX_TAKE_BYTES ? take : MAX_TAKE_BYTES;
  pthread_t started[MAX_THREADS];
  while (n_started + 1U < n && sh_os_start_beside(&started[n_started], copy_parts, &j) == 0)
    n_started++; /* no thread to be had: the others copy its share */
  (void)copy_parts(&j);
  while (n_started > 0)
    (void)pthread_join(started[--n_started], NULL);
}
