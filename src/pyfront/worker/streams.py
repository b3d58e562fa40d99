# SPDX-License-Identifier: Apache-2.0
"""A worker's stdout and stderr: line by line, with a mark where another task begins to print.

A line leaves the process when it ends, so nothing printed is lost when the process is killed, and a task that prints
nothing pays nothing.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

from shoal.protocol.output import name_mark


class NamedStream(io.TextIOWrapper):
    """A text stream that writes a name's mark before the first line printed under that name."""

    def __init__(self, descriptor: int, name_now: Callable[[], str]) -> None:
        raw = io.FileIO(descriptor, "w", closefd=False)
        super().__init__(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self._name_now = name_now
        self._name = ""
        self._is_at_line_start = True

    def write(self, text: str) -> int:
        """Write text, marked if need be -> its length."""
        if self._is_at_line_start and text:
            name = self._name_now()
            if name != self._name:
                self._name = name
                super().write(name_mark(name).decode())
        if text:
            self._is_at_line_start = text.endswith("\n")
        return super().write(text)


def name_output(name_now: Callable[[], str]) -> None:
    """Replace this process's streams by named ones."""
    sys.stdout = sys.__stdout__ = NamedStream(1, name_now)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = NamedStream(2, name_now)  # type: ignore[misc]


def flush_output() -> None:
    """Let go of unfinished lines."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue  # nobody reads any more, or user code closed it
