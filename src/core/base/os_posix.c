/* SPDX-License-Identifier: Apache-2.0 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#if defined(SH_HOOKS) && SH_HOOKS
void (*sh_hook_fn)(const volatile void *word) = NULL;
_Thread_local const sh_site *sh_hook_site = NULL;
#endif

int sh_os_memfd_create(const char *name, uint64_t bytes) {
  /* Kernels before 6.3 do not know MFD_NOEXEC_SEAL; kernels with vm.memfd_noexec=2 refuse to go without it. */
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  if (fd < 0 && errno == EINVAL)
    fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0)
    return -errno;
  if (ftruncate(fd, (off_t)bytes) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    int error = -errno;
    close(fd);
    return error;
  }
  return fd;
}

#define HUGE_PAGE ((uintptr_t)2 << 20)

/* Addresses congruent to file offsets modulo 2 MiB, or the kernel cannot map a huge page as one. */
static void *map_aligned(int fd, uint64_t bytes, int prot) {
  uint8_t *room = mmap(NULL, bytes + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED)
    return MAP_FAILED;
  uint8_t *base = (uint8_t *)(((uintptr_t)room + HUGE_PAGE - 1U) & ~(HUGE_PAGE - 1U));
  size_t before = (size_t)(base - room), after = HUGE_PAGE - before;
  void *p = mmap(base, bytes, prot, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0);
  if (before)
    (void)munmap(room, before);
  uint64_t mapped = (bytes + 4095U) & ~4095ULL;
  if (after)
    (void)munmap(base + mapped, after);
  if (p == MAP_FAILED)
    (void)munmap(base, mapped);
  return p;
}

int sh_os_map(int fd, uint64_t bytes, bool writable, void **base) {
  void *p = map_aligned(fd, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ);
  if (p == MAP_FAILED)
    return -errno;
  (void)madvise(p, bytes, MADV_DONTDUMP); /* a crashing client must not write the store into its core file */
  *base = p;
  return 0;
}

int sh_os_reserve(uint64_t bytes, void **base) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    return -errno;
  *base = p;
  return 0;
}

void sh_os_unmap(void *base, uint64_t bytes) {
  if (base)
    (void)munmap(base, bytes);
}

int sh_os_protect(void *p, uint64_t bytes, bool writable) {
  return mprotect(p, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ) == 0 ? 0 : -errno;
}

int sh_os_populate(void *p, uint64_t bytes) {
  return madvise(p, bytes, MADV_POPULATE_WRITE) == 0 ? 0 : -errno;
}

int sh_os_collapse(void *p, uint64_t bytes) {
  return madvise(p, bytes, MADV_COLLAPSE) == 0 ? 0 : -errno;
}

void sh_os_idle_priority(void) {
  struct sched_param none = {.sched_priority = 0};
  (void)sched_setscheduler(0, SCHED_IDLE, &none);
}

int sh_os_start_beside(pthread_t *thread, void *(*run)(void *), void *context) {
  cpu_set_t all, others;
  pthread_attr_t attributes;
  int here = sched_getcpu(), rc = EINVAL;
  if (here >= 0 && sched_getaffinity(0, sizeof all, &all) == 0) {
    others = all;
    CPU_CLR((size_t)here, &others);
    if (CPU_COUNT(&others) > 0 && pthread_attr_init(&attributes) == 0) {
      if (pthread_attr_setaffinity_np(&attributes, sizeof others, &others) == 0)
        rc = pthread_create(thread, &attributes, run, context);
      (void)pthread_attr_destroy(&attributes);
      if (rc == 0) /* placed, not bound: if the caller is moved there, this one may go */
        (void)pthread_setaffinity_np(*thread, sizeof all, &all);
    }
  }
  if (rc != 0) /* one CPU, too many for the set, or the CPUs changed just now */
    rc = pthread_create(thread, NULL, run, context);
  return -rc;
}

int sh_os_punch(int fd, uint64_t offset, uint64_t bytes) {
  int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  return fallocate(fd, mode, (off_t)offset, (off_t)bytes) == 0 ? 0 : -errno;
}

int sh_os_futex_wait(sh_a32 *word, uint32_t expected, uint64_t timeout_ns) {
  struct timespec limit = {.tv_sec = (time_t)(timeout_ns / 1000000000U), .tv_nsec = (long)(timeout_ns % 1000000000U)};
  long rc = syscall(SYS_futex, word, FUTEX_WAIT, expected, timeout_ns == UINT64_MAX ? NULL : &limit, NULL, 0);
  return rc == 0 ? 0 : -errno;
}

void sh_os_futex_wake(sh_a32 *word, int n) {
  (void)syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0);
}

void sh_os_signal(int pidfd, int number) {
  if (pidfd >= 0)
    (void)syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0);
}

uint64_t sh_os_now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

bool sh_os_is_stopped(uint32_t pid) {
  char path[32], text[512];
  (void)snprintf(path, sizeof path, "/proc/%u/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return false;
  ssize_t n = read(fd, text, sizeof text - 1U);
  close(fd);
  if (n <= 0)
    return false;
  text[n] = 0;
  const char *name_end = strrchr(text, ')'); /* the name may hold anything; " S ..." follows it */
  return name_end && (name_end[1] == ' ') && (name_end[2] == 'T' || name_end[2] == 't');
}

uint32_t sh_os_pid(void) {
  return (uint32_t)getpid();
}

/* First number in a small file; UINT64_MAX when there is none ("max", no such file). */
static uint64_t read_number(const char *path, const char *key) {
  FILE *f = fopen(path, "re");
  if (!f)
    return UINT64_MAX;
  char line[256];
  unsigned long long value;
  uint64_t found = UINT64_MAX;
  size_t n = strlen(key);
  while (fgets(line, sizeof line, f)) {
    if (strncmp(line, key, n) == 0 && sscanf(line + n, " %llu", &value) == 1) {
      found = value;
      break;
    }
  }
  fclose(f);
  return found;
}

uint64_t sh_os_memory_available(void) {
  uint64_t machine = read_number("/proc/meminfo", "MemAvailable:");
  if (machine != UINT64_MAX)
    machine *= 1024;
  uint64_t limit = read_number("/sys/fs/cgroup/memory.max", "");
  uint64_t used = read_number("/sys/fs/cgroup/memory.current", "");
  if (limit == UINT64_MAX) {
    limit = read_number("/sys/fs/cgroup/memory/memory.limit_in_bytes", "");
    used = read_number("/sys/fs/cgroup/memory/memory.usage_in_bytes", "");
  }
  uint64_t group = limit == UINT64_MAX || used == UINT64_MAX ? UINT64_MAX : limit > used ? limit - used : 0;
  return machine < group ? machine : group;
}

uint32_t sh_os_cores(void) {
  cpu_set_t set;
  uint32_t cores = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
    cores = (uint32_t)CPU_COUNT(&set);
  FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
  if (f) {
    unsigned long long quota, period;
    if (fscanf(f, "%llu %llu", &quota, &period) == 2 && period > 0) {
      uint32_t granted = (uint32_t)((quota + period - 1) / period);
      if (granted >= 1 && granted < cores)
        cores = granted;
    }
    fclose(f);
  }
  return cores;
}

int sh_os_prctl(int option, uint64_t argument) {
  return prctl(option, (unsigned long)argument, 0, 0, 0) < 0 ? -errno : 0;
}

int sh_os_eventfd(void) {
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd >= 0 ? fd : -errno;
}

bool sh_os_is_eventfd(int fd) {
  uint64_t none;
  return read(fd, &none, 0) < 0 && errno == EINVAL; /* an eventfd takes no read of less than eight bytes */
}

void sh_os_eventfd_signal(int fd) {
  uint64_t one = 1;
  ssize_t rc = write(fd, &one, sizeof one); /* EAGAIN: already readable, which is all that is wanted */
  (void)rc;
}

uint64_t sh_os_eventfd_drain(int fd) {
  uint64_t n = 0;
  return read(fd, &n, sizeof n) == (ssize_t)sizeof n ? n : 0;
}
