# SPDX-License-Identifier: Apache-2.0
"""The comparison: as a table and as JSON."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Measurement:
    """One way of executing the runs, several times over."""

    name: str
    seconds: list[float]  # one per repetition
    timesteps: list[int]  # total of each repetition
    least_timesteps: list[int]  # on the longest path of each repetition: what the schedule cannot go below

    def add(self, seconds: float, timesteps: int, least_timesteps: int) -> None:
        """Record one more repetition."""
        self.seconds.append(seconds)
        self.timesteps.append(timesteps)
        self.least_timesteps.append(least_timesteps)

    @property
    def rate(self) -> float:
        """Timesteps per second, median over the repetitions."""
        return statistics.median(steps / seconds for steps, seconds in zip(self.timesteps, self.seconds, strict=True))

    def utilisation(self, cores: int) -> float:
        """The share of the cores' time that the schedule can use at best; the rest is waiting for longer runs."""
        return sum(self.timesteps) / (cores * sum(self.least_timesteps))


def table(measurements: list[Measurement], cores: int) -> Table:
    """The comparison for people; ratios are to the first row.

    "busy at best" is what the lengths of the runs allow. A ratio beyond "ratio at best" has other causes.
    """
    runs = f"{len(measurements[0].seconds)} repetitions of {3 * cores} runs"
    rows = Table(title=f"Pendulum-v1 on {cores} cores, median of {runs}", title_justify="left")
    rows.add_column("system")
    for heading in ("timesteps/s", "ratio", "busy at best", "ratio at best"):
        rows.add_column(heading, justify="right")
    first = measurements[0]
    for measurement in measurements:
        busy = measurement.utilisation(cores)
        ratio = f"{measurement.rate / first.rate:.2f}"
        at_best = f"{busy / first.utilisation(cores):.2f}"
        rows.add_row(measurement.name, f"{measurement.rate:,.0f}", ratio, f"{busy:.0%}", at_best)
    return rows


def write_json(measurements: list[Measurement], cores: int, path: Path) -> None:
    """The comparison for programs, every repetition included."""
    summary: dict[str, Any] = {"environment": "Pendulum-v1", "cores": cores, "systems": {}}
    for measurement in measurements:
        summary["systems"][measurement.name] = {
            "timesteps_per_second": measurement.rate,
            "utilisation_at_best": measurement.utilisation(cores),
            "seconds": measurement.seconds,
            "timesteps": measurement.timesteps,
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(summary, indent=2) + "\n")
