# SPDX-License-Identifier: Apache-2.0
"""Medians, ratios, and the file they are kept in."""

from pathlib import Path

import pytest

from harness.results import Results


@pytest.fixture
def results() -> Results:
    made = Results(machine={"cores": "2"}, n_rounds=3, budget_s=0.4)
    for value in (30.0, 10.0, 20.0):
        made.add("shoal", "speed", {"value": value, "unit": "calls/s", "n": None, "note": "", "failure": ""})
    made.add("ray", "speed", {"value": 5.0, "unit": "calls/s", "n": 7, "note": "small", "failure": ""})
    made.add("shoal", "time", {"value": 2.0, "unit": "s"})
    made.add("ray", "time", {"value": 8.0, "unit": "s"})
    made.add("loky", "time", {"failure": "failed: gone"})
    return made


def test_the_median_is_over_the_rounds(results: Results) -> None:
    assert results.median("speed", "shoal") == 20.0


def test_an_advantage_above_one_is_better_for_rates_and_for_costs(results: Results) -> None:
    assert results.advantage("speed", "shoal", "ray") == 4.0
    assert results.advantage("time", "shoal", "ray") == 4.0


def test_no_advantage_over_a_system_without_a_value(results: Results) -> None:
    assert results.advantage("time", "shoal", "loky") is None
    assert results.advantage("no such row", "shoal", "ray") is None


def test_the_best_is_the_fastest_of_those_that_have_a_value(results: Results) -> None:
    assert results.best("time", ["ray", "loky"]) == "ray"
    assert results.best("speed", ["shoal", "ray"]) == "shoal"
    assert results.best("speed", ["loky"]) is None


def test_a_round_that_failed_leaves_the_others_values(results: Results) -> None:
    results.add("ray", "time", {"failure": "failed: once"})
    assert results.median("time", "ray") == 8.0
    assert results.cell("time", "ray").failure == "failed: once"


def test_results_read_back_are_the_results_written(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "latest.json"
    results.write(path)
    assert Results.read(path) == results
