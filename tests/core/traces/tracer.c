/* SPDX-License-Identifier: Apache-2.0
 * Linked into an extension by record.py, with --wrap: notes each allocation and each free of the heap, one file a process. */
#include "base/os.h"
#include "store/heap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct note {
  uint64_t ns, loc, bytes; /* bytes: 0 = free */
  uint64_t client;
} note;

static void write_note(uint32_t client, uint64_t loc, uint64_t bytes) {
  static uint32_t pid;
  static int fd = -1;
  char path[512];
  const char *folder = getenv("SHOAL_HEAP_TRACES");
  if (!folder)
    return;
  if (pid != sh_os_pid()) {
    pid = sh_os_pid();
    (void)snprintf(path, sizeof path, "%s/%u.notes", folder, pid);
    fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  }
  note n = {.ns = sh_os_now_ns(), .loc = loc, .bytes = bytes, .client = client};
  if (write(fd, &n, sizeof n) != (ssize_t)sizeof n)
    abort();
}

sh_status __real_sh_heap_alloc(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t tag, uint64_t bytes,
                               sh_budget_fn budget, void *context, uint64_t *loc);
sh_status __wrap_sh_heap_alloc(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t tag, uint64_t bytes,
                               sh_budget_fn budget, void *context, uint64_t *loc);
bool __real_sh_heap_free(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t loc, uint64_t tag);
bool __wrap_sh_heap_free(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t loc, uint64_t tag);

sh_status __wrap_sh_heap_alloc(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t tag, uint64_t bytes,
                               sh_budget_fn budget, void *context, uint64_t *loc) {
  sh_status status = __real_sh_heap_alloc(s, h, client, tag, bytes, budget, context, loc);
  if (status == SH_OK && bytes && sh_tag_kind_of(tag) != SH_TAG_RING)
    write_note(client, *loc, bytes);
  return status;
}

bool __wrap_sh_heap_free(const sh_segment *s, sh_heap *h, uint32_t client, uint64_t loc, uint64_t tag) {
  bool freed = __real_sh_heap_free(s, h, client, loc, tag);
  if (freed)
    write_note(client, loc, 0);
  return freed;
}
