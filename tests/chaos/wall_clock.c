/* SPDX-License-Identifier: Apache-2.0
 *
 * A wall clock that a test can move: preloaded into the processes of the test alone, it shifts what they read from the
 * real-time clock by the number of seconds in the file that SHOAL_TEST_CLOCK names, and stops it while the second number
 * there is not 0. The machine's clock, and every other clock of these processes, stay what they are. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct dial {
  volatile int64_t offset_s;
  volatile int64_t stopped_at_s; /* 0: it runs */
};

static struct dial *dial;

__attribute__((constructor)) static void find_dial(void) {
  const char *path = getenv("SHOAL_TEST_CLOCK");
  int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *dial, PROT_READ, MAP_SHARED, fd, 0);
  if (p != MAP_FAILED)
    dial = p;
  if (fd >= 0)
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  long status = syscall(SYS_clock_gettime, clock, t);
  if (status == 0 && dial && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    if (dial->stopped_at_s)
      *t = (struct timespec){.tv_sec = dial->stopped_at_s};
    t->tv_sec += dial->offset_s;
  }
  return (int)status;
}

time_t time(time_t *out) {
  struct timespec t = {0};
  (void)clock_gettime(CLOCK_REALTIME, &t);
  if (out)
    *out = t.tv_sec;
  return t.tv_sec;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
  struct timespec t = {0};
  (void)zone;
  (void)clock_gettime(CLOCK_REALTIME, &t);
  *out = (struct timeval){.tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000};
  return 0;
}
