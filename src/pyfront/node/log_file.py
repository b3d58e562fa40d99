# SPDX-License-Identifier: Apache-2.0
"""A file of everything that a node's workers print, if the user wants one; bounded, with one predecessor kept."""

from __future__ import annotations

import os

from shoal.protocol.messages import LogLine

LIMIT_BYTES = 64 << 20


class LogFile:
    """Appends lines, unbuffered so that nothing is lost with the daemon. Single-threaded."""

    def __init__(self, path: str, limit_bytes: int = LIMIT_BYTES) -> None:
        self.path = path
        self._limit_bytes = limit_bytes
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._open()

    def write(self, lines: list[LogLine]) -> None:
        """Add lines, each with the pid and the name of what printed it."""
        if os.fstat(self._fd).st_size > self._limit_bytes:
            os.close(self._fd)
            os.replace(self.path, self.path + ".1")
            self._open()
        text = "".join(f"{line.pid} {line.name or '-'}: {line.text}\n" for line in lines)
        os.write(self._fd, text.encode("utf-8", "replace"))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
