# SPDX-License-Identifier: Apache-2.0
"""Values are freed when the last reference anywhere on the node goes: the segment ends where it began."""

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import shoal
from shoal import runtime

SETTLE_S = 30.0  # the repair thread reads reference logs at its tick; more is never


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    shoal.init(num_cpus=2, object_store_memory=512 << 20)
    yield
    shoal.shutdown()


@shoal.remote
def identity(*values: Any) -> Any:
    return values


def live() -> tuple[float, float]:
    """Objects and bytes that the segment holds now."""
    counters = runtime.connected().calls.counters()
    return counters["live_entries"], counters["live_bytes"]


@pytest.fixture(autouse=True)
def segment_ends_where_it_began() -> Iterator[None]:
    for _ in range(3):  # workers, functions and classes that stay are there before we count
        shoal.get([identity.remote(n) for n in range(20)])
    settle(lambda: False, 0.3)
    before = live()
    yield
    gc.collect()
    settle(lambda: live()[0] <= before[0] and live()[1] <= before[1], SETTLE_S)
    assert live()[0] <= before[0]
    assert live()[1] <= before[1]


def settle(is_settled: Callable[[], bool], limit_s: float) -> None:
    for _ in range(int(limit_s / 0.05)):
        if is_settled():
            return
        shoal.get(shoal.put(None))  # lets this client hand on what its destructors noted
        threading.Event().wait(0.05)


def test_puts_and_gets() -> None:
    for n in range(1_000):
        assert shoal.get(shoal.put(n)) == n
    for _ in range(20):
        shoal.get(shoal.put(np.zeros(1_000_000)))


def test_results_that_nobody_gets() -> None:
    for n in range(1_000):
        identity.remote(n)
    shoal.get(identity.remote(1))


def test_arguments_by_ref() -> None:
    big = shoal.put(np.zeros(1_000_000))
    shoal.get([identity.remote(big) for _ in range(50)])


def test_refs_inside_values_and_queued_tasks() -> None:
    refs = [shoal.put(np.full(10_000, n)) for n in range(20)]
    outer = shoal.put({"refs": refs})
    del refs
    gc.collect()
    assert [shoal.get(ref)[0] for ref in shoal.get(outer)["refs"]] == list(range(20))
    shoal.get([identity.remote({"outer": outer}) for _ in range(20)])


def test_refs_that_workers_make_and_return() -> None:
    @shoal.remote
    def make() -> Any:
        return [shoal.put(n) for n in range(100)], [identity.remote(n) for n in range(10)]

    for _ in range(5):
        puts, tasks = shoal.get(make.remote())
        assert shoal.get(puts) == list(range(100))
        shoal.get(tasks)


def test_a_long_chain_of_containers() -> None:
    ref: Any = None
    for _ in range(20_000):
        ref = shoal.put([ref])


def test_errors() -> None:
    @shoal.remote
    def fail() -> None:
        raise ValueError

    for _ in range(100):
        with pytest.raises(ValueError):  # noqa: PT011
            shoal.get(fail.remote())


def test_actors_and_their_handles() -> None:
    @shoal.remote
    class Keeper:
        def keep(self, value: Any) -> None:
            self.kept = value

    for _ in range(5):
        keeper = Keeper.remote()
        shoal.get([keeper.keep.remote([shoal.put(np.zeros(10_000))]) for _ in range(10)])


def test_waits_that_time_out() -> None:
    @shoal.remote(num_cpus=0)
    def later() -> None:
        threading.Event().wait(0.2)

    ref = later.remote()
    for _ in range(100):
        shoal.wait([ref], timeout=0.0001)
    shoal.get(ref)
