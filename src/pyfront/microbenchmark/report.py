# SPDX-License-Identifier: Apache-2.0
"""What a user sees of a run: a progress bar on stderr, then a table, or one JSON object per line, on stdout."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .row import Row
from .suite import Outcome


def progress(total: int) -> Progress:
    """A progress bar over `total` measurements that names the row being measured."""
    bar = Progress(
        TextColumn("{task.description:<48}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    bar.add_task("starting", total=total)
    return bar


def table(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> Table:
    """The medians over the rounds, with the range where there were several."""
    made = Table(title="shoal microbenchmark", title_justify="left")
    for heading in ("row", "value", "unit", "min .. max"):
        made.add_column(heading, justify="right" if heading in ("value", "min .. max") else "left")
    for row in rows:
        values = _values(row, outcomes)
        if values:
            spread = f"{number(min(values))} .. {number(max(values))}" if len(values) > 1 else ""
            made.add_row(row.name, number(statistics.median(values)), row.unit, spread)
        else:
            made.add_row(row.name, "-", _failure(row, outcomes), "")
    return made


def json_line(row: Row, outcomes: Sequence[Outcome]) -> str:
    """One row as a JSON object: name, unit, median, min, max, values of the rounds, and the failure if any."""
    values = _values(row, outcomes)
    measured = [o.measurement for o in outcomes if o.row == row and o.measurement is not None]
    return json.dumps(
        {
            "row": row.name,
            "unit": row.unit,
            "median": statistics.median(values) if values else None,
            "min": min(values, default=None),
            "max": max(values, default=None),
            "values": values,
            "n": measured[-1].n if measured else None,
            "failure": _failure(row, outcomes),
        }
    )


def number(value: float) -> str:
    """`value` with three significant digits, and thousands grouped where there are more: 0.0123, 4.56, 12,345."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _values(row: Row, outcomes: Sequence[Outcome]) -> list[float]:
    return [o.measurement.value for o in outcomes if o.row == row and o.measurement is not None]


def _failure(row: Row, outcomes: Sequence[Outcome]) -> str:
    for outcome in outcomes:
        if outcome.row == row and outcome.failure:
            return f"{'skipped' if outcome.skipped else 'failed'}: {outcome.failure}"
    return ""
