# SPDX-License-Identifier: Apache-2.0
"""What workers print, shown on the driver's terminal: `(name pid=123) line`, folded by the daemon where it repeats."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TextIO

from shoal.protocol.messages import LogLine, LogLines, Push, Warn

COLOURS = ("\x1b[36m", "\x1b[35m", "\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[31m")
RESET = "\x1b[0m"


class LogPrinter:
    """Prints pushes of the daemon. Called on the link's reader thread; never raises.

    Looks `sys.stdout` and `sys.stderr` up each time: programs replace them, by what need not be a whole file, and a
    process that was started without has None.
    """

    def __init__(self, *, is_printing: bool, is_colour_allowed: bool) -> None:
        self._is_printing = is_printing
        self._is_colour_allowed = is_colour_allowed

    def __call__(self, push: Push) -> None:
        if isinstance(push, Warn):
            _write(sys.stderr, [f"shoal: {push.text}"])
        elif isinstance(push, LogLines) and self._is_printing:
            self._print(push)

    def _print(self, push: LogLines) -> None:
        if push.n_dropped:
            _write(sys.stderr, [f"shoal: {push.n_dropped:,} lines of workers were left out, they came too fast"])
        for stream, is_stderr in ((sys.stdout, False), (sys.stderr, True)):
            lines = [line for line in push.lines if line.is_stderr == is_stderr]
            if lines:
                is_coloured = self._is_colour_allowed and _is_terminal(stream)
                _write(stream, [_text(line, is_coloured=is_coloured) for line in lines])


def _text(line: LogLine, *, is_coloured: bool) -> str:
    name = f"{line.name} " if line.name else ""
    prefix = f"({name}pid={line.pid})"
    if is_coloured:
        prefix = f"{COLOURS[line.pid % len(COLOURS)]}{prefix}{RESET}"
    folded = f" ... repeated {line.count}x" if line.count > 1 else ""
    if line.n_processes > 1:
        folded += f" by {line.n_processes} processes"
    return f"{prefix} {line.text}{folded}"


def _is_terminal(stream: TextIO) -> bool:
    with suppress(Exception):  # it has no such method, say
        return stream.isatty()
    return False


def _write(stream: TextIO, lines: list[str]) -> None:
    with suppress(Exception):  # the terminal is gone, or the stream is closed or none: nobody reads
        stream.write("\n".join(lines) + "\n")
        stream.flush()
