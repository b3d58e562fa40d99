# SPDX-License-Identifier: Apache-2.0
"""Chaos from outside: random faults under load, each run replayable from the seed that it prints.

`SHOAL_SEED=n` repeats a run, `SHOAL_LONG=1` makes the runs as long as the claims they hold: minutes, not seconds.
"""

import os
import random
from collections.abc import Callable, Iterator

import pytest

import shoal

from .census import Census

IS_LONG = os.environ.get("SHOAL_LONG", "0") not in ("", "0")
LONG_TIMEOUT_S = 1800.0

Pick = Callable[[int, int], int]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if IS_LONG:
        for item in items:
            if item.path.parent.name == "chaos":
                item.add_marker(pytest.mark.timeout(LONG_TIMEOUT_S))


@pytest.fixture
def dice() -> random.Random:
    """Every random choice of a test comes from here, so that its seed repeats it."""
    seed = int(os.environ.get("SHOAL_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SHOAL_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def pick() -> Pick:
    """pick(short, long): how many of something, in an ordinary run and in a long one."""
    return lambda short, long: long if IS_LONG else short


@pytest.fixture
def census() -> Iterator[Census]:
    """A fresh node with two CPUs and the count of what it holds; after the test everything must be as before."""
    shoal.init(num_cpus=2, object_store_memory=512 << 20)
    try:
        taken = Census()
        yield taken
        taken.assert_as_before()
    finally:
        shoal.shutdown()


@pytest.fixture(scope="module")
def shared_node() -> Iterator[Census]:
    """One node with two CPUs for all tests of a module; after them everything must be as before."""
    shoal.init(num_cpus=2, object_store_memory=1 << 30)
    try:
        taken = Census()
        yield taken
        taken.assert_as_before()
    finally:
        shoal.shutdown()
