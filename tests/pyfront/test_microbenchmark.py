# SPDX-License-Identifier: Apache-2.0
"""The rows' names and selection, the timing with a clock of its own, the printed forms; and the rows on a real node."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from shoal.microbenchmark import bench as bench_module
from shoal.microbenchmark import run
from shoal.microbenchmark.bench import Bench
from shoal.microbenchmark.memory import private_bytes, tree_pss_bytes
from shoal.microbenchmark.ray_like import cpu_count
from shoal.microbenchmark.report import json_line, number
from shoal.microbenchmark.row import Measurement, Row, RowSkipped
from shoal.microbenchmark.suite import ALL_ROWS, RAY_ROWS, Outcome, measure, select

RAY_NAMES = {
    "single client get calls",
    "single client put calls",
    "multi client put calls",
    "single client put gigabytes",
    "single client tasks and get batch",
    "multi client put gigabytes",
    "single client get object containing 10k refs",
    "single client wait 1k refs",
    "single client tasks sync",
    "single client tasks async",
    "multi client tasks async",
    "1:1 actor calls sync",
    "1:1 actor calls async",
    "1:1 actor calls concurrent",
    "1:n actor calls async",
    "n:n actor calls async",
    "n:n actor calls with arg async",
    "1:1 async-actor calls sync",
    "1:1 async-actor calls async",
    "1:1 async-actor calls with args async",
    "1:n async-actor calls async",
    "n:n async-actor calls async",
    "placement group create/removal",
}
# Rows that move gigabytes or a million tasks: the claim is in their size, which a test of seconds cannot pay.
HEAVY = "gigabytes|MB array|1,000,000"


class Clock:
    """A clock that moves only when a step says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def step_of(self, seconds: float) -> Callable[[], None]:
        def step() -> None:
            self.now_s += seconds

        return step


class FakeApi:
    """What a bench needs of a system."""

    def __init__(self) -> None:
        self.killed: list[Any] = []
        self.is_closed = False

    def kill(self, actor: Any) -> None:
        self.killed.append(actor)

    def close(self) -> None:
        self.is_closed = True


class FakeActorClass:
    """Every actor of it is the same text."""

    @staticmethod
    def remote(*_: Any) -> str:
        return "an actor"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(bench_module, "perf_counter", made)
    return made


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def bench(api: FakeApi) -> Bench:
    return Bench(lambda: (api, api.close), n_cpus=2, budget_s=1.0)


def test_the_rows_of_ray_have_the_names_of_ray() -> None:
    assert {row.name for row in RAY_ROWS} == RAY_NAMES
    assert len(RAY_ROWS) == 23


def test_no_two_rows_share_a_name() -> None:
    assert len({row.name for row in ALL_ROWS}) == len(ALL_ROWS)


def test_rates_are_better_when_larger_and_costs_when_smaller() -> None:
    better = {row.name: row.more_is_better for row in ALL_ROWS}
    assert better["single client tasks sync"]
    assert better["single client put gigabytes"]
    assert not better["get of an 800 MB array"]
    assert not better["wait loop over 10,000 refs"]


def test_select_finds_rows_by_a_regular_expression_whatever_the_case() -> None:
    assert [row.name for row in select(ALL_ROWS, "^SINGLE client put")] == [
        "single client put calls",
        "single client put gigabytes",
    ]
    assert select(ALL_ROWS, None) == list(ALL_ROWS)


@pytest.mark.parametrize("pattern", ["no such row", "("])
def test_select_says_what_is_wrong_with_a_pattern(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"no row matches|not a regular expression"):
        select(ALL_ROWS, pattern)


def test_rate_counts_items_over_time(bench: Bench, clock: Clock) -> None:
    assert bench.rate(clock.step_of(0.01), items=5).value == pytest.approx(500)


def test_cost_is_the_time_of_one_item(bench: Bench, clock: Clock) -> None:
    assert bench.cost(clock.step_of(0.01), items=5).value == pytest.approx(0.002)


def test_a_step_of_many_budgets_is_measured_once_and_says_so(bench: Bench, clock: Clock) -> None:
    measured = bench.cost(clock.step_of(11))
    assert clock.now_s == pytest.approx(11)
    assert measured.value == pytest.approx(11)
    assert measured.note


@pytest.mark.parametrize(("seconds_each", "expected"), [(1e-6, 1000), (0.01, 100), (5.0, 1)])
def test_a_batch_is_cut_down_until_it_fits_the_budget(
    bench: Bench, clock: Clock, seconds_each: float, expected: int
) -> None:
    measured = bench.sized_rate(lambda n: clock.step_of(n * seconds_each)(), 1000)
    assert measured.n == pytest.approx(expected, rel=0.01)
    assert measured.value == pytest.approx(1 / seconds_each)


def test_the_system_starts_at_first_use_and_stops_with_the_bench(api: FakeApi, bench: Bench) -> None:
    with bench:
        assert bench.api is api
        assert not api.is_closed
    assert api.is_closed


def test_a_row_that_fails_is_an_outcome_and_the_next_one_runs(api: FakeApi, bench: Bench) -> None:
    def broken(bench: Bench) -> Measurement:
        bench.actor(FakeActorClass)
        raise OSError("no space\nleft")

    def absent(_: Bench) -> Measurement:
        raise RowSkipped("not here")

    rows = [Row("broken", "s", broken), Row("absent", "s", absent), Row("fine", "s", lambda _: Measurement(1.5))]
    failed, skipped, measured = measure(bench, rows)
    assert (failed.measurement, failed.failure, failed.skipped) == (None, "OSError: no space", False)
    assert (skipped.failure, skipped.skipped) == ("not here", True)
    assert measured.measurement == Measurement(1.5)
    assert api.killed == ["an actor"]


def test_a_json_line_has_the_median_and_the_range() -> None:
    row = Row("a row", "calls/s", lambda _: Measurement(0))
    outcomes = [Outcome(row, Measurement(value)) for value in (3.0, 1.0, 2.0)]
    line = json.loads(json_line(row, outcomes))
    assert (line["row"], line["unit"]) == ("a row", "calls/s")
    assert (line["median"], line["min"], line["max"]) == (2.0, 1.0, 3.0)


@pytest.mark.parametrize(("value", "text"), [(0.01234, "0.0123"), (4.5678, "4.57"), (12345.6, "12,346")])
def test_numbers_are_printed_with_the_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


def test_the_private_memory_of_a_process_is_part_of_its_tree() -> None:
    import os

    assert 0 < private_bytes(os.getpid()) <= tree_pss_bytes()


def test_the_start_clocks_are_measured_once_for_all_three_rows() -> None:
    program = "import json\ndef first_result(): return 42\n"
    bench = Bench(lambda: (None, lambda: None), n_cpus=1, start_code=program, budget_s=0.01)
    names = ["import", "init to first result", "program start to first result"]
    imported, first, whole = [
        outcome.measurement.value
        for outcome in measure(bench, [row for row in ALL_ROWS if row.name in names])
        if outcome.measurement
    ]
    assert 0 < imported / 1e3 < whole
    assert 0 < first < whole


def test_a_start_up_program_that_fails_is_reported_with_its_message() -> None:
    program = "import json\ndef first_result(): raise OSError('out of order')\n"
    bench = Bench(lambda: (None, lambda: None), n_cpus=1, start_code=program, budget_s=0.01)
    (outcome,) = measure(bench, select(ALL_ROWS, "^import$"))
    assert "out of order" in bench.start_code
    assert "status 1" in outcome.failure


@pytest.mark.parametrize("row", select(ALL_ROWS, f"^(?!.*({HEAVY}))"), ids=lambda row: row.name)
def test_every_row_has_a_value_on_a_node(shoal_node: ModuleType, row: Row) -> None:
    module = shoal_node
    start_code = "import json\ndef first_result(): return 42\n"
    bench = Bench(
        lambda: (module, lambda: None), n_cpus=cpu_count(), start_code=start_code, budget_s=0.01, patience_s=0.1
    )
    (outcome,) = measure(bench, [row])
    assert outcome.skipped or outcome.failure == ""


@pytest.mark.slow
@pytest.mark.parametrize("row", select(ALL_ROWS, HEAVY), ids=lambda row: row.name)
def test_every_heavy_row_has_a_value_on_a_node(shoal_node: ModuleType, row: Row) -> None:
    test_every_row_has_a_value_on_a_node(shoal_node, row)


def test_run_prints_one_json_object_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    run("^single client (put|get) calls$", json=True, rounds=2, budget_s=0.01)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["row"] for line in lines] == ["single client get calls", "single client put calls"]
    assert all(len(line["values"]) == 2 and line["median"] > 0 for line in lines)


def test_run_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    run("^single client put calls$", budget_s=0.01)
    assert "calls/s" in capsys.readouterr().out


def test_run_refuses_to_run_no_round() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        run(rounds=0)
