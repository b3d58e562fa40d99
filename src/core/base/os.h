/* SPDX-License-Identifier: Apache-2.0
 *
 * The only door to the operating system: memory, futex, clock, descriptors, threads. os_posix.c is its one implementation.
 * Functions return 0 or a negative errno unless they say otherwise. None allocates behind the caller's back.
 */
#ifndef SH_BASE_OS_H
#define SH_BASE_OS_H

#include "base/atomic.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

/* An anonymous memfd of `bytes` (sparse), sealed against shrinking and growing. -> descriptor or -errno. */
int sh_os_memfd_create(const char *name, uint64_t bytes);
/* Map `bytes` of `fd` from offset 0, shared. -> 0 and *base. */
int sh_os_map(int fd, uint64_t bytes, bool writable, void **base);
/* Private zeroed memory, reserved but not committed. */
int sh_os_reserve(uint64_t bytes, void **base);
void sh_os_unmap(void *base, uint64_t bytes);
/* Make [p, p+bytes) of a shared mapping read-only or writable in this process. */
int sh_os_protect(void *p, uint64_t bytes, bool writable);
/* Fault the range in for writing; then ask for 2 MiB pages (best effort: refused collapses are not errors). */
int sh_os_populate(void *p, uint64_t bytes);
int sh_os_collapse(void *p, uint64_t bytes);
/* Give the pages of a shared range back to the system; they read as zeros afterwards. */
int sh_os_punch(int fd, uint64_t offset, uint64_t bytes);

/* Sleep while *word == expected, at most timeout_ns (UINT64_MAX = no limit). 0 woken, -ETIMEDOUT, -EAGAIN, -EINTR. */
int sh_os_futex_wait(sh_a32 *word, uint32_t expected, uint64_t timeout_ns);
void sh_os_futex_wake(sh_a32 *word, int n);

/* The calling thread computes only when nobody else wants to. */
void sh_os_idle_priority(void);
/* Start a short-lived thread on any allowed CPU but the caller's, if there is one. Left to itself the kernel may start it
 * where its parent computes, and leave it there for tens of milliseconds. */
int sh_os_start_beside(pthread_t *thread, void *(*run)(void *), void *context);

/* Send a signal to the process behind a pidfd; to nobody if it is -1 or the process is gone. */
void sh_os_signal(int pidfd, int number);

uint64_t sh_os_now_ns(void); /* monotonic */
uint32_t sh_os_pid(void);
/* Is the process stopped, by a signal or by a debugger? False when it does not exist. */
bool sh_os_is_stopped(uint32_t pid);
/* Bytes that may still be allocated before the cgroup or the machine runs out. */
uint64_t sh_os_memory_available(void);
/* CPUs this process may use: affinity, then the cgroup's quota. At least 1. */
uint32_t sh_os_cores(void);

/* prctl(2) of this process: 0, or -errno. `argument` is a number or an address, as the option says. */
int sh_os_prctl(int option, uint64_t argument);

bool sh_os_is_eventfd(int fd); /* open, and still what it was made as */
int sh_os_eventfd(void);
void sh_os_eventfd_signal(int fd);
uint64_t sh_os_eventfd_drain(int fd);

#endif
