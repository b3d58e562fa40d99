/* SPDX-License-Identifier: Apache-2.0 */
#include "branch.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t branch_off(rig *r) {
  sh_segment *s = &r->d.seg;
  fflush(NULL);
  pid_t pid = fork();
  EXPECT(pid >= 0);
  if (pid != 0)
    return pid;
  int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
  EXPECT(mmap(s->base, s->fixed.segment_bytes, PROT_READ | PROT_WRITE, flags, s->fd, 0) == s->base);
  s->fd = -1; /* nobody may punch holes into the pages of the origin */
  return 0;
}

int branch_end(pid_t branch) {
  int status;
  EXPECT(waitpid(branch, &status, 0) == branch);
  if (!WIFEXITED(status))
    rig_fail(__FILE__, __LINE__, "a branch ended by a signal", (uint64_t)WTERMSIG(status), 0);
  return WEXITSTATUS(status);
}

_Noreturn void branch_exit(int status) {
  fflush(NULL);
  _exit(status);
}

void *branch_shared(size_t bytes) {
  void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  EXPECT(p != MAP_FAILED);
  return p;
}
