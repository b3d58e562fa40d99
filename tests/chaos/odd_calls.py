# SPDX-License-Identifier: Apache-2.0
"""Tasks that send anything around, and the question whether the node is as good as before."""

import os
from collections.abc import Callable
from typing import Any

import shoal


def soon_s() -> float:
    """Two seconds of a machine that has nothing else to do."""
    return 2.0 * max(1.5, 1.5 * os.getloadavg()[0] / (os.cpu_count() or 1))


@shoal.remote(max_retries=0)
def echo(value: Any) -> Any:
    return value


@shoal.remote(max_retries=0)
def build(make: Callable[[], Any]) -> Any:
    return make()


@shoal.remote
def small(n: int) -> int:
    return n


def assert_pool_intact() -> None:
    assert shoal.get([small.remote(n) for n in range(20)], timeout=soon_s()) == list(range(20))
