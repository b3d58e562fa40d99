# SPDX-License-Identifier: Apache-2.0
"""Simulations of uneven length: rounds with a barrier (MPI) against tasks taken as they finish (Shoal).

Reproduces the simulation table of the paper on Ray (Moritz et al., OSDI 2018, table 4): 3n runs of the Pendulum
simulator on n cores. In bulk-synchronous rounds every core waits for the longest run of the round. As tasks, the next
run starts wherever a core is free, and this program takes each result when it is there.

Both ways execute the same runs and their outcomes are compared, number for number. Start-up is left out of both times:
MPI is timed between barriers, Shoal after one repetition that does not count. The peer needs OpenMPI and mpi4py;
without them only Shoal is measured.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

import shoal
from pendulum import makespan, mpi
from pendulum.report import Measurement, table, write_json
from pendulum.workload import Outcome, Run, make_runs, simulate

ALL_CORES = len(os.sched_getaffinity(0))

simulate_task = shoal.remote(simulate)


def run_as_tasks(runs: list[Run]) -> tuple[float, list[Outcome]]:
    """Submit all runs at once and take their outcomes as they finish -> (seconds, outcomes)."""
    started_s = time.perf_counter()
    remaining = [simulate_task.remote(run) for run in runs]
    outcomes: list[Outcome] = []
    while remaining:
        finished, remaining = shoal.wait(remaining, num_returns=1)
        outcomes += shoal.get(finished)
    return time.perf_counter() - started_s, outcomes


def main(
    cores: Annotated[int, typer.Option(min=1, help="Cores to run on.")] = ALL_CORES,
    repetitions: Annotated[int, typer.Option(min=1, help="Measurements of each, in turns.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Fixes lengths and torques.")] = 0,
    shortest: Annotated[int, typer.Option(min=1, help="Timesteps of the shortest run.")] = 500,
    longest: Annotated[int, typer.Option(min=1, help="Timesteps of the longest run.")] = 20_000,
    json: Annotated[Path | None, typer.Option(help="File for the numbers as JSON.")] = None,
) -> None:
    """Measure timesteps per second of the Pendulum simulator, by MPI and by tasks."""
    console = Console()
    has_mpi = mpi.is_installed()
    by_mpi = Measurement("MPI, rounds", [], [], [])
    by_tasks = Measurement("Shoal, tasks", [], [], [])

    shoal.init(num_cpus=cores)
    run_as_tasks(make_runs(cores, seed, longest, longest))  # starts the workers and imports the simulator in each
    for repetition in track(range(repetitions), "measuring", console=console, disable=not console.is_terminal):
        workload_seed = seed + repetition
        runs = make_runs(cores, workload_seed, shortest, longest)
        lengths = [run.timesteps for run in runs]
        seconds, outcomes = run_as_tasks(runs)
        by_tasks.add(seconds, sum(lengths), makespan.asynchronous(lengths, cores))
        if has_mpi:
            mpi_seconds, mpi_outcomes = mpi.run(cores, workload_seed, shortest, longest)
            by_mpi.add(mpi_seconds, sum(lengths), makespan.bulk_synchronous(lengths, cores))
            require_same(outcomes, mpi_outcomes)
    shoal.shutdown()

    measurements = [by_mpi, by_tasks] if has_mpi else [by_tasks]
    console.print(table(measurements, cores))
    if not has_mpi:
        console.print(f"MPI is not installed, so there is nothing to compare with: {mpi.ADVICE}", highlight=False)
    if json is not None:
        write_json(measurements, cores, json)


def require_same(outcomes: list[Outcome], others: list[Outcome]) -> None:
    """Raise unless both ways computed the same."""
    by_number = sorted(outcomes, key=lambda outcome: outcome.number)
    if by_number != sorted(others, key=lambda outcome: outcome.number):
        raise RuntimeError(f"MPI and Shoal disagree on the outcomes of the runs: {others} against {by_number}")


if __name__ == "__main__":
    typer.run(main)
