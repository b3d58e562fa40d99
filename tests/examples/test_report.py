# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import io
import itertools
import json
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.display import Display
from pipeline.report import JobReport, ServingReport, TrainingReport, draw, table, write_json
from pipeline.seeds import Purpose, seeds

TRAINING = TrainingReport(
    is_solved=True,
    seconds_to_solved=3.0,
    loop_seconds=2.0,
    steps=100,
    tasks=10,
    updates=1,
    evaluated_return=480.0,
    returns=[10.0, 20.0],
    returns_at=[10, 30],
    batches=[(30, 15.0)],
    evaluations=[(30, 480.0)],
)
SERVING = ServingReport(64, 32_000, 2.0, p50_ms=0.5, p99_ms=2.5, mean_batch=16.0, mean_return=490.0)
REPORT = JobReport("CartPole-v1", 0, 2, 475.0, TRAINING, SERVING, seconds=6.0)
FAILED = dataclasses.replace(REPORT, training=TrainingReport(), serving=None)


def text_of(report: JobReport) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(table(report))
    return console.file.getvalue()


def test_json_has_the_numbers_that_a_check_needs(tmp_path: Path) -> None:
    write_json(REPORT, tmp_path / "new" / "summary.json")
    summary = json.loads((tmp_path / "new" / "summary.json").read_text())
    assert summary["solved"] is summary["success"] is True
    assert summary["evaluated_return"] == 480.0
    assert summary["served_mean_return"] == 490.0
    assert summary["served_requests_per_second"] == 16_000.0
    assert summary["steps_per_second"] == 50.0
    assert summary["learning_curve"] == [[30, 15.0]]


def test_job_that_was_not_solved_has_a_table_and_valid_json_too(tmp_path: Path) -> None:
    write_json(FAILED, tmp_path / "summary.json")
    assert json.loads((tmp_path / "summary.json").read_text())["success"] is False
    assert "not solved" in text_of(FAILED)


def test_serving_much_worse_than_the_threshold_is_no_success() -> None:
    assert REPORT.is_success
    assert not dataclasses.replace(REPORT, serving=dataclasses.replace(SERVING, mean_return=420.0)).is_success


def test_table_shows_speed_latency_and_returns() -> None:
    for number in ("3.0 s", "50", "16,000", "0.50 / 2.50 ms", "490.0"):
        assert number in text_of(REPORT)


@pytest.mark.parametrize("report", [REPORT, FAILED], ids=["solved", "failed"])
def test_picture_is_drawn(report: JobReport, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw(report, tmp_path / "out" / "curve.png")
    assert (tmp_path / "out" / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_output_into_a_file_is_plain_lines() -> None:
    console = Console(file=io.StringIO())
    with Display(console) as display:
        display.show("training", 0.5, "half way")
        display.finish("training", "done")
    assert console.file.getvalue() == "training done\n"


def test_seeds_of_different_purposes_and_jobs_do_not_meet() -> None:
    starts = sorted(next(seeds(job, purpose)) for job in range(3) for purpose in Purpose)
    assert all(later - earlier >= 1_000_000 for earlier, later in itertools.pairwise(starts))
