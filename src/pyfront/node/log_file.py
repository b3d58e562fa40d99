# SPDX-License-Identifier: Apache-2.0
"""A file of everything that a node's workers print, if the user wants one; bounded, with one predecessor kept.

The two together take `limit_bytes` at most: a file that has reached half of that becomes the predecessor of a new one.
A disk that is full, or a folder that is gone, costs lines and nothing else; the user is told once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from shoal.protocol.messages import LogLine


class LogFile:
    """Appends lines, unbuffered so that nothing is lost with the daemon. Single-threaded. `warn` tells the user."""

    def __init__(self, path: str, limit_bytes: int, warn: Callable[[str], None]) -> None:
        """Raises OSError if there can be no such file."""
        self.path = path
        self._limit_bytes = limit_bytes
        self._warn = warn
        self._is_told = False
        self._fd = self._open()

    def write(self, lines: list[LogLine]) -> None:
        """Add lines, each with the pid and the name of what printed it."""
        data = "".join(f"{line.pid} {line.name or '-'}: {line.text}\n" for line in lines).encode("utf-8", "replace")
        most = self._limit_bytes // 2
        try:
            size = os.fstat(self._fd).st_size
            if size and size + len(data) > most:
                self._begin_anew()
            _write_all(self._fd, data[-most:] if most else b"")
        except OSError as error:
            self._tell(error)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def _begin_anew(self) -> None:
        with suppress(FileNotFoundError):  # the user has deleted it
            os.replace(self.path, self.path + ".1")
        before, self._fd = self._fd, self._open()  # first: its number would be another file's if there is no new one
        os.close(before)

    def _open(self) -> int:
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _tell(self, error: OSError) -> None:
        if not self._is_told:
            self._is_told = True
            self._warn(
                f"What workers print cannot be written to {self.path}, and is missing there: {error.strerror}. Free "
                "disk space, or start the node with another SHOAL_LOG_DIR."
            )


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
