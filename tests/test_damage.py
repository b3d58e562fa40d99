# SPDX-License-Identifier: Apache-2.0
"""A process that writes over the node's shared memory: the daemon goes on, and puts right what is its own."""

import ctypes
import re
from pathlib import Path

import pytest

import shoal

HEADER_BYTES = 256  # of what is decided when the node starts


def segment_address() -> int:
    """Where this process has mapped the node's segment to write to it. It may map those of earlier nodes too."""
    assert shoal.runtime.connection is not None
    daemon = Path(f"/proc/{shoal.runtime.connection.config.daemon_pid}/maps").read_text()
    inode = re.search(r"(\d+) +/memfd:shoal", daemon)
    assert inode, "the daemon has no segment"
    found = re.search(
        rf"^([0-9a-f]+)-\S+ rw-s \S+ \S+ {inode[1]} .*memfd:shoal", Path("/proc/self/maps").read_text(), re.M
    )
    assert found, "no writable mapping of the segment"
    return int(found[1], 16)


@shoal.remote
def double(n: int) -> int:
    return 2 * n


@shoal.remote
class Counter:
    def __init__(self) -> None:
        self.n = 0

    def add(self) -> int:
        self.n += 1
        return self.n


@pytest.mark.usefixtures("shoal_node")
def test_header_that_was_overwritten_is_used_by_nobody_and_restored() -> None:
    assert shoal.get([double.remote(n) for n in range(10)]) == [2 * n for n in range(10)]
    address = segment_address()
    before = ctypes.string_at(address, HEADER_BYTES)
    ctypes.memset(address, 0xFF, HEADER_BYTES)
    assert shoal.get([double.remote(n) for n in range(100)]) == [2 * n for n in range(100)]
    while ctypes.string_at(address, HEADER_BYTES) != before:
        assert shoal.get(double.remote(1)) == 2
    counter = Counter.remote()  # a process that attaches now
    assert shoal.get([counter.add.remote() for _ in range(3)]) == [1, 2, 3]
