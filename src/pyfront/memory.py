# SPDX-License-Identifier: Apache-2.0
"""What Linux says about memory: of a process, of the machine, of the control group that limits us.

*Private* memory is anonymous memory that is present (RssAnon): what a process allocated and touched. Pages of the
segment, of files and of swap are not part of it; pages that a worker still shares with the zygote are.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import NamedTuple

MIB, GIB = 1 << 20, 1 << 30
PAGE = os.sysconf("SC_PAGE_SIZE")
READ_BYTES = 1 << 16  # more than any of these files has
LINE_BYTES = 200


class Group(NamedTuple):
    """Where a control group tells its limit and its use, and which line of its statistics counts idle file pages."""

    limit: str
    use: str
    statistics: str
    idle_files: str


V1, V2 = "sys/fs/cgroup/memory/memory", "sys/fs/cgroup/memory"
GROUPS = (
    Group(f"{V2}.max", f"{V2}.current", f"{V2}.stat", "inactive_file"),
    Group(f"{V1}.limit_in_bytes", f"{V1}.usage_in_bytes", f"{V1}.stat", "total_inactive_file"),
)
KILL_COUNTS = ("proc/vmstat", "sys/fs/cgroup/memory.events", "sys/fs/cgroup/memory/memory.oom_control")


class NodeMemory(NamedTuple):
    """A reading: what all processes here may use together, and what is not available any more."""

    total_bytes: int
    used_bytes: int

    @property
    def usage(self) -> float:
        """The used share, 0 to 1."""
        return self.used_bytes / self.total_bytes if self.total_bytes else 0.0


class Meter:
    """Reads /proc and /sys below `root`. Files that are not there count as zero, or as no limit."""

    def __init__(self, root: str = "/") -> None:
        self._root = root

    @cached_property
    def limit(self) -> tuple[int, Group | None]:
        """Bytes that all processes here may use together, and the control group that says so; None: the machine."""
        ram = self._field("proc/meminfo", "MemTotal:") * 1024
        found: tuple[int, Group | None] = (ram, None)
        for group in GROUPS:
            limit = self._number(group.limit)
            if limit is not None and limit < found[0]:
                found = (limit, group)
        return found

    def node(self) -> NodeMemory:
        """The tighter of machine and control group. Idle pages of files count as available in both."""
        meminfo = self._read("proc/meminfo")
        total = _field_of(meminfo, "MemTotal:") * 1024
        machine = NodeMemory(total, total - _field_of(meminfo, "MemAvailable:") * 1024)
        limit, group = self.limit
        if group is None:
            return machine
        used = max(0, (self._number(group.use) or 0) - self._field(group.statistics, group.idle_files))
        return max(machine, NodeMemory(limit, used), key=lambda reading: reading.usage)

    def private(self, pid: int | str = "self") -> int:
        """Bytes of private memory of a process; 0 if it is gone."""
        fields = self._read(f"proc/{pid}/statm").split()
        return (int(fields[1]) - int(fields[2])) * PAGE if len(fields) > 2 else 0

    def data(self) -> int:
        """Bytes of address space of this process that count against RLIMIT_DATA, its stack besides."""
        fields = self._read("proc/self/statm").split()
        return int(fields[5]) * PAGE if len(fields) > 5 else 0

    def oom_kills(self) -> int:
        """How many processes the kernel has killed for want of memory, here or in our control group; never less."""
        return max(self._field(path, "oom_kill") for path in KILL_COUNTS)

    def _field(self, path: str, name: str) -> int:
        return _field_of(self._read(path), name)

    def _number(self, path: str) -> int | None:
        text = self._read(path).strip()
        return int(text) if text.isdigit() else None

    def _read(self, path: str) -> str:
        # An idle node reads these files each second: without the layers of `open`, for a third of its price.
        try:
            fd = os.open(os.path.join(self._root, path), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        parts = []
        try:
            while part := os.read(fd, READ_BYTES):
                parts.append(part)
        except OSError:
            return ""
        finally:
            os.close(fd)
        return b"".join(parts).decode("utf-8", "replace")


def _field_of(text: str, name: str) -> int:
    """The number after the word `name` that begins a line; 0 if there is none."""
    text = f"\n{text}"
    at = text.find(f"\n{name}")
    while at >= 0:
        words = text[at + 1 : at + LINE_BYTES].partition("\n")[0].split()
        if len(words) > 1 and words[0] == name:
            return int(words[1])
        at = text.find(f"\n{name}", at + 1)
    return 0


def show(n_bytes: float) -> str:
    """Bytes for a reader, e.g. `1.5 GiB`."""
    return f"{n_bytes / GIB:.1f} GiB" if n_bytes >= GIB else f"{n_bytes / MIB:.0f} MiB"


def show_node(reading: NodeMemory) -> str:
    """A reading for a reader."""
    return f"{show(reading.used_bytes)} of {show(reading.total_bytes)} in use ({reading.usage:.0%})"
