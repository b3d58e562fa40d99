# SPDX-License-Identifier: Apache-2.0
"""Readings of memory: from files that a test wrote, and from this machine within reason."""

import mmap
from pathlib import Path

import pytest

from shoal.memory import GIB, MIB, Meter, NodeMemory, show, show_node

KIB = 1 << 10


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, "proc/meminfo", "MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable:  400 kB\n")
    write(tmp_path, "proc/vmstat", "pgfault 12\noom_kill 3\n")
    return tmp_path


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_without_a_group_the_machine_is_read(root: Path) -> None:
    assert Meter(str(root)).limit == (1000 * KIB, None)
    assert Meter(str(root)).node() == NodeMemory(1000 * KIB, 600 * KIB)


def test_a_limit_above_the_machine_is_none(root: Path) -> None:
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", str(2**63 - 4096))
    assert Meter(str(root)).limit == (1000 * KIB, None)
    write(root, "sys/fs/cgroup/memory.max", "max\n")
    assert Meter(str(root)).limit == (1000 * KIB, None)


def test_the_tighter_of_machine_and_group_counts(root: Path) -> None:
    write(root, "sys/fs/cgroup/memory.max", f"{500 * KIB}\n")
    write(root, "sys/fs/cgroup/memory.current", f"{490 * KIB}\n")
    write(root, "sys/fs/cgroup/memory.stat", f"anon 1\ninactive_file {90 * KIB}\n")
    meter = Meter(str(root))
    assert meter.node() == NodeMemory(500 * KIB, 400 * KIB)
    write(root, "sys/fs/cgroup/memory.current", f"{100 * KIB}\n")
    assert meter.node() == NodeMemory(1000 * KIB, 600 * KIB)


def test_a_group_of_version_1_is_read_too(root: Path) -> None:
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{500 * KIB}\n")
    write(root, "sys/fs/cgroup/memory/memory.usage_in_bytes", f"{480 * KIB}\n")
    write(root, "sys/fs/cgroup/memory/memory.stat", f"inactive_file 0\ntotal_inactive_file {20 * KIB}\n")
    assert Meter(str(root)).node() == NodeMemory(500 * KIB, 460 * KIB)


def test_kills_of_the_kernel_are_counted_wherever_it_says_so(root: Path) -> None:
    assert Meter(str(root)).oom_kills() == 3
    write(root, "sys/fs/cgroup/memory.events", "low 0\noom 9\noom_kill 5\n")
    assert Meter(str(root)).oom_kills() == 5


def test_files_that_are_not_there_are_no_error(tmp_path: Path) -> None:
    meter = Meter(str(tmp_path))
    assert meter.node() == NodeMemory(0, 0)
    assert meter.node().usage == 0
    assert (meter.private(), meter.data(), meter.oom_kills()) == (0, 0, 0)


def test_private_memory_is_what_was_allocated_and_touched() -> None:
    meter = Meter()
    before = meter.private()
    touched = bytearray(b"x") * (64 * MIB)
    assert 60 * MIB <= meter.private() - before <= 80 * MIB
    data = meter.data()
    with mmap.mmap(-1, 64 * MIB, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS) as shared:
        shared.write(touched)
        assert meter.private() - before <= 80 * MIB
    assert meter.data() - data <= MIB


def test_this_machine_is_read() -> None:
    reading = Meter().node()
    assert 0 < reading.used_bytes < reading.total_bytes
    assert 0 < reading.usage < 1


def test_bytes_are_shown_for_readers() -> None:
    assert show(100 * MIB) == "100 MiB"
    assert show(1.5 * GIB) == "1.5 GiB"
    assert show_node(NodeMemory(4 * GIB, 3 * GIB)) == "3.0 GiB of 4.0 GiB in use (75%)"
