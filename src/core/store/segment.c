/* SPDX-License-Identifier: Apache-2.0 */
#include "store/segment.h"

#include "base/os.h"

#include <string.h>

_Static_assert(sizeof(sh_pool) == 48, "layout is an ABI: bump SH_LAYOUT_VERSION");

static sh_status look_at_header(int fd, sh_geometry *fixed) {
  void *probe = NULL;
  if (sh_os_map(fd, sizeof(sh_segment_header), false, &probe) != 0)
    return SH_OS;
  *fixed = ((const sh_segment_header *)probe)->fixed;
  sh_os_unmap(probe, sizeof(sh_segment_header));
  bool ours = fixed->magic == SH_MAGIC && fixed->layout_version == SH_LAYOUT_VERSION &&
              fixed->header_bytes == sizeof(sh_segment_header);
  return ours ? SH_OK : SH_INVALID;
}

sh_status sh_segment_attach(sh_segment *s, int fd) {
  sh_geometry fixed;
  memset(s, 0, sizeof *s);
  sh_status status = look_at_header(fd, &fixed);
  if (status != SH_OK)
    return status;
  void *rw = NULL, *ro = NULL;
  if (sh_os_map(fd, fixed.segment_bytes, true, &rw) != 0)
    return SH_OS;
  if (sh_os_map(fd, fixed.segment_bytes, false, &ro) != 0) {
    sh_os_unmap(rw, fixed.segment_bytes);
    return SH_OS;
  }
  s->base = rw;
  s->read_base = ro;
  s->header = rw;
  s->fixed = fixed;
  s->fd = fd;
  return SH_OK;
}

sh_status sh_segment_observe(sh_segment *s, int fd) {
  sh_geometry fixed;
  memset(s, 0, sizeof *s);
  sh_status status = look_at_header(fd, &fixed);
  if (status != SH_OK)
    return status;
  void *ro = NULL;
  if (sh_os_map(fd, fixed.segment_bytes, false, &ro) != 0)
    return SH_OS;
  s->base = ro;
  s->read_base = ro;
  s->header = ro;
  s->fixed = fixed;
  s->fd = fd;
  return SH_OK;
}

void sh_segment_detach(sh_segment *s) {
  if (!s->base)
    return;
  uint64_t bytes = s->fixed.segment_bytes;
  if (s->read_base != s->base)
    sh_os_unmap((void *)(uintptr_t)s->read_base, bytes);
  sh_os_unmap(s->base, bytes);
  memset(s, 0, sizeof *s);
}
