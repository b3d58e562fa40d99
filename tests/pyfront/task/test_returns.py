# SPDX-License-Identifier: Apache-2.0
"""What calls return, as one integer and back."""

from typing import Any

import pytest

from shoal._core._node import RETURNS_DYNAMIC, RETURNS_STREAM
from shoal.task.returns import MAX_AHEAD, Returns, check_items_ahead, check_num_returns, for_template, returns_of


@pytest.mark.parametrize(
    "returns",
    [Returns(0), Returns(1), Returns(7), Returns("dynamic"), Returns("streaming"), Returns("streaming", 1),
     Returns("streaming", MAX_AHEAD)],
)  # fmt: skip
def test_a_code_means_what_it_was_made_from(returns: Returns) -> None:
    assert returns_of(returns.code("f", is_generator=False)) == returns


def test_codes_of_different_returns_differ() -> None:
    several = [Returns(0), Returns(1), Returns("dynamic"), Returns("streaming"), Returns("streaming", 1)]
    assert len({returns.code("f", is_generator=False) for returns in several}) == len(several)


def test_the_default_is_one_return_or_a_stream() -> None:
    assert returns_of(Returns().code("f", is_generator=False)) == Returns(1)
    assert returns_of(Returns().code("f", is_generator=True)) == Returns("streaming")


@pytest.mark.parametrize("num_returns", [0, 1])
def test_a_generator_has_no_single_return(num_returns: int) -> None:
    with pytest.raises(ValueError, match="f is a generator"):
        Returns(num_returns).code("f", is_generator=True)
    assert Returns(2).code("f", is_generator=True) == 2


@pytest.mark.parametrize("num_returns", [None, 1, 2, "dynamic"])
def test_only_a_stream_is_bounded(num_returns: Any) -> None:
    with pytest.raises(ValueError, match="f: max_items_ahead"):
        Returns(num_returns, 3).code("f", is_generator=False)


def test_templates_get_numbers_that_no_fixed_number_is() -> None:
    assert for_template(3) == {"num_returns": 3}
    assert for_template(Returns("dynamic").code("f", is_generator=False)) == {"num_returns": RETURNS_DYNAMIC}
    assert for_template(Returns("streaming", 5).code("f", is_generator=False)) == {
        "num_returns": RETURNS_STREAM,
        "max_items_ahead": 5,
    }
    assert min(RETURNS_DYNAMIC, RETURNS_STREAM) > 2**31


@pytest.mark.parametrize(
    ("value", "error"),
    [(-1, ValueError), (RETURNS_STREAM, ValueError), (1.0, TypeError), (True, TypeError), ("many", TypeError)],
)
def test_bad_numbers_of_returns(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="num_returns"):
        check_num_returns(value)


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-2, ValueError), (MAX_AHEAD + 1, ValueError), (True, TypeError), ("1", TypeError)],
)
def test_bad_bounds(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="bound"):
        check_items_ahead("bound", value)


def test_no_bound() -> None:
    assert check_items_ahead("bound", None) is check_items_ahead("bound", -1) is None
