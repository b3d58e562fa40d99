# SPDX-License-Identifier: Apache-2.0
"""What the environment says: numbers in range, or an error that names the variable."""

from collections.abc import Callable, Mapping

import pytest

from shoal.config import (
    MemoryConfig,
    cache_limit,
    hang_after_s,
    log_limit,
    memory_config,
    package_limit,
    spill_limit,
    store_wait_s,
)


def test_unset_and_empty_variables_mean_the_defaults() -> None:
    assert memory_config({}) == MemoryConfig(0.95, 15, 1.0)
    assert memory_config({"SHOAL_MEMORY_RETRIES": ""}) == MemoryConfig(0.95, 15, 1.0)
    assert spill_limit({}) is None
    assert spill_limit({"SHOAL_SPILL_LIMIT": ""}) is None
    assert store_wait_s({"SHOAL_STORE_WAIT_S": ""}) == 10.0


def test_variables_win() -> None:
    environ = {"SHOAL_MEMORY_THRESHOLD": "0.5", "SHOAL_MEMORY_RETRIES": "0", "SHOAL_MEMORY_PAUSE": "0.1"}
    assert memory_config(environ) == MemoryConfig(0.5, 0, 0.1)
    assert spill_limit({"SHOAL_SPILL_LIMIT": "0"}) == 0
    assert spill_limit({"SHOAL_SPILL_LIMIT": "10737418240"}) == 10 << 30
    assert store_wait_s({"SHOAL_STORE_WAIT_S": "0.5"}) == 0.5


@pytest.mark.parametrize(
    ("read", "variable", "text"),
    [
        (memory_config, "SHOAL_MEMORY_THRESHOLD", "95"),
        (memory_config, "SHOAL_MEMORY_THRESHOLD", "nan"),
        (memory_config, "SHOAL_MEMORY_RETRIES", "-1"),
        (memory_config, "SHOAL_MEMORY_RETRIES", "many"),
        (memory_config, "SHOAL_MEMORY_PAUSE", "inf"),
        (spill_limit, "SHOAL_SPILL_LIMIT", "10GB"),
        (spill_limit, "SHOAL_SPILL_LIMIT", "-1"),
        (store_wait_s, "SHOAL_STORE_WAIT_S", "soon"),
        (store_wait_s, "SHOAL_STORE_WAIT_S", "-5"),
        (store_wait_s, "SHOAL_STORE_WAIT_S", "nan"),
        (log_limit, "SHOAL_LOG_LIMIT", "-1"),
        (cache_limit, "SHOAL_CACHE_LIMIT", "much"),
        (package_limit, "SHOAL_PACKAGE_LIMIT", "-1"),
        (hang_after_s, "SHOAL_HANG_AFTER_S", "never"),
    ],
)
def test_what_is_no_number_in_range_is_refused_by_name(
    read: Callable[[Mapping[str, str]], object], variable: str, text: str
) -> None:
    with pytest.raises(ValueError, match=f"{variable}={text}: it must be a number"):
        read({variable: text})
