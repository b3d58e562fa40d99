# SPDX-License-Identifier: Apache-2.0
"""The last lines that a node's workers printed, for those who ask later. Bounded: nothing of it grows with time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from shoal.protocol.messages import LogLine
from shoal.protocol.tables import OutputLine

MAX_LINES = 20_000
MAX_CHARACTERS = 4 << 20
MAX_WAIT_S = 30.0


class OutputTail:
    """Lines by number, counted from 1. The oldest go first."""

    def __init__(self, max_lines: int = MAX_LINES, max_characters: int = MAX_CHARACTERS) -> None:
        self._max_lines = max_lines
        self._max_characters = max_characters
        self._lines: deque[OutputLine] = deque()
        self._n_characters = 0
        self._last = 0  # number of the newest line
        self._news = asyncio.Event()

    def add(self, lines: Iterable[LogLine]) -> None:
        """Keep lines, and forget as many as are too many."""
        for line in lines:
            self._lines.append(OutputLine(line.pid, line.name, line.text, line.is_stderr))
            self._n_characters += len(line.text)
            self._last += 1
        while len(self._lines) > self._max_lines or self._n_characters > self._max_characters:
            self._n_characters -= len(self._lines.popleft().text)
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def read(self, source: str, after: int, most: int, wait_s: float) -> tuple[list[OutputLine], int, int]:
        """Lines of a task, an actor or a pid after a number -> (lines, the number to go on after, how many are lost).

        With `after` 0 the newest `most`; else the first `most`, after a wait if there is none yet.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + min(wait_s, MAX_WAIT_S)
        while True:
            found = self._find(source, after, most)
            left_s = until_s - loop.time()
            if found[0] or left_s <= 0:
                return found
            news = self._news
            _, after, _ = found
            try:
                await asyncio.wait_for(news.wait(), left_s)
            except asyncio.TimeoutError:
                return found

    def _find(self, source: str, after: int, most: int) -> tuple[list[OutputLine], int, int]:
        first = self._last - len(self._lines) + 1
        n_forgotten = max(0, first - after - 1) if after else 0
        start = max(after + 1, first)
        numbered = [
            (start + i, line)
            for i, line in enumerate(list(self._lines)[start - first :])
            if source in ("", line.name, str(line.pid))
        ]
        if len(numbered) <= most:
            return [line for _, line in numbered], self._last, n_forgotten
        if after == 0:
            return [line for _, line in numbered[-most:]], self._last, 0
        return [line for _, line in numbered[:most]], numbered[most - 1][0], n_forgotten
