# SPDX-License-Identifier: Apache-2.0
"""Declared and actual numbers of returns."""

from typing import Any

import pytest

from shoal.worker.outcome import several


@pytest.mark.parametrize("value", [[1, 2], (1, 2), iter([1, 2]), {1: "a", 2: "b"}.keys()])
def test_any_iterable_of_the_right_length_will_do(value: Any) -> None:
    assert list(several("f", value, 2)) == [1, 2]


def test_none_are_sealed_when_none_are_declared() -> None:
    assert several("f", "ignored", 0) == ()


@pytest.mark.parametrize("value", [[1], (1, 2, 3), 7, "ab", b"ab", None])
def test_another_number_is_an_error_that_names_the_function(value: Any) -> None:
    with pytest.raises(ValueError, match="f declares num_returns=2"):
        several("f", value, 2)
