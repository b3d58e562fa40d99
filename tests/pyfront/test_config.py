# SPDX-License-Identifier: Apache-2.0
"""What the environment says about memory: numbers in range, or an error that names the variable."""

import pytest

from shoal.config import MemoryConfig, memory_config


def test_unset_and_empty_variables_mean_the_defaults() -> None:
    assert memory_config({}) == MemoryConfig(0.95, 15, 1.0)
    assert memory_config({"SHOAL_MEMORY_RETRIES": ""}) == MemoryConfig(0.95, 15, 1.0)


def test_variables_win() -> None:
    environ = {"SHOAL_MEMORY_THRESHOLD": "0.5", "SHOAL_MEMORY_RETRIES": "0", "SHOAL_MEMORY_PAUSE": "0.1"}
    assert memory_config(environ) == MemoryConfig(0.5, 0, 0.1)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SHOAL_MEMORY_THRESHOLD", "95"),
        ("SHOAL_MEMORY_THRESHOLD", "nan"),
        ("SHOAL_MEMORY_RETRIES", "-1"),
        ("SHOAL_MEMORY_RETRIES", "many"),
        ("SHOAL_MEMORY_PAUSE", "inf"),
    ],
)
def test_what_is_no_number_in_range_is_refused_by_name(variable: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"{variable}={text}: it must be a number"):
        memory_config({variable: text})
