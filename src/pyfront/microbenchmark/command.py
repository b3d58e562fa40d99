# SPDX-License-Identifier: Apache-2.0
"""`shoal microbenchmark`: measure Shoal on this machine and print the result."""

from __future__ import annotations

from rich.console import Console

from .bench import DEFAULT_BUDGET_S
from .ray_like import ray_like_bench
from .report import json_line, progress, table
from .suite import ALL_ROWS, Outcome, measure, select


def run(
    filter: str | None = None,
    json: bool = False,
    rounds: int = 1,
    *,
    budget_s: float = DEFAULT_BUDGET_S,
) -> list[Outcome]:
    """Measure the rows whose name matches the regular expression `filter` (default: all), print and return them.

    `json` prints one object per line instead of a table. Each of the `rounds` goes through all rows and the medians are
    printed; `budget_s` is the time in seconds given to a row. Raises ValueError if no row matches or `rounds` < 1.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: at least one round is needed")
    rows = select(ALL_ROWS, filter)
    outcomes: list[Outcome] = []
    with progress(len(rows) * rounds) as bar, ray_like_bench("shoal", budget_s=budget_s) as bench:
        (bar_task,) = bar.task_ids
        for _ in range(rounds):
            for outcome in measure(bench, rows, lambda row: bar.update(bar_task, description=row.name)):
                outcomes.append(outcome)
                bar.advance(bar_task)
    if json:
        for row in rows:
            print(json_line(row, outcomes))
    else:
        Console().print(table(rows, outcomes))
    return outcomes
