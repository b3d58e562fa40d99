# SPDX-License-Identifier: Apache-2.0
"""Workers' output: from pipes to lines, in batches to the driver that they belong to.

A driver that reads too slowly loses lines, and is told how many; a worker is never held up by one.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from shoal.node.log_folding import Repeats
from shoal.protocol.messages import LogLine, LogLines
from shoal.protocol.output import marked_name

READ_BYTES = 65536
MAX_LINE_BYTES = 16384  # a longer one is cut into several
TAIL_LINES = 50
BATCH_S = 0.05
MAX_BATCH_LINES = 2000
MAX_LAST_READS = 16  # of a dead worker's pipe, which holds no more; a child of the worker's might write for ever


class LineCutter:
    """Cuts one stream into lines; marks are taken out and name the lines after them."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """(name, text) of each line that is complete."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        while len(self._rest) > MAX_LINE_BYTES:
            lines.append(self._rest[:MAX_LINE_BYTES])
            self._rest = self._rest[MAX_LINE_BYTES:]
        return [pair for line in lines for pair in self._take(line)]

    def finish(self) -> list[tuple[str, str]]:
        """The last line, if the stream did not end with a newline."""
        rest, self._rest = self._rest, b""
        return self._take(rest) if rest else []

    def _take(self, line: bytes) -> list[tuple[str, str]]:
        name = marked_name(line)
        if name is not None:
            self.name = name
            return []
        return [
            (self.name, line[start : start + MAX_LINE_BYTES].decode("utf-8", "replace").rstrip("\r"))
            for start in range(0, max(len(line), 1), MAX_LINE_BYTES)
        ]


class LogSink:
    """Collects the lines of one job and hands them on in batches: the first at once, later ones 50 ms apart.

    Repeated lines are folded (`log_folding`), and what it holds back is handed on when it is due, or at `finish`.
    """

    def __init__(self, deliver: Callable[[LogLines], bool]) -> None:
        self._deliver = deliver  # False: not taken, the reader is too slow
        self._lines: list[LogLine] = []
        self._repeats = Repeats()
        self._n_dropped = 0
        self._timer: asyncio.TimerHandle | None = None  # of the next batch
        self._due_timer: asyncio.TimerHandle | None = None  # of what is held back
        self._next_s = 0.0

    def add(self, lines: list[LogLine]) -> None:
        """Take lines; beyond 2,000 in a batch they are only counted."""
        room = MAX_BATCH_LINES - len(self._lines)
        self._lines += lines[:room]
        self._n_dropped += len(lines) - len(lines[:room])
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time(), self._next_s), self.flush)

    def flush(self) -> None:
        """Hand on what is there and due."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._next_s = loop.time() + BATCH_S
        lines, self._lines = self._lines, []
        self._hand_on(self._repeats.take(lines, loop.time()))
        if self._due_timer is None and (due_s := self._repeats.due_s) is not None:
            self._due_timer = loop.call_at(due_s, self._release)

    def finish(self) -> None:
        """Hand on everything; there may be more afterwards."""
        self.flush()
        if self._due_timer is not None:
            self._due_timer.cancel()
            self._due_timer = None
        self._hand_on(self._repeats.rest())

    def _release(self) -> None:
        self._due_timer = None
        self.flush()

    def _hand_on(self, lines: list[LogLine]) -> None:
        if not lines and not self._n_dropped:
            return
        if self._deliver(LogLines(lines, self._n_dropped)):
            self._n_dropped = 0
        else:
            self._n_dropped += sum(line.count for line in lines)


class WorkerOutput:
    """Reads both streams of one worker until they end or `finish`. Owns the reading descriptors."""

    def __init__(
        self, pid: int, name: str, stdout_fd: int, stderr_fd: int, take: Callable[[list[LogLine]], None]
    ) -> None:
        self._pid = pid
        self._take = take
        self._cutters = {stdout_fd: LineCutter(name), stderr_fd: LineCutter(name)}
        self._stderr_fd = stderr_fd
        self.stderr_tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.last_name = name
        for fd in self._cutters:
            os.set_blocking(fd, False)
            asyncio.get_running_loop().add_reader(fd, self._read, fd)

    def finish(self) -> None:
        """The worker is dead: take what its pipes still hold, then close them. Repeating it has no effect."""
        for fd in list(self._cutters):
            for _ in range(MAX_LAST_READS):
                if fd not in self._cutters or not self._read(fd):
                    break
            if fd in self._cutters:
                self._close(fd)

    def _read(self, fd: int) -> bool:
        """Take what is there; False if nothing was."""
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close(fd)
            return False
        self._give(fd, self._cutters[fd].feed(data))
        return True

    def _close(self, fd: int) -> None:
        self._give(fd, self._cutters.pop(fd).finish())
        with suppress(RuntimeError):  # the loop may be closed already
            asyncio.get_running_loop().remove_reader(fd)
        os.close(fd)

    def _give(self, fd: int, lines: list[tuple[str, str]]) -> None:
        if not lines:
            return
        is_stderr = fd == self._stderr_fd
        if is_stderr:
            self.stderr_tail.extend(text for _, text in lines)
        self.last_name = lines[-1][0]
        self._take([LogLine(self._pid, name, text, is_stderr) for name, text in lines])
