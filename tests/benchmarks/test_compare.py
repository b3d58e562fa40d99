# SPDX-License-Identifier: Apache-2.0
"""What counts as slower than before."""

from compare import Comparison, compared


def test_the_cost_is_above_one_when_now_is_slower() -> None:
    assert Comparison("r", "tasks/s", [100.0, 200.0], [50.0, 100.0]).costs == [2.0, 2.0]
    assert Comparison("r", "ms", [1.0, 2.0], [2.0, 4.0]).costs == [2.0, 2.0]


def test_slower_is_more_than_the_tolerance_in_nearly_all_rounds() -> None:
    before = [100.0] * 5
    assert Comparison("r", "ms", before, [104.0, 105.0, 106.0, 104.0, 99.0]).is_slower
    assert not Comparison("r", "ms", before, [102.0] * 5).is_slower
    assert not Comparison("r", "ms", before, [150.0, 150.0, 150.0, 90.0, 90.0]).is_slower


def test_rows_that_one_of_them_lacks_are_left_out() -> None:
    rounds = [
        {"before": {"a": 1.0}, "now": {"a": 2.0, "b": 3.0}},
        {"before": {"a": 4.0, "b": 1.0}, "now": {"a": 2.0, "b": 3.0}},
    ]
    assert compared(rounds, {"a": "ms", "b": "ms"}) == [Comparison("a", "ms", [1.0, 4.0], [2.0, 2.0])]
