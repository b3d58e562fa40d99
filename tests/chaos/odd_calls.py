# SPDX-License-Identifier: Apache-2.0
"""Tasks that send anything around, and the question whether the node is as good as before."""

from collections.abc import Callable
from typing import Any

import shoal

from .limits import within

SOON_S = 2.0


def soon_s() -> float:
    """Two seconds of a machine that has nothing else to do."""
    return within(SOON_S)


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
