# SPDX-License-Identifier: Apache-2.0
"""What the job achieved: as a table, as JSON, and as a picture of the learning curve."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from rich.table import Table


@dataclass
class TrainingReport:
    """How simulation, training and evaluation went."""

    is_solved: bool = False
    seconds_to_solved: float = 0.0  # from the start of the program, the start of the runtime included
    loop_seconds: float = 0.0  # the part of it between the first submitted task and the end
    steps: int = 0  # simulated by training and evaluation
    tasks: int = 0  # rollouts, updates and evaluations
    updates: int = 0
    evaluated_return: float | None = None  # mean of the last evaluation
    returns: list[float] = field(default_factory=list)  # of the training episodes, batch after batch
    returns_at: list[int] = field(default_factory=list)  # training steps up to the end of each of them
    batches: list[tuple[int, float]] = field(default_factory=list)  # (training steps, mean return)
    evaluations: list[tuple[int, float]] = field(default_factory=list)  # (training steps, mean return)

    @property
    def steps_per_second(self) -> float:
        return self.steps / self.loop_seconds if self.loop_seconds else 0.0

    @property
    def tasks_per_second(self) -> float:
        return self.tasks / self.loop_seconds if self.loop_seconds else 0.0


@dataclass(frozen=True)
class ServingReport:
    """How serving went, as its clients saw it."""

    episodes: int
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    mean_batch: float
    mean_return: float

    @property
    def requests_per_second(self) -> float:
        return self.requests / self.seconds


@dataclass(frozen=True)
class JobReport:
    """The whole job. `serving` is absent if training did not succeed."""

    env_id: str
    seed: int
    num_cpus: int
    solved_return: float
    training: TrainingReport
    serving: ServingReport | None
    seconds: float

    @property
    def is_success(self) -> bool:
        """Solved, and served about as well: 64 episodes vary more than 100, so a tenth below the threshold will do."""
        worst = self.solved_return - 0.1 * abs(self.solved_return)
        return self.training.is_solved and self.serving is not None and self.serving.mean_return >= worst


def table(report: JobReport) -> Table:
    """The report for people."""
    training, serving = report.training, report.serving
    rows = Table(title=f"{report.env_id}, seed {report.seed}, {report.num_cpus} CPUs", title_justify="left")
    rows.add_column("stage")
    rows.add_column("what")
    rows.add_column("result", justify="right")
    verdict = f"{training.seconds_to_solved:.1f} s" if training.is_solved else "not solved"
    rows.add_row("train", "time to solved, start-up included", verdict)
    rows.add_row("", "policy updates", f"{training.updates}")
    rows.add_row("simulate", "environment steps", f"{training.steps:,}")
    rows.add_row("", "environment steps per second", f"{training.steps_per_second:,.0f}")
    rows.add_row("", "tasks per second", f"{training.tasks_per_second:,.0f}")
    reached = "none" if training.evaluated_return is None else f"{training.evaluated_return:.1f}"
    goal = f"{reached} (threshold {report.solved_return:g})"
    rows.add_row("evaluate", "mean return of the last evaluation", goal, end_section=serving is not None)
    if serving is not None:
        rows.add_row("serve", "requests per second", f"{serving.requests_per_second:,.0f}")
        rows.add_row("", "latency p50 / p99", f"{serving.p50_ms:.2f} / {serving.p99_ms:.2f} ms")
        rows.add_row("", "mean batch", f"{serving.mean_batch:.1f}")
        rows.add_row("", f"mean return of {serving.episodes} served episodes", f"{serving.mean_return:.1f}")
    return rows


def write_json(report: JobReport, path: Path) -> None:
    """The report for programs: every number of the table under a flat name. Per-episode data stays out."""
    training = asdict(report.training)
    for bulky in ("returns", "returns_at"):
        del training[bulky]
    numbers = {
        "env": report.env_id,
        "seed": report.seed,
        "num_cpus": report.num_cpus,
        "solved_return": report.solved_return,
        "seconds": report.seconds,
        "success": report.is_success,
        "solved": training.pop("is_solved"),
        "learning_curve": training.pop("batches"),
        **training,
        "steps_per_second": report.training.steps_per_second,
        "tasks_per_second": report.training.tasks_per_second,
    }
    if report.serving is not None:
        numbers |= {f"served_{name}": value for name, value in asdict(report.serving).items()}
        numbers["served_requests_per_second"] = report.serving.requests_per_second
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(numbers, indent=2) + "\n")


def draw(report: JobReport, path: Path) -> None:
    """The learning curve as a picture: each episode's return over the steps simulated so far, and the threshold."""
    # Imported here: only the driver draws, and every worker that imported it would pay half a second and 30 MB.
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    training = report.training
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    axes.plot(training.returns_at, training.returns, ".", alpha=0.3, markersize=4, label="training episode")
    axes.plot(*np.transpose(training.batches), ".-", color="tab:blue", label="mean of a batch")
    if training.evaluations:
        label = "evaluation: mean of 100"
        axes.plot(*np.transpose(training.evaluations), "*", color="tab:orange", markersize=13, label=label)
    axes.axhline(report.solved_return, color="tab:green", linestyle="--", label=f"solved: {report.solved_return:g}")
    axes.set(xlabel="environment steps of training", ylabel="return")
    axes.set_title(f"{report.env_id}, seed {report.seed}: {_verdict(training)}", loc="left")
    axes.grid(alpha=0.25)
    axes.legend(loc="center left", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _verdict(training: TrainingReport) -> str:
    return f"solved in {training.seconds_to_solved:.1f} s" if training.is_solved else "not solved"
