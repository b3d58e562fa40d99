# SPDX-License-Identifier: Apache-2.0
"""`make bench`: every system and the machine's limits in interleaved rounds, then the tables, the picture, the README.

In each round every system is measured once, in its own environment and process; the order turns with the round, so
that no system always runs after the same other one. A system that fails is reported as failed and stops nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

import rows_package
from harness import machine, readme, table
from harness.bars import Verdict, judge_all
from harness.environments import EnvironmentFailed, python_of
from harness.results import Results
from harness.session import CHILD, run_session
from systems.registry import BY_KEY, SHOAL, SYSTEMS, System

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BUDGET_S = 0.4
QUICK_BUDGET_S = 0.1
# Seconds for the row of a million queued tasks: Shoal must show the whole million, a slow peer a part of it.
PATIENCE_S = 60.0
PEER_PATIENCE_S = 2.0

console = Console(stderr=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0, or 1 with --strict and a bar that is not met."""
    options = _parse(arguments)
    rows_package.load()
    systems = [BY_KEY[key] for key in options.systems]
    budget_s = QUICK_BUDGET_S if options.quick else BUDGET_S
    n_rounds = 1 if options.quick and options.rounds is None else options.rounds or 5
    results = Results(machine=machine.describe(), n_rounds=n_rounds, budget_s=budget_s)
    _declare_rows(results)
    _warn_if_busy(results)
    pythons = _environments(systems, results, is_upgraded=options.upgrade_peers)
    with Progress(
        TextColumn("{task.description:<70}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    ) as progress:
        total = progress.add_task("starting", total=n_rounds * len(pythons))
        for index in range(n_rounds):
            for system in _turned(list(pythons), index):
                title = f"round {index + 1}, {system.title}"
                command = _command(system, pythons[system], is_quick=options.quick)
                _measure(system, command, options.row, results, partial(_describe, progress, total, title))
                progress.advance(total)
                results.write(options.out / "latest.json")
    verdicts = judge_all(results)
    _publish(results, options.out, is_readme_written=not options.no_readme)
    _show(results, verdicts)
    return int(options.strict and not all(verdict.is_met for verdict in verdicts))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    keys = [system.key for system in SYSTEMS]
    parser.add_argument("--rounds", type=int, help="interleaved rounds (default: 5, with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="short budgets: a check of the harness, not a measurement")
    parser.add_argument("--systems", nargs="+", choices=keys, default=keys, metavar="SYSTEM", help=", ".join(keys))
    parser.add_argument("--row", action="append", help="exact name of a row to measure; repeat for several")
    parser.add_argument("--upgrade-peers", action="store_true", help="install the newest version of each peer")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--no-readme", action="store_true", help="leave README.md as it is")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is not met")
    return parser.parse_args(arguments)


def _declare_rows(results: Results) -> None:
    """Fix the order of the rows, whichever system reports first."""
    from microbenchmark.suite import ALL_ROWS

    for row in ALL_ROWS:
        results.units[row.name] = row.unit
        results.cells[row.name] = {}


def _warn_if_busy(results: Results) -> None:
    load, cores = float(results.machine["load at start"]), int(results.machine["cores"])
    if load > cores / 2:
        console.print(f"[yellow]The machine is busy (load {load} on {cores} cores): the numbers will say so.[/]")


def _environments(systems: list[System], results: Results, *, is_upgraded: bool) -> dict[System, str]:
    """The interpreter of each system that could be installed."""
    pythons: dict[System, str] = {}
    for system in systems:
        with console.status(f"environment of {system.title}"):
            try:
                pythons[system] = python_of(system, is_upgraded=is_upgraded)
            except EnvironmentFailed as reason:
                console.print(f"{system.title}: not installed: {reason}")
                _fail_all(results, system, f"failed: not installed: {reason}")
    return pythons


def _turned(systems: list[System], by: int) -> list[System]:
    at = by % len(systems) if systems else 0
    return systems[at:] + systems[:at]


def _command(system: System, python: str, *, is_quick: bool) -> list[str]:
    budget_s = QUICK_BUDGET_S if is_quick else BUDGET_S
    patience_s = PATIENCE_S if system.key == SHOAL and not is_quick else PEER_PATIENCE_S
    return [python, str(CHILD), system.key, "--budget", str(budget_s), "--patience", str(patience_s)]


def _measure(
    system: System,
    command: list[str],
    rows: list[str] | None,
    results: Results,
    on_start: Callable[[str], object],
) -> None:
    """One pass over the rows of `system`, its lines added to `results`."""
    for line in run_session(command, rows=rows, on_start=on_start):
        if "version" in line:
            results.versions[system.key] = line["version"]
        elif "row" in line:
            results.add(system.key, line["row"], line)
        else:
            _fail_all(results, system, line["failure"])


def _describe(progress: Progress, task: TaskID, title: str, row: str) -> None:
    progress.update(task, description=f"{title}: {row}")


def _fail_all(results: Results, system: System, failure: str) -> None:
    for row in results.units:
        results.add(system.key, row, {"failure": failure})


def _publish(results: Results, out: Path, *, is_readme_written: bool) -> None:
    from harness.picture import draw

    results.write(out / "latest.json")
    (out / "latest.md").write_text(table.report(results))
    draw(results, out / table.PICTURE)
    if is_readme_written:
        try:
            readme.rewrite(ROOT / "README.md", table.block(results))
        except (OSError, ValueError) as reason:
            console.print(f"README.md is left as it is: {reason}")
    console.print(f"written: {out}/latest.json, latest.md, {table.PICTURE}")


def _show(results: Results, verdicts: list[Verdict]) -> None:
    shown = Table(title="Bars", title_justify="left")
    for heading in ("what", "bar", "measured", "met"):
        shown.add_column(heading, overflow="fold")
    for verdict in verdicts:
        shown.add_row(
            verdict.what, verdict.bar, verdict.measured, "[green]yes[/]" if verdict.is_met else "[bold red]no[/]"
        )
    Console().print(shown)


if __name__ == "__main__":
    sys.exit(main())
