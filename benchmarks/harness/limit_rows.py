# SPDX-License-Identifier: Apache-2.0
"""Which of the machine's limits bounds which row. Rows without an entry have no limit that is measured here."""

from __future__ import annotations

SYNC = "bare ring, spinning, synchronous"
PIPELINED = "bare ring, spinning, pipelined"
COPY_ONE_THREAD = "memcpy, one thread"
COPY = "memcpy, two threads"
DISK_WRITE = "disk, direct writes"
DISK_READ = "disk, direct reads"

LIMIT_OF: dict[str, str] = {
    "single client put gigabytes": COPY,
    "multi client put gigabytes": COPY,
    "collective allreduce gigabytes": COPY,
    "collective broadcast gigabytes": COPY_ONE_THREAD,
    "spilled put gigabytes": DISK_WRITE,
    "spilled get gigabytes": DISK_READ,
    "single client tasks sync": SYNC,
    "single client tasks async": PIPELINED,
    "multi client tasks async": PIPELINED,
    "1:1 actor calls sync": SYNC,
    "1:1 actor calls async": PIPELINED,
    "1:1 actor calls concurrent": PIPELINED,
    "1:n actor calls async": PIPELINED,
    "n:n actor calls async": PIPELINED,
    "n:n actor calls with arg async": PIPELINED,
    "1:1 async-actor calls sync": SYNC,
    "1:1 async-actor calls async": PIPELINED,
    "1:1 async-actor calls with args async": PIPELINED,
    "1:n async-actor calls async": PIPELINED,
    "n:n async-actor calls async": PIPELINED,
}
