# SPDX-License-Identifier: Apache-2.0
"""What this process has counted and measured: numbers by metric and tags. No I/O.

One lock for all; an update under it is an addition to a number in a list. It may be taken again by the thread that has
it, because a signal's handler may update a metric at any point."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Callable

from shoal.protocol.metrics import Definition, Report, Series

MOST_SERIES = 10_000  # of one metric in one process
Tags = tuple[str, ...]


class Cell:
    """The numbers of one metric under one set of tags."""

    __slots__ = ("at_ns", "is_changed", "numbers")

    def __init__(self, n_numbers: int) -> None:
        self.numbers = [0.0] * n_numbers
        self.at_ns = 0
        self.is_changed = False


class Values:
    """All metrics of one process. Any thread. `changed` is called after each update, with the lock free."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._lock = threading.RLock()
        self._changed = changed
        self._cells: dict[str, tuple[Definition, dict[Tags, Cell]]] = {}

    def define(self, definition: Definition) -> dict[Tags, Cell]:
        """The cells of a metric; the same ones each time. Raises ValueError if it was defined otherwise before."""
        with self._lock:
            known, cells = self._cells.setdefault(definition.name, (definition, {}))
        if known != definition:
            raise ValueError(
                f"metric {definition.name!r} is a {known.kind} with {_shape(known)} in this process already, and "
                f"cannot be a {definition.kind} with {_shape(definition)} too: use another name"
            )
        return cells

    def add(self, cells: dict[Tags, Cell], tags: Tags, amount: float) -> bool:
        """To a counter. False if the metric has too many series already."""
        with self._lock:
            cell = cells.get(tags) or _new(cells, tags, 1)
            if cell is None:
                return False
            cell.numbers[0] += amount
            cell.is_changed = True
        self._changed()
        return True

    def set(self, cells: dict[Tags, Cell], tags: Tags, value: float) -> bool:
        """A gauge."""
        with self._lock:
            cell = cells.get(tags) or _new(cells, tags, 1)
            if cell is None:
                return False
            cell.numbers[0] = value
            cell.at_ns = time.monotonic_ns()  # of several processes that set it, the last one counts
            cell.is_changed = True
        self._changed()
        return True

    def observe(self, cells: dict[Tags, Cell], tags: Tags, value: float, boundaries: tuple[float, ...]) -> bool:
        """Into a histogram."""
        with self._lock:
            cell = cells.get(tags) or _new(cells, tags, len(boundaries) + 2)
            if cell is None:
                return False
            cell.numbers[bisect_left(boundaries, value)] += 1
            cell.numbers[-1] += value
            cell.is_changed = True
        self._changed()
        return True

    def take(self, *, everything: bool = False) -> list[Report]:
        """What has changed since the last time, or everything."""
        reports = []
        with self._lock:
            now_ns = time.monotonic_ns()
            for definition, cells in self._cells.values():
                series = []
                for tags, cell in cells.items():
                    if cell.is_changed or everything:
                        cell.is_changed = False
                        # By its time a report that a later one has overtaken is known. Of a gauge: when it was set.
                        at_ns = cell.at_ns if definition.kind == Definition.GAUGE else now_ns
                        series.append(Series(tags, list(cell.numbers), at_ns))
                if series:
                    reports.append(Report(definition, series))
        return reports

    def clear(self) -> None:
        """Begin at zero, in a forked child: the parent reports what it has counted itself."""
        self._lock = threading.RLock()
        for _, cells in self._cells.values():
            cells.clear()


def _new(cells: dict[Tags, Cell], tags: Tags, n_numbers: int) -> Cell | None:
    if len(cells) >= MOST_SERIES:
        return None
    cell = cells[tags] = Cell(n_numbers)
    return cell


def _shape(definition: Definition) -> str:
    tags = f"the tags {', '.join(definition.tag_keys)}" if definition.tag_keys else "no tags"
    return f"{tags} and the boundaries {list(definition.boundaries)}" if definition.boundaries else tags
