# SPDX-License-Identifier: Apache-2.0
"""Sizes at the edge of what fits: two gigabytes and one byte, larger than the store, a closure of 100 megabytes."""

import time
from collections.abc import Callable

import numpy as np
import pytest

import shoal

from .odd_calls import assert_pool_intact, build, echo, soon_s

BEYOND = (2**31 - 1, 2**31, 2**31 + 1, 2**32 + 1)  # bytes


@pytest.mark.parametrize("size", BEYOND)
def test_values_larger_than_the_store(size: int) -> None:
    """Refused before a byte is copied, and whoever returns one lives on."""
    sparse = np.zeros(size, dtype=np.uint8)  # no page of it is there
    with shoal.init(num_cpus=2, object_store_memory=256 << 20):
        assert_pool_intact()
        for send in (
            lambda: shoal.put(sparse),
            lambda: echo.remote(sparse),
            lambda: shoal.get(build.remote(lambda: np.zeros(size, dtype=np.uint8)), timeout=10),
            lambda: shoal.store.empty((size,), np.uint8),
        ):
            started_s = time.monotonic()
            with pytest.raises(shoal.ObjectStoreFullError):
                send()
            assert time.monotonic() - started_s < soon_s()
        assert_pool_intact()


def test_values_about_two_gigabytes(pick: Callable[[int, int], int]) -> None:
    if not pick(0, 1):
        pytest.skip("copies 12 GiB: make chaos")
    with shoal.init(num_cpus=1, object_store_memory=7 << 30):
        for size in BEYOND[:3]:
            value = np.zeros(size, dtype=np.uint8)
            value[[0, size // 2, size - 1]] = 1, 2, 3
            for send in (shoal.put, echo.remote):
                ref = send(value)
                got = shoal.get(ref, timeout=100)
                assert got.nbytes == size
                assert tuple(got[[0, size // 2, size - 1]]) == (1, 2, 3)
                del got, ref
        assert_pool_intact()


def test_a_closure_of_a_hundred_megabytes() -> None:
    ballast = np.zeros(100 << 20, dtype=np.uint8)

    @shoal.remote
    def weigh() -> int:
        return int(ballast.nbytes)

    with shoal.init(num_cpus=2, object_store_memory=256 << 20):
        started_s = time.monotonic()
        assert shoal.get(weigh.remote(), timeout=20) == 100 << 20
        assert time.monotonic() - started_s < soon_s()
        assert shoal.get([weigh.remote() for _ in range(3)], timeout=20) == [100 << 20] * 3
        assert_pool_intact()
