# SPDX-License-Identifier: Apache-2.0
"""Each kind of bar, met, missed and without a value."""

import pytest

from harness.bars import (
    BARS,
    at_least,
    at_most,
    each_at_least,
    geometric_mean,
    independent_of_size,
    judge_all,
    never_slower,
    share_of_limit,
    times_peer,
)
from harness.results import Results


def results_of(unit: str, **rows: dict[str, float]) -> Results:
    made = Results(machine={}, n_rounds=1, budget_s=1.0)
    for row, values in rows.items():
        for system, value in values.items():
            made.add(system, row, {"value": value, "unit": unit})
    return made


@pytest.mark.parametrize(("value", "is_met"), [(19.0, True), (20.0, True), (21.0, False)])
def test_at_most(value: float, is_met: bool) -> None:
    assert at_most("time", 20)(results_of("us", time={"shoal": value})).is_met == is_met


@pytest.mark.parametrize(("value", "is_met"), [(99.0, False), (100.0, True)])
def test_at_least(value: float, is_met: bool) -> None:
    assert at_least("speed", 100)(results_of("actors/s", speed={"shoal": value})).is_met == is_met


def test_times_peer_takes_the_best_of_the_peers() -> None:
    results = results_of("calls/s", speed={"shoal": 100.0, "pool": 20.0, "loky": 40.0})
    verdict = times_peer("speed", 3, ("pool", "loky"), "best other peer")(results)
    assert not verdict.is_met
    assert verdict.measured == "2.5x loky"
    assert times_peer("speed", 3, ("pool",), "Pool")(results).is_met


def test_share_of_limit() -> None:
    results = results_of("GB/s", put={"shoal": 8.0}, memcpy={"limit": 10.0})
    assert share_of_limit("put", "memcpy", 0.8)(results).is_met
    assert not share_of_limit("put", "memcpy", 0.81)(results).is_met


def test_independent_of_size() -> None:
    results = results_of("us", large={"shoal": 9.0}, small={"shoal": 5.0})
    assert independent_of_size("large", "small", 2)(results).is_met
    assert not independent_of_size("large", "small", 1.5)(results).is_met


def test_geometric_mean_and_worst_row_against_ray() -> None:
    results = results_of(
        "calls/s", fast={"shoal": 1000.0, "ray": 10.0}, slow={"shoal": 9.0, "ray": 1.0}, alone={"ray": 1.0}
    )
    rows = ("fast", "slow", "alone")
    assert geometric_mean(rows, 29)(results).is_met
    assert not geometric_mean(rows, 31)(results).is_met
    assert geometric_mean(rows, 31)(results).measured == "30x Ray in 2 rows"
    assert each_at_least(rows, 9)(results).is_met
    verdict = each_at_least(rows, 10)(results)
    assert not verdict.is_met
    assert verdict.measured == "9x in slow"


def test_never_slower_names_the_rows_where_a_peer_is_faster() -> None:
    results = results_of("calls/s", good={"shoal": 10.0, "ray": 1.0}, bad={"shoal": 1.0, "dask": 2.0})
    results.add("shoal", "import", {"value": 80.0, "unit": "ms"})
    results.add("pool", "import", {"value": 10.0, "unit": "ms"})
    verdict = never_slower(results)
    assert not verdict.is_met
    assert verdict.measured == "slower in 1 of 2: bad (0.5x Dask distributed)"


def test_never_slower_counts_a_row_that_failed_and_not_one_that_is_skipped() -> None:
    results = results_of("calls/s", later={"ray": 1.0}, broken={"ray": 1.0})
    results.add("shoal", "later", {"failure": "skipped: not yet"})
    results.add("shoal", "broken", {"failure": "failed: OSError"})
    assert never_slower(results).measured == "slower in 1 of 1: broken (no value)"


def test_never_slower_is_met_when_no_peer_is_faster() -> None:
    verdict = never_slower(results_of("s", row={"shoal": 1.0, "ray": 2.0}))
    assert verdict.is_met
    assert verdict.measured == "slower in 0 of 1"


def test_a_bar_without_a_value_is_not_met_and_says_why() -> None:
    nothing = Results(machine={}, n_rounds=1, budget_s=1.0)
    verdicts = judge_all(nothing)
    assert len(verdicts) == len(BARS)
    assert not any(verdict.is_met for verdict in verdicts)
    nothing.add("shoal", "import", {"failure": "failed: no module"})
    assert at_most("import", 80)(nothing).measured == "failed: no module"
