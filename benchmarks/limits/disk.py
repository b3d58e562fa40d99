# SPDX-License-Identifier: Apache-2.0
"""The limit of spilling: direct writes to, and reads from, a file in the folder that values are spilled to."""

from __future__ import annotations

import mmap
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

N_PARTS = 32
PART_BYTES = 16 << 20
N_THREADS = 4


class Disk:
    """A nameless file of 512 MiB, written and read in parts by four threads."""

    def __init__(self, folder: str) -> None:
        flags = os.O_TMPFILE | os.O_RDWR
        try:
            self._fd = os.open(folder, flags | os.O_DIRECT, 0o600)
        except OSError:
            self._fd = os.open(folder, flags, 0o600)
        self._threads = ThreadPoolExecutor(N_THREADS)
        self._buffers = [mmap.mmap(-1, PART_BYTES) for _ in range(N_THREADS)]
        for buffer in self._buffers:
            buffer.write(b"\x01" * PART_BYTES)

    def write(self) -> float:
        """Write everything -> GB/s."""
        return self._timed(lambda part: os.pwrite(self._fd, self._buffers[part % N_THREADS], part * PART_BYTES))

    def read(self) -> float:
        """Read everything, which was written before -> GB/s."""
        return self._timed(lambda part: os.preadv(self._fd, [self._buffers[part % N_THREADS]], part * PART_BYTES))

    def close(self) -> None:
        """The file goes with its descriptor."""
        self._threads.shutdown()
        os.close(self._fd)

    def _timed(self, move: object) -> float:
        begun = perf_counter()
        done = list(self._threads.map(move, range(N_PARTS)))  # type: ignore[arg-type]
        seconds = perf_counter() - begun
        if done != [PART_BYTES] * N_PARTS:
            raise OSError("the disk took or gave less than was asked for")
        return N_PARTS * PART_BYTES / 1e9 / seconds


def spill_folder() -> str:
    """As Shoal chooses it."""
    return "/var/tmp" if os.access("/var/tmp", os.W_OK | os.X_OK) else tempfile.gettempdir()
