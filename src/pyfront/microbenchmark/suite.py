# SPDX-License-Identifier: Apache-2.0
"""The rows in the order of the table, and the loop that measures them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from .actor_rows import EXTRA_ACTOR_ROWS, RAY_ACTOR_ROWS
from .bench import Bench
from .collective_rows import COLLECTIVE_ROWS
from .object_rows import EXTRA_OBJECT_ROWS, RAY_OBJECT_ROWS
from .process_rows import IDLE_ROWS, START_UP_ROWS
from .row import Measurement, Row, RowSkipped
from .spill_rows import SPILL_ROWS
from .task_rows import EXTRA_TASK_ROWS, RAY_PLACEMENT_ROWS, RAY_TASK_ROWS, TASK_MEMORY_ROWS

RAY_ROWS: tuple[Row, ...] = RAY_OBJECT_ROWS + RAY_TASK_ROWS + RAY_ACTOR_ROWS + RAY_PLACEMENT_ROWS

# Start-up comes first, while nothing else runs; memory before work has fattened the workers and left free heap behind.
ALL_ROWS: tuple[Row, ...] = (
    START_UP_ROWS
    + IDLE_ROWS
    + TASK_MEMORY_ROWS
    + RAY_ROWS
    + EXTRA_OBJECT_ROWS
    + SPILL_ROWS
    + EXTRA_ACTOR_ROWS
    + EXTRA_TASK_ROWS
    + COLLECTIVE_ROWS
)


@dataclass(frozen=True)
class Outcome:
    """What came of a row: `measurement`, or the reason why there is none."""

    row: Row
    measurement: Measurement | None
    failure: str = ""
    skipped: bool = False


def select(rows: Iterable[Row], pattern: str | None) -> list[Row]:
    """The rows whose name matches the regular expression `pattern`, ignoring case; all of them for None.

    Raises ValueError if the pattern is malformed or matches nothing.
    """
    rows = list(rows)
    if pattern is None:
        return rows
    try:
        found = [row for row in rows if re.search(pattern, row.name, re.IGNORECASE)]
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    if not found:
        raise ValueError(f"no row matches {pattern!r}; the rows are: {', '.join(row.name for row in rows)}")
    return found


def measure(
    bench: Bench, rows: Iterable[Row], on_start: Callable[[Row], object] = lambda row: None
) -> Iterator[Outcome]:
    """Measure `rows` one after another. A row that fails becomes an outcome that says so; the others still run."""
    for row in rows:
        on_start(row)
        yield _measure_row(bench, row)


def _measure_row(bench: Bench, row: Row) -> Outcome:
    try:
        try:
            return Outcome(row, row.measure(bench))
        finally:
            bench.end_row()
    except RowSkipped as reason:
        return Outcome(row, None, str(reason), skipped=True)
    # A benchmark must report what broke in one row and go on: any exception of the system under test is a result.
    except Exception as error:
        first_line = (str(error).strip().splitlines() or [""])[0]
        return Outcome(row, None, f"{type(error).__name__}: {first_line}"[:300])
