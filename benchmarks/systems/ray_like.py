# SPDX-License-Identifier: Apache-2.0
"""Shoal and Ray: the rows of `shoal microbenchmark`, the same code for both."""

from __future__ import annotations

import logging
from typing import Any

from microbenchmark.bench import Bench
from microbenchmark.ray_like import ray_like_bench
from microbenchmark.row import Row
from microbenchmark.suite import ALL_ROWS

# Ray without its dashboard and its log forwarding: both only cost it time.
OPTIONS: dict[str, dict[str, Any]] = {
    "shoal": {},
    "ray": {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR},
}


def open_bench(key: str, budget_s: float, patience_s: float) -> Bench:
    """A bench over the module `key`."""
    return ray_like_bench(key, budget_s=budget_s, patience_s=patience_s, **OPTIONS[key])


def rows(key: str) -> tuple[Row, ...]:
    """All rows."""
    return ALL_ROWS
