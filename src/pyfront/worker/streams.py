# SPDX-License-Identifier: Apache-2.0
"""A worker's stdout and stderr: line by line, with a mark where another task begins to print.

A line leaves the process when it ends, so nothing printed is lost when the process is killed, and a task that prints
nothing pays nothing. The streams are made once, in the zygote: a fork has only to say whose name they show.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from contextlib import suppress

from shoal.protocol.output import name_mark


class NamedStream(io.TextIOWrapper):
    """A text stream that writes a name's mark before the first line printed under that name."""

    def __init__(self, descriptor: int, name_now: Callable[[], str]) -> None:
        raw = io.FileIO(descriptor, "w", closefd=False)
        super().__init__(io.BufferedWriter(raw), encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self.name_now = name_now
        self._name = ""
        self._is_at_line_start = True

    def write(self, text: str) -> int:
        """Write text, marked if need be -> its length."""
        if self._is_at_line_start and text:
            name = self.name_now()
            if name != self._name:
                self._name = name
                super().write(name_mark(name).decode())
        if text:
            self._is_at_line_start = text.endswith("\n")
        return super().write(text)


_streams: list[NamedStream] = []


def open_streams() -> None:
    """Replace this process's streams by named ones, without a name yet."""
    _streams[:] = NamedStream(1, str), NamedStream(2, str)
    sys.stdout, sys.stderr = _streams
    sys.__stdout__, sys.__stderr__ = _streams  # type: ignore[misc]


def name_output(name_now: Callable[[], str]) -> None:
    """Whose name lines printed from here on have."""
    for stream in _streams:
        stream.name_now = name_now


def flush_output() -> None:
    """Let go of unfinished lines."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # nobody reads any more, or user code closed it, or put something else in its place
            stream.flush()
