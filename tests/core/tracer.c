/* SPDX-License-Identifier: Apache-2.0 */
#include "tracer.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096U
#define WIDEST_STORE 64U

/* Where the traced process makes the system calls that it is told to make. */
__asm__(".text\n.local tracer_syscall\ntracer_syscall: syscall\nint3\n");
extern const char tracer_syscall[] __asm__("tracer_syscall");

static void get_regs(const tracer *t, struct user_regs_struct *regs) {
  EXPECT(ptrace(PTRACE_GETREGS, t->pid, NULL, regs) == 0);
}
static void set_regs(const tracer *t, const struct user_regs_struct *regs) {
  EXPECT(ptrace(PTRACE_SETREGS, t->pid, NULL, regs) == 0);
}

/* Resume without the signal that it stopped for. -> the wait status. */
static int resume(const tracer *t, enum __ptrace_request how) {
  int status;
  EXPECT(ptrace(how, t->pid, NULL, NULL) == 0);
  EXPECT(waitpid(t->pid, &status, 0) == t->pid);
  return status;
}

static int step(const tracer *t) {
  return resume(t, PTRACE_SINGLESTEP);
}

static void protect(const tracer *t, uint64_t from, uint64_t to, int how) {
  struct user_regs_struct before, regs;
  get_regs(t, &before);
  regs = before;
  regs.rip = (uintptr_t)tracer_syscall;
  regs.rax = SYS_mprotect;
  regs.orig_rax = UINT64_MAX; /* not in a system call that is to be restarted */
  regs.rdi = from / PAGE * PAGE;
  regs.rsi = (to + PAGE - 1U) / PAGE * PAGE - regs.rdi;
  regs.rdx = (unsigned)how;
  set_regs(t, &regs);
  int status = step(t);
  EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
  get_regs(t, &regs);
  EXPECT_EQ(regs.rax, 0);
  set_regs(t, &before);
}

void tracer_start(tracer *t, const sh_segment *seg, bool guard, void (*act)(void *context), void *context) {
  fflush(NULL);
  *t = (tracer){.pid = fork(), .seg = seg};
  EXPECT(t->pid >= 0);
  if (t->pid == 0) {
    EXPECT(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    EXPECT(!guard || mprotect(seg->base, seg->fixed.segment_bytes, PROT_READ) == 0);
    raise(SIGSTOP);
    act(context);
    _exit(0);
  }
  int status;
  EXPECT(waitpid(t->pid, &status, 0) == t->pid);
  EXPECT(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
}

/* The store that it has stopped at; false if it has not. */
static bool is_at_store(const tracer *t, uint64_t *address) {
  siginfo_t info;
  EXPECT(ptrace(PTRACE_GETSIGINFO, t->pid, NULL, &info) == 0);
  *address = (uintptr_t)info.si_addr;
  uint64_t base = (uintptr_t)t->seg->base;
  return info.si_signo == SIGSEGV && info.si_code == SEGV_ACCERR && *address >= base &&
         *address < base + t->seg->fixed.segment_bytes;
}

/* Let the store pass. A string instruction traps after each element; the bytes of one page that it writes belong to a
 * payload that nobody was told of, so they are passed as one. */
static int pass(const tracer *t, uint64_t address) {
  struct user_regs_struct at, now;
  protect(t, address, address + WIDEST_STORE, PROT_READ | PROT_WRITE);
  get_regs(t, &at);
  int status;
  do {
    status = step(t);
    if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
      break;
    get_regs(t, &now);
  } while (now.rip == at.rip);
  if (WIFSTOPPED(status))
    protect(t, address, address + WIDEST_STORE, PROT_READ);
  /* It goes on with the next page, or is at the next store: fault once more, now that the system call is over. */
  return WIFSTOPPED(status) && WSTOPSIG(status) == SIGSEGV ? step(t) : status;
}

static tracer_stop go_on(tracer *t, enum __ptrace_request how) {
  uint64_t address;
  int status = is_at_store(t, &address) ? pass(t, address) : resume(t, how);
  if (how == PTRACE_CONT && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP)
    status = resume(t, how); /* the store is done */
  if (WIFEXITED(status)) {
    EXPECT_EQ(WEXITSTATUS(status), 0);
    return TRACER_ENDED;
  }
  EXPECT(WIFSTOPPED(status));
  if (WSTOPSIG(status) == SIGTRAP)
    return TRACER_STEPPED;
  if (!is_at_store(t, &address))
    rig_fail(__FILE__, __LINE__, "the traced process got a signal", (uint64_t)WSTOPSIG(status), address);
  return TRACER_STORE;
}

tracer_stop tracer_step(tracer *t) {
  tracer_stop stop = go_on(t, PTRACE_SINGLESTEP);
  t->instructions += stop != TRACER_STORE;
  return stop;
}

tracer_stop tracer_next_store(tracer *t) {
  return go_on(t, PTRACE_CONT);
}

void tracer_kill(tracer *t) {
  int status;
  EXPECT(kill(t->pid, SIGKILL) == 0);
  EXPECT(waitpid(t->pid, &status, 0) == t->pid);
  EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
