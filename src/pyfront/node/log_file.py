# SPDX-License-Identifier: Apache-2.0
"""A file of everything that a node's workers print, if the user wants one; bounded, with one predecessor kept.

The two together take `limit_bytes` at most: a file that has reached half of that becomes the predecessor of a new one.
"""

from __future__ import annotations

import os

from shoal.protocol.messages import LogLine


class LogFile:
    """Appends lines, unbuffered so that nothing is lost with the daemon. Single-threaded."""

    def __init__(self, path: str, limit_bytes: int) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._open()

    def write(self, lines: list[LogLine]) -> None:
        """Add lines, each with the pid and the name of what printed it."""
        data = "".join(f"{line.pid} {line.name or '-'}: {line.text}\n" for line in lines).encode("utf-8", "replace")
        most = self._limit_bytes // 2
        size = os.fstat(self._fd).st_size
        if size and size + len(data) > most:
            os.close(self._fd)
            os.replace(self.path, self.path + ".1")
            self._open()
        os.write(self._fd, data[-most:] if most else b"")

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
