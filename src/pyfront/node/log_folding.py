# SPDX-License-Identifier: Apache-2.0
"""Repeated lines of output: what one process prints over and over, and what many processes print alike.

The first of them is handed on at once, always. What one process repeats in a row, line by line or in groups of a few,
is counted within a batch. What other processes print too is held back for five seconds and then said once, with how
often and by how many. Lines are alike if they are equal: two numbers that differ are two pieces of news."""

from __future__ import annotations

from collections import OrderedDict

import msgspec
from msgspec.structs import replace

from shoal.protocol.messages import LogLine

MAX_GROUP = 4  # lines
WINDOW_S = 5.0
MAX_RECENT = 10_000  # different lines that are remembered; beyond it the oldest is let go early

Key = tuple[str, str, bool]


def fold(lines: list[LogLine]) -> list[LogLine]:
    """What one process prints several times in a row becomes one line with a count, whatever others print between.

    A group of up to four lines that is printed again as a whole counts as a repeat of each of its lines.
    """
    of_process: dict[int, list[int]] = {}
    for at, line in enumerate(lines):
        of_process.setdefault(line.pid, []).append(at)
    counts: dict[int, int] = {}
    for places in of_process.values():
        _fold_one(lines, places, counts)
    return [replace(lines[at], count=counts[at]) for at in sorted(counts)]


def _fold_one(lines: list[LogLine], places: list[int], counts: dict[int, int]) -> None:
    """Counts for those of one process's lines that stay."""
    kept: list[int] = []
    i = 0
    while i < len(places):
        n = _repeated(lines, kept, places, i)
        for first, again in zip(kept[len(kept) - n :], places[i : i + n], strict=True):
            counts[first] += lines[again].count
        if n == 0:
            kept.append(places[i])
            counts[places[i]] = lines[places[i]].count
        i += n or 1


def _repeated(lines: list[LogLine], kept: list[int], places: list[int], i: int) -> int:
    """How many of the lines from `i` on say once more what was said last; 0 if none."""
    for n in range(1, min(MAX_GROUP, len(kept), len(places) - i) + 1):
        if all(_key(lines[kept[k - n]]) == _key(lines[places[i + k]]) for k in range(n)):
            return n
    return 0


def _key(line: LogLine) -> Key:
    return line.name, line.text, line.is_stderr


class _Seen(msgspec.Struct):
    """A line that was handed on, until `due_s`."""

    due_s: float
    pids: set[int]  # who has ever printed it
    holding: set[int] = msgspec.field(default_factory=set)  # whose lines are held back
    n_held: int = 0
    last: LogLine | None = None


class Repeats:
    """Holds back what several processes print alike. Times are seconds of any one clock."""

    def __init__(self) -> None:
        self._recent: OrderedDict[Key, _Seen] = OrderedDict()  # by due_s
        self._n_holding = 0

    @property
    def due_s(self) -> float | None:
        """When to call `take` again, though nothing was printed; None: no need to."""
        return next(iter(self._recent.values())).due_s if self._n_holding else None

    def take(self, lines: list[LogLine], now_s: float) -> list[LogLine]:
        """What to hand on now: lines that are due, and those of `lines` that are no repeats of other processes."""
        out = self._release(now_s)
        for line in fold(lines):
            key = _key(line)
            seen = self._recent.get(key)
            if seen is None:
                self._recent[key] = _Seen(now_s + WINDOW_S, {line.pid})
                out.append(line)
            elif seen.pids == {line.pid}:
                out.append(line)
            else:
                self._hold(seen, line)
        while len(self._recent) > MAX_RECENT:
            self._pop(out)
        return out

    def rest(self) -> list[LogLine]:
        """Everything that is held back; nothing is remembered."""
        out: list[LogLine] = []
        while self._recent:
            self._pop(out)
        return out

    def _hold(self, seen: _Seen, line: LogLine) -> None:
        self._n_holding += not seen.n_held
        seen.pids.add(line.pid)
        seen.holding.add(line.pid)
        seen.n_held += line.count
        seen.last = line

    def _release(self, now_s: float) -> list[LogLine]:
        out: list[LogLine] = []
        while self._recent and next(iter(self._recent.values())).due_s <= now_s:
            key, seen = self._pop(out)
            if seen.n_held:  # it may go on: later ones are held at once
                self._recent[key] = _Seen(now_s + WINDOW_S, seen.pids)
        return out

    def _pop(self, out: list[LogLine]) -> tuple[Key, _Seen]:
        key, seen = self._recent.popitem(last=False)
        if seen.last is not None:
            self._n_holding -= 1
            out.append(replace(seen.last, count=seen.n_held, n_processes=len(seen.holding)))
        return key, seen
