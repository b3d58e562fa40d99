# SPDX-License-Identifier: Apache-2.0
"""`make compare BEFORE=<revision>`: Shoal beside itself at an earlier revision, in interleaved rounds.

Both the last commit and the earlier revision are installed, each into an environment of its own, for an installation in
place is imported otherwise; both are measured by the rows of this tree. A round measures both, one directly after the
other, and the next one in the other order. So a busy minute of the machine falls on both, and what is compared are the
two values of each round.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

import rows_package
from harness import machine
from harness.environments import ROOT as ENVIRONMENTS
from harness.environments import install
from harness.numbers import number
from harness.results import is_rate
from harness.session import CHILD, run_session
from systems.registry import SHOAL

SOURCE = Path(__file__).resolve().parent.parent
TOLERANCE = 1.03  # a row is slower if it costs more than this in the median round, and more at all in all but one round
BEFORE, NOW = "before", "now"

console = Console(stderr=True)


@dataclass(frozen=True)
class Comparison:
    """One row: the values of both in each round, in the row's unit, and what the newer costs of the older, by round."""

    row: str
    unit: str
    before: list[float]
    now: list[float]

    @property
    def costs(self) -> list[float]:
        """Above 1: slower than before."""
        pairs = zip(self.before, self.now, strict=True)
        return [before / now if is_rate(self.unit) else now / before for before, now in pairs]

    @property
    def cost(self) -> float:
        """The median round's."""
        return statistics.median(self.costs)

    @property
    def is_slower(self) -> bool:
        """Whether it costs more by more than the tolerance, and not in one or two odd rounds only."""
        at_all = sum(cost > 1 for cost in self.costs)
        return self.cost > TOLERANCE and at_all >= len(self.costs) - 1


def compared(rounds: Sequence[dict[str, dict[str, float]]], units: dict[str, str]) -> list[Comparison]:
    """The rows that both have in every round. `rounds`: BEFORE and NOW -> row -> value."""
    out = []
    for row, unit in units.items():
        if all(row in values[which] for values in rounds for which in (BEFORE, NOW)):
            before, now = ([values[which][row] for values in rounds] for which in (BEFORE, NOW))
            out.append(Comparison(row, unit, before, now))
    return out


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare; 0, or 1 with --strict if a row is slower than before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="a git revision of this repository")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds")
    parser.add_argument("--budget", type=float, default=0.4, help="seconds for each row")
    parser.add_argument("--row", action="append", help="exact name of a row to measure; repeat for several")
    parser.add_argument("--out", type=Path, default=SOURCE / "build" / "compare.json", help="file for the results")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a row is slower than before")
    options = parser.parse_args(arguments)
    rows_package.load()
    pythons = {BEFORE: python_of_revision(options.before), NOW: python_of_revision("HEAD")}
    units: dict[str, str] = {}
    rounds: list[dict[str, dict[str, float]]] = []
    for index in range(options.rounds):
        values: dict[str, dict[str, float]] = {}
        for which in (BEFORE, NOW) if index % 2 == 0 else (NOW, BEFORE):
            command = [pythons[which], str(CHILD), SHOAL, "--budget", str(options.budget), "--patience", "60"]
            values[which] = {}
            with console.status(f"round {index + 1} of {options.rounds}, {which}"):
                for line in run_session(command, rows=options.row):
                    if "row" in line and line.get("value") is not None:
                        units.setdefault(line["row"], line["unit"])
                        values[which][line["row"]] = line["value"]
                    elif line.get("failure"):
                        console.print(f"{which}: {line.get('row', 'all rows')}: {line['failure']}")
        rounds.append(values)
    rows = compared(rounds, units)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    found = {"machine": machine.describe(), "before": options.before, "rows": [asdict(row) for row in rows]}
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    _show(rows, options.before)
    return int(options.strict and any(row.is_slower for row in rows))


def python_of_revision(revision: str) -> str:
    """The interpreter of an environment that has Shoal as it was at `revision`, made on first use."""
    name = subprocess.run(
        ["git", "-C", str(SOURCE), "rev-parse", "--verify", f"{revision}^{{commit}}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "-C", str(SOURCE), "archive", name], capture_output=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        return install(ENVIRONMENTS / f"revision-{name[:12]}", [folder, "psutil"], stamp=name)


def _show(rows: Sequence[Comparison], revision: str) -> None:
    table = Table(title=f"Shoal now beside {revision}", caption="cost: what now takes of what before took")
    for column in ("row", "unit", BEFORE, NOW, "cost", "rounds"):
        table.add_column(column, justify="left" if column in ("row", "unit") else "right")
    for row in sorted(rows, key=lambda row: -row.cost):
        medians = [number(statistics.median(values)) for values in (row.before, row.now)]
        each = " ".join(f"{cost:.2f}" for cost in row.costs)
        table.add_row(row.row, row.unit, *medians, f"{row.cost:.2f}", each, style="red" if row.is_slower else "")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
