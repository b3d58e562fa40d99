# SPDX-License-Identifier: Apache-2.0
"""The whole job, run as its users run it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("gymnasium", reason="the simulators of the demo; pip install 'shoal[demo]'")
pytest.importorskip("matplotlib")

from .conftest import EXAMPLES


def run(out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "simulate_train_serve.py"), "--num-cpus", "2", "--out", str(out)]
    return subprocess.run([*command, *options], capture_output=True, text=True, timeout=200)


def summary(out: Path, *options: str) -> dict[str, Any]:
    done = run(out, "--json", str(out / "summary.json"), "--time-limit", "180", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return found


@pytest.mark.timeout(420)  # two whole jobs: seconds on an idle machine
def test_cart_pole_is_solved_and_served_and_the_seed_fixes_the_learning_curve(tmp_path: Path) -> None:
    first = summary(tmp_path / "first", "--seed", "1")
    second = summary(tmp_path / "second", "--seed", "1", "--num-cpus", "3")
    assert first["solved"]
    assert first["evaluated_return"] >= 475.0
    assert first["served_mean_return"] >= 0.9 * 475.0
    assert first["served_mean_batch"] > 1.0
    assert (tmp_path / "first" / "learning_curve_CartPole-v1.png").stat().st_size > 10_000
    assert second["learning_curve"] == first["learning_curve"]
    assert second["evaluations"] == first["evaluations"]


def test_running_out_of_time_is_a_failure_that_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "--time-limit", "0")
    assert done.returncode == 1
    assert "not solved" in done.stdout


def test_environment_without_threshold_asks_for_one(tmp_path: Path) -> None:
    done = run(tmp_path, "--env", "Pendulum-v1")
    assert done.returncode == 2
    assert "--threshold" in done.stdout
