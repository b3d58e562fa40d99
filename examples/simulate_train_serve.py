# SPDX-License-Identifier: Apache-2.0
"""Simulate, train and serve: one reinforcement-learning job, from random actions to a policy in service.

    simulate  tasks      play episodes with the newest policy; submitted ahead, each takes as long as its episode lasts
    train     an actor   improves the policy from finished episodes and publishes it through the object store
    evaluate  tasks      play 100 fresh episodes with the best actions; solved when they reach the published threshold
    serve     an actor   answers many clients at once; each steers its own simulators with the answers

               policy (one object, read in place by all)
         .---------------------------------------.
         v                                       |
     simulate, simulate, ...  -- trajectories --> Trainer         PolicyServer <-- observation -- Client, Client, ...
         |                                       |                     '----------- action ----------^
         '-- summaries --> this program          '--> evaluate

A rollout returns two objects: the trajectory and a summary of it. This program waits for the summaries and hands the
trajectories on to the trainer as references, so they go from task to actor through shared memory and never pass through
here. Nor does the policy: rollouts that will play it are submitted before the trainer has begun to compute it.

Read on in `pipeline/workers.py` (what runs remotely), `pipeline/training.py` and `pipeline/serving.py` (who waits for
whom). The mathematics in `rl/` is ordinary sequential numpy.
"""

from __future__ import annotations

import os

# Small matrices: numpy's own threads would only fight the workers for the CPUs, and one thread adds in a fixed order.
# Set before numpy is imported; the workers inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import shoal
from pipeline.display import Display
from pipeline.report import JobReport, ServingReport, draw, table, write_json
from pipeline.serving import Load, serve
from pipeline.training import OutOfTime, TrainingLoop
from rl.simulator import UnsuitableEnvironment, describe

EXIT_NO_SUCCESS = 1
EXIT_UNSUITABLE = 2
ALL_CPUS = len(os.sched_getaffinity(0))


def main(
    env: Annotated[str, typer.Option(help="A gymnasium environment: Acrobot-v1, HalfCheetah-v5, ...")] = "CartPole-v1",
    seed: Annotated[int, typer.Option(min=0, help="Fixes the learning curve.")] = 0,
    num_cpus: Annotated[int, typer.Option(min=1, help="CPUs for tasks.")] = ALL_CPUS,
    time_limit: Annotated[float, typer.Option(help="Seconds until training gives up.")] = 120.0,
    threshold: Annotated[float | None, typer.Option(help="Return that counts as solved.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the picture of the learning curve.")] = Path("out"),
    json: Annotated[Path | None, typer.Option(help="File for a summary as JSON.")] = None,
) -> None:
    """Train a policy for ENV until it is solved, then serve it. Exits with 1 if it is not solved in time."""
    started_s = time.perf_counter()
    console = Console()
    try:
        info = describe(env)
    except UnsuitableEnvironment as error:
        raise _refusal(console, str(error)) from None
    solved_return = info.solved_return if threshold is None else threshold
    if solved_return is None:
        raise _refusal(console, f"{env} publishes no threshold at which it counts as solved; choose one by --threshold")

    shoal.init(num_cpus=num_cpus)
    serving: ServingReport | None = None
    with Display(console) as display:
        loop = TrainingLoop(info, solved_return, seed, started_s, time_limit, display)
        try:
            policy = loop.run()
        except OutOfTime:
            display.finish("training", f"not solved within {time_limit:g} s")
        else:
            display.finish("training", f"solved: mean return {loop.report.evaluations[-1][1]:.1f} over 100 episodes")
            serving = serve(policy, info, seed, Load(), display)
            display.finish("serving", f"{serving.requests:,} requests, mean return {serving.mean_return:.1f}")

    report = JobReport(env, seed, num_cpus, solved_return, loop.report, serving, time.perf_counter() - started_s)
    shoal.shutdown()
    picture = out / f"learning_curve_{env.replace('/', '_')}.png"
    draw(report, picture)
    if json is not None:
        write_json(report, json)
    console.print(table(report))
    console.print(f"learning curve: {picture}", highlight=False)
    if not report.is_success:
        raise typer.Exit(EXIT_NO_SUCCESS)


def _refusal(console: Console, reason: str) -> typer.Exit:
    console.print(reason, highlight=False, markup=False, soft_wrap=True)
    return typer.Exit(EXIT_UNSUITABLE)


if __name__ == "__main__":
    typer.run(main)
