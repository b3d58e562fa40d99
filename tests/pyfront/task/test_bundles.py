# SPDX-License-Identifier: Apache-2.0
"""What a placement group may be asked for."""

from typing import Any

import pytest

from shoal.task.bundles import MAX_BUNDLES, check_bundles, check_group_strategy, is_there_room, total_of


def test_zero_amounts_are_left_out() -> None:
    assert check_bundles([{"CPU": 1, "GPU": 0}, {"disk": 0.5}]) == [{"CPU": 1.0}, {"disk": 0.5}]


@pytest.mark.parametrize(
    ("bundles", "error"),
    [
        ({"CPU": 1}, TypeError),
        ([], ValueError),
        ([{"CPU": 1}] * (MAX_BUNDLES + 1), ValueError),
        (["CPU"], TypeError),
        ([{}], ValueError),
        ([{"CPU": 0}], ValueError),
        ([{1: 1}], TypeError),
        ([{"CPU": "1"}], TypeError),
        ([{"CPU": True}], TypeError),
        ([{"CPU": -1}], ValueError),
        ([{"CPU": float("inf")}], ValueError),
        ([{"CPU": 0.0001}], ValueError),
        ([{"GPU": 1.5}], ValueError),
    ],
)
def test_bad_bundles_are_refused(bundles: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="bundle"):
        check_bundles(bundles)


def test_there_are_four_strategies() -> None:
    names = ["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"]
    assert [check_group_strategy(name) for name in names] == names
    with pytest.raises(ValueError, match="STRICT_PACK"):
        check_group_strategy("pack")


def test_totals_and_room() -> None:
    bundles = [{"CPU": 1.0}, {"CPU": 2.0, "disk": 1.0}]
    assert total_of(bundles) == {"CPU": 3.0, "disk": 1.0}
    assert is_there_room(bundles, -1, {"CPU": 2.0})
    assert not is_there_room(bundles, -1, {"CPU": 3.0})  # no bundle is as large as all together
    assert not is_there_room(bundles, 0, {"disk": 1.0})
    assert is_there_room(bundles, 0, {})
