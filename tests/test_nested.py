# SPDX-License-Identifier: Apache-2.0
"""Tasks that wait for tasks: no deadlock and a bounded number of processes, on any number of CPUs."""

import os
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

import shoal

PROCESSES_BESIDE_WORKERS = 2  # daemon and zygote


@pytest.fixture(params=[1, 2])
def n_cpus(request: pytest.FixtureRequest) -> Iterator[int]:
    shoal.init(num_cpus=request.param)
    yield request.param
    shoal.shutdown()


class Watch:
    """The largest number of processes below this one, sampled while the block runs."""

    def __enter__(self) -> "Watch":
        self.peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        own = psutil.Process()
        while not self._over.wait(0.02):
            self.peak = max(self.peak, len(own.children(recursive=True)))

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@shoal.remote
def fib(n: int) -> int:
    return n if n < 2 else sum(shoal.get([fib.remote(n - 1), fib.remote(n - 2)]))


def test_fib_with_nested_gets_stays_within_bounds(n_cpus: int) -> None:
    with Watch() as watch:
        assert shoal.get(fib.remote(18), timeout=100) == 2584
    # Depth first: one blocked worker per level and CPU, and as many on their way; far from the 8,361 calls of the tree.
    assert watch.peak <= PROCESSES_BESIDE_WORKERS + 18 * (n_cpus + 1)


def test_a_deep_chain_of_nested_gets(n_cpus: int) -> None:
    @shoal.remote
    def down(n: int) -> int:
        return 0 if n == 0 else 1 + shoal.get(down.remote(n - 1))

    with Watch() as watch:
        assert shoal.get(down.remote(100), timeout=100) == 100
    assert watch.peak <= PROCESSES_BESIDE_WORKERS + 120


def test_a_worker_that_waits_gives_its_cpu_to_others(n_cpus: int) -> None:
    @shoal.remote
    def leaf(n: int) -> int:
        return n

    @shoal.remote
    def parent(n: int) -> int:
        return sum(shoal.get([leaf.remote(i) for i in range(n)]))

    assert shoal.get([parent.remote(10) for _ in range(2 * n_cpus + 2)], timeout=100) == [45] * (2 * n_cpus + 2)


def test_nested_wait_and_nested_actors(n_cpus: int) -> None:
    @shoal.remote
    class Sum:
        def __init__(self) -> None:
            self.total = 0

        def add(self, n: int) -> int:
            self.total += n
            return self.total

    @shoal.remote
    def leaf(n: int) -> int:
        return n

    @shoal.remote
    def parent(total: Any) -> int:
        left = [leaf.remote(n) for n in range(10)]
        while left:
            ready, left = shoal.wait(left)
            shoal.get(total.add.remote(ready[0]))
        return os.getpid()

    total = Sum.remote()
    shoal.get([parent.remote(total) for _ in range(3)], timeout=100)
    assert shoal.get(total.add.remote(0)) == 135


def test_a_wide_chain_of_dependent_tasks(n_cpus: int) -> None:
    @shoal.remote
    def step(*values: int) -> int:
        return 1 + max(values)

    layer = [step.remote(0) for _ in range(10)]
    for _ in range(50):
        layer = [step.remote(*layer) for _ in range(10)]
    assert shoal.get(layer, timeout=100) == [51] * 10


def test_a_long_chain(n_cpus: int) -> None:
    @shoal.remote
    def step(n: int) -> int:
        return n + 1

    ref: Any = 0
    for _ in range(5_000):
        ref = step.remote(ref)
    assert shoal.get(ref, timeout=100) == 5_000
