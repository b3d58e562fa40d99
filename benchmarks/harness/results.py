# SPDX-License-Identifier: Apache-2.0
"""What a run of the benchmark found: for each row and system the values of its rounds, or why there are none."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RATE_SUFFIX = "/s"  # as in microbenchmark.row: units of rates, where more is better


@dataclass
class Cell:
    """One system's values in one row, in the row's unit, one per round that succeeded."""

    values: list[float] = field(default_factory=list)
    n: int | None = None
    note: str = ""
    failure: str = ""

    @property
    def median(self) -> float | None:
        """The median over the rounds; None without a value."""
        return statistics.median(self.values) if self.values else None


@dataclass
class Results:
    """A whole run. `units` is ordered: it is the order of the rows in every table."""

    machine: dict[str, str]
    n_rounds: int
    budget_s: float
    versions: dict[str, str] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    cells: dict[str, dict[str, Cell]] = field(default_factory=dict)

    def add(self, system: str, row: str, line: Mapping[str, Any]) -> None:
        """Take one result line of a child: `value`, `unit`, `n` and `note`, or `failure`."""
        cell = self.cells.setdefault(row, {}).setdefault(system, Cell())
        if line.get("unit"):
            self.units.setdefault(row, line["unit"])
        if line.get("value") is not None:
            cell.values.append(line["value"])
            cell.n = line.get("n")
            cell.note = line.get("note") or cell.note
        else:
            cell.failure = line.get("failure") or "failed: no value"

    def cell(self, row: str, system: str) -> Cell:
        """The cell of `row` and `system`, empty if it was not measured."""
        return self.cells.get(row, {}).get(system, Cell())

    def median(self, row: str, system: str) -> float | None:
        """The median over the rounds, None if there is no value."""
        return self.cell(row, system).median

    def advantage(self, row: str, system: str, over: str) -> float | None:
        """How many times better `system` is than `over` in `row`; above 1 is better whatever the unit."""
        mine, theirs = self.median(row, system), self.median(row, over)
        if not mine or not theirs:
            return None
        return mine / theirs if is_rate(self.units[row]) else theirs / mine

    def best(self, row: str, systems: Iterable[str]) -> str | None:
        """Which of `systems` is the best in `row`; None if none has a value."""
        found = {system: value for system in systems if (value := self.median(row, system)) is not None}
        if not found:
            return None
        return (max if is_rate(self.units[row]) else min)(found, key=lambda system: found[system])

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Results:
        """The results that `write` wrote."""
        fields = json.loads(path.read_text())
        cells = {
            row: {system: Cell(**cell) for system, cell in by_system.items()}
            for row, by_system in fields.pop("cells").items()
        }
        return cls(cells=cells, **fields)


def is_rate(unit: str) -> bool:
    """Whether more is better."""
    return unit.endswith(RATE_SUFFIX)
