# SPDX-License-Identifier: Apache-2.0
"""The results as Markdown: the table of the README, and the full report with ranges, notes and bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from systems.registry import LIMIT, PEERS, SHOAL, SYSTEMS

from .bars import OTHER_KEYS, judge_all
from .limit_rows import LIMIT_OF
from .machine import sentence
from .numbers import number, times
from .results import Cell, Results

PICTURE = "latest.png"


def main_table(results: Results) -> str:
    """Medians of every system, and how many times faster Shoal is: one row per row of Shoal."""
    lines = [
        ["", "unit", "Shoal", "limit", *(peer.title for peer in PEERS), "Shoal / Ray", "Shoal / best other"],
    ]
    for row in _rows(results):
        best_other = results.best(row, OTHER_KEYS)
        lines.append(
            [
                row,
                results.units.get(row, ""),
                _bold(_value(results.cell(row, SHOAL))),
                _value(results.cell(LIMIT_OF[row], LIMIT)) if row in LIMIT_OF else "",
                *(_value(results.cell(row, peer.key)) for peer in PEERS),
                _ratio(results.advantage(row, SHOAL, "ray")),
                _ratio(results.advantage(row, SHOAL, best_other) if best_other else None),
            ]
        )
    return _markdown(lines)


def block(results: Results) -> str:
    """What the README shows: where and when, the table, and how to read it."""
    return "\n".join(
        [
            f"Measured by `make bench` on a {sentence(results.machine)}: medians of {results.n_rounds} interleaved "
            f"rounds. {_versions(results)}.",
            "",
            main_table(results),
            "",
            "Units ending in `/s` are rates, the others costs; the ratios are above 1 where Shoal is the better one. "
            "*limit* is what the machine allows without any runtime: a bare shared-memory ring between two Python "
            "processes, or memcpy by two threads. An empty cell: the system has nothing that does the same work.",
        ]
    )


def report(results: Results) -> str:
    """The whole report."""
    verdicts = judge_all(results)
    bars = [["", "bar", "measured", "met"]]
    bars += [[v.what, v.bar, v.measured, "yes" if v.is_met else "**no**"] for v in verdicts]
    facts = [[name, value] for name, value in results.machine.items()]
    return "\n\n".join(
        [
            "# Benchmark results",
            block(results),
            f"![Ratios to each peer and to the limit]({PICTURE})",
            "## Bars",
            _markdown(bars, "---"),
            "## Limits of the machine",
            _markdown(_limits(results)),
            "## Range over the rounds",
            _markdown(_ranges(results)),
            "## Notes",
            "\n".join(_notes(results)) or "None.",
            "## Machine",
            _markdown([["", ""], *facts], "---"),
            "",
        ]
    )


def _rows(results: Results) -> list[str]:
    return [row for row in results.units if LIMIT not in results.cells[row]]


def _limits(results: Results) -> list[list[str]]:
    lines = [["", "unit", "median", "min", "max", "note"]]
    for row, cells in results.cells.items():
        if LIMIT in cells:
            cell = cells[LIMIT]
            low, high = (number(min(cell.values)), number(max(cell.values))) if cell.values else ("", "")
            lines.append([row, results.units.get(row, ""), _value(cell), low, high, cell.note or cell.failure])
    return lines


def _ranges(results: Results) -> list[list[str]]:
    titles = [system for system in SYSTEMS if system.key != LIMIT]
    lines = [["", "unit", *(system.title for system in titles)]]
    for row in _rows(results):
        cells = [results.cell(row, system.key) for system in titles]
        spans = [f"{number(min(c.values))} .. {number(max(c.values))}" if c.values else "" for c in cells]
        lines.append([row, results.units.get(row, ""), *spans])
    return lines


def _notes(results: Results) -> Iterable[str]:
    for row, cells in results.cells.items():
        for system in SYSTEMS:
            cell = cells.get(system.key)
            if cell is None or system.key == LIMIT:
                continue
            parts = [f"batch fitted to {cell.n:,}"] if cell.n and cell.values and "memory" not in row else []
            parts += [part for part in (cell.note, cell.failure) if part]
            if parts:
                yield f"- {row}, {system.title}: {'; '.join(parts)}"


def _versions(results: Results) -> str:
    measured = [system for system in SYSTEMS if system.key in results.versions and system.key != LIMIT]
    return ", ".join(f"{system.title} {results.versions[system.key]}" for system in measured)


def _value(cell: Cell) -> str:
    if cell.median is not None:
        return number(cell.median)
    if cell.failure.startswith("skipped"):
        return "-"
    return "failed" if cell.failure else ""


def _bold(text: str) -> str:
    return f"**{text}**" if text else ""


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else times(ratio)


def _markdown(lines: Sequence[Sequence[str]], align: str = "---:") -> str:
    head, *body = lines
    rule = ["---", *(align for _ in head[1:])]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in (head, rule, *body)
    )
