# SPDX-License-Identifier: Apache-2.0
"""`make growth`: what a task costs as the node grows: in workers, in queued tasks, in live objects.

Each point is measured in several interleaved rounds, each time in a fresh program, so that no point inherits another's
memory or workers. Flat is within 35 % of the cheapest point or at most 2 us a task above it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness import machine

RESULTS = Path(__file__).resolve().parent / "results"
BATCH = 1000
BUDGET_S = 0.5
FLAT_SHARE = 1.35
FLAT_US = 2.0
POINT_LIMIT_S = 120.0

POWERS = (100, 1000, 10_000, 100_000, 1_000_000)
POINTS: dict[str, tuple[int, ...]] = {"workers": (1, 2, 4, 8, 16), "queued tasks": POWERS, "live objects": POWERS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all points, or one with --point; 0, or 1 with --strict and a curve that is not flat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a curve is not flat")
    parser.add_argument("--point", nargs=2, metavar=("CURVE", "SIZE"), help="measure one point and print it")
    options = parser.parse_args(arguments)
    if options.point:
        print(CURVES[options.point[0]](int(options.point[1])))
        return 0
    samples: dict[str, dict[int, list[float]]] = {curve: {n: [] for n in sizes} for curve, sizes in POINTS.items()}
    for number in range(options.rounds):
        for curve, points in samples.items():
            for size, values in points.items():
                values.append(_in_a_fresh_program(curve, size))
                print(f"round {number + 1}: {curve} {size:,}: {values[-1]:.2f} us a task", file=sys.stderr)
    medians = {
        curve: {size: statistics.median(values) for size, values in points.items()} for curve, points in samples.items()
    }
    _publish(samples, medians, options)
    verdicts = {curve: is_flat(points) for curve, points in medians.items()}
    for curve, points in medians.items():
        shown = ", ".join(f"{size:,}: {value:.2f}" for size, value in points.items())
        print(f"{curve}: {'flat' if verdicts[curve] else 'NOT FLAT'} ({shown} us a task)")
    return int(options.strict and not all(verdicts.values()))


def is_flat(points: dict[int, float]) -> bool:
    """Whether no point is more than 35 % and more than 2 us above the cheapest one."""
    least = min(points.values())
    return all(value <= max(least * FLAT_SHARE, least + FLAT_US) for value in points.values())


def of_workers(n: int) -> float:
    """Microseconds of a task, 1,000 in flight, on a node of `n` workers."""
    return _with_node(n, _us_per_task)


def of_queued_tasks(n: int) -> float:
    """Microseconds of a task when `n` are submitted before the first result is asked for, and all are then fetched."""

    def measure(task: Any, api: Any) -> float:
        times = []
        end = time.perf_counter() + BUDGET_S
        while not times or time.perf_counter() < end:
            started = time.perf_counter()
            api.get([task.remote() for _ in range(n)])
            times.append(time.perf_counter() - started)
        return statistics.median(times) / n * 1e6

    return _with_node(2, measure)


def of_live_objects(n: int) -> float:
    """Microseconds of a task, 1,000 in flight, beside `n` small objects that are kept."""

    def measure(task: Any, api: Any) -> float:
        kept = [api.put(i) for i in range(n)]
        cost = _us_per_task(task, api)
        del kept
        return cost

    return _with_node(2, measure)


def _with_node(n_workers: int, measure: Callable[[Any, Any], float]) -> float:
    import shoal

    shoal.init(num_cpus=n_workers)
    try:

        @shoal.remote
        def nothing() -> bytes:
            return b"ok"

        for _ in range(20):
            shoal.get([nothing.remote() for _ in range(BATCH)])
        return measure(nothing, shoal)
    finally:
        shoal.shutdown()


def _us_per_task(task: Any, api: Any) -> float:
    times = []
    end = time.perf_counter() + BUDGET_S
    while time.perf_counter() < end:
        started = time.perf_counter()
        api.get([task.remote() for _ in range(BATCH)])
        times.append(time.perf_counter() - started)
    return statistics.median(times) / BATCH * 1e6


def _in_a_fresh_program(curve: str, size: int) -> float:
    command = [sys.executable, __file__, "--point", curve, str(size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=POINT_LIMIT_S, check=True, env=os.environ)
    return float(done.stdout)


def _publish(
    samples: dict[str, dict[int, list[float]]], medians: dict[str, dict[int, float]], options: argparse.Namespace
) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine.describe(), "rounds": options.rounds, "unit": "us a task", "curves": samples}
    (options.out / "growth.json").write_text(json.dumps(report, indent=1) + "\n")
    draw(medians, options.out / "growth.png")


def draw(medians: dict[str, dict[int, float]], path: Path) -> None:
    """One panel for each curve; the shaded band is what counts as flat."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(medians), figsize=(12, 3.6), sharey=True)
    for panel, (curve, points) in zip(panels, medians.items(), strict=True):
        sizes, values = list(points), list(points.values())
        least = min(values)
        panel.plot(sizes, values, marker="o", color="#1f5fa8")
        panel.axhspan(least, max(least * FLAT_SHARE, least + FLAT_US), color="#1f5fa8", alpha=0.12)
        panel.set_xscale("log", base=2 if curve == "workers" else 10)
        panel.set_xlabel(curve)
        panel.set_ylim(bottom=0)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("us a task")
    figure.suptitle("What a task costs as the node grows (medians; band: flat)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


CURVES: dict[str, Callable[[int], float]] = {
    "workers": of_workers,
    "queued tasks": of_queued_tasks,
    "live objects": of_live_objects,
}

if __name__ == "__main__":
    sys.exit(main())
