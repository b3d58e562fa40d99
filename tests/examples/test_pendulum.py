# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pendulum.makespan import asynchronous, bulk_synchronous
from pendulum.report import Measurement, table, write_json

LENGTHS = st.lists(st.integers(1, 1000), min_size=1, max_size=30)


def test_rounds_last_as_long_as_their_longest_run() -> None:
    assert bulk_synchronous([1, 9, 5, 2, 3, 3], cores=2) == 9 + 5 + 3


def test_tasks_start_where_a_core_is_free() -> None:
    assert asynchronous([1, 9, 5, 2, 3, 3], cores=2) == 12  # 1 + 5 + 2 + 3 beside 9 + 3


@given(LENGTHS, st.integers(1, 8))
def test_tasks_never_take_longer_than_rounds_and_never_less_than_the_work(lengths: list[int], cores: int) -> None:
    assert max(max(lengths), sum(lengths) / cores) <= asynchronous(lengths, cores) <= bulk_synchronous(lengths, cores)


@given(LENGTHS)
def test_on_one_core_both_take_the_sum(lengths: list[int]) -> None:
    assert asynchronous(lengths, 1) == bulk_synchronous(lengths, 1) == sum(lengths)


def measured(name: str, seconds: float) -> Measurement:
    return Measurement(name, [seconds] * 3, [1000] * 3, [500] * 3)


def test_ratio_is_to_the_first_row() -> None:
    console = Console(file=io.StringIO(), width=100)
    console.print(table([measured("MPI", 2.0), measured("Shoal", 1.0)], cores=2))
    assert "2.00" in console.file.getvalue()


def test_json_has_the_rate_of_each_system(tmp_path: Path) -> None:
    write_json([measured("MPI", 2.0), measured("Shoal", 1.0)], 2, tmp_path / "new" / "pendulum.json")
    systems = json.loads((tmp_path / "new" / "pendulum.json").read_text())["systems"]
    assert {name: system["timesteps_per_second"] for name, system in systems.items()} == {"MPI": 500.0, "Shoal": 1000.0}


def test_a_run_has_the_same_outcome_wherever_it_is_executed() -> None:
    pytest.importorskip("gymnasium", reason="the simulators of the demo; pip install 'shoal[demo]'")
    from pendulum.workload import ROUNDS, make_runs, simulate

    runs = make_runs(cores=2, seed=0, shortest=10, longest=300)
    assert len(runs) == ROUNDS * 2
    assert {run.timesteps for run in runs} <= set(range(10, 301))
    forwards = [simulate(run) for run in runs]
    assert [simulate(run) for run in reversed(runs)] == forwards[::-1]
