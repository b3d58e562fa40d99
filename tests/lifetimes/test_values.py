# SPDX-License-Identifier: Apache-2.0
"""References inside values: containers, returns, arguments, many of them, deep ones."""

import threading
from typing import Any

import numpy as np
import pytest

import shoal

from .conftest import await_held, held

pytestmark = pytest.mark.usefixtures("before")


@shoal.remote
def identity(*values: Any) -> Any:
    return values


@shoal.remote
def wrap(depth: int) -> Any:
    """A container of a container ... of a ref that the worker made."""
    ref: Any = shoal.put(np.full(1_000, depth))
    for _ in range(depth):
        ref = shoal.put([ref])
    return {"inside": ref}


def unwrap(value: Any, depth: int) -> Any:
    for _ in range(depth):
        (value,) = shoal.get(value)
    return shoal.get(value)


def test_containers_in_containers_hold_what_is_innermost() -> None:
    inner = shoal.put(np.arange(10_000))
    outer: Any = shoal.put({"level": (3, [inner])})
    outer = shoal.put([{"level": 2, "next": outer}])
    outer = shoal.put(("level", 1, {"next": outer}))
    del inner
    first = shoal.get(outer)
    del outer
    second = shoal.get(first[2]["next"])
    del first
    third = shoal.get(second[0]["next"])
    del second
    assert shoal.get(third["level"][1][0]).sum() == 49_995_000


def test_returns_nested_in_returns() -> None:
    values = shoal.get([wrap.remote(depth) for depth in range(4)])
    assert [int(unwrap(values[depth]["inside"], depth)[0]) for depth in range(4)] == [0, 1, 2, 3]


def test_returns_that_are_never_looked_at() -> None:
    for _ in range(20):
        wrap.remote(3)


def test_one_ref_many_times_in_one_call() -> None:
    ref = shoal.put(np.arange(10_000))
    values = shoal.get(identity.remote(ref, ref, [ref, ref], {"a": ref}, ref))
    assert [int(values[i].sum()) for i in (0, 1, 4)] == [49_995_000] * 3
    assert values[2] == [ref, ref]
    assert values[3] == {"a": ref}


def test_many_refs_in_one_value(before: dict[str, float]) -> None:
    refs = [shoal.put(n) for n in range(100_000)]
    outer = shoal.put(refs)
    del refs
    inner = shoal.get(outer)
    del outer
    assert shoal.get(inner[::9_999]) == list(range(0, 100_000, 9_999))
    del inner
    await_held(before)


def test_a_million_refs_do_not_keep_the_node_from_its_work() -> None:
    refs = [shoal.put(n) for n in range(1_000_000)]
    outer = shoal.put(refs)
    del refs
    shoal.get(shoal.put(None))
    del outer
    for n in range(50):  # deaths, resources and references of others are looked at all the while
        assert shoal.get(identity.options(num_cpus=0.5).remote(n)) == (n,)


def test_a_chain_of_containers_is_freed_by_its_head() -> None:
    ref: Any = None
    for _ in range(200_000):
        ref = shoal.put([ref])


def test_what_wait_was_given() -> None:
    refs = [identity.remote(n) for n in range(1_000)]
    while refs:
        done, refs = shoal.wait(refs, num_returns=min(100, len(refs)))
        assert len(shoal.get(done)) == 100 or not refs


def test_views_hold_their_object(before: dict[str, float]) -> None:
    array = shoal.get(shoal.put(np.full(200_000, 7)))
    shoal.get(identity.remote(1))
    assert held()["live_bytes"] > before["live_bytes"]
    part = array[10:20]
    del array
    assert part.sum() == 70
    del part
    await_held(before)


def test_refs_dropped_by_many_threads() -> None:
    outer = shoal.put([shoal.put(np.full(100, n)) for n in range(200)])

    def look(seed: int) -> None:
        for _ in range(20):
            refs = shoal.get(outer)
            assert int(shoal.get(refs[seed])[0]) == seed
            del refs[seed::2]

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_refs_in_cycles_wait_for_the_collector(before: dict[str, float]) -> None:
    class Holder:
        def __init__(self, ref: Any) -> None:
            self.ref, self.itself = ref, self

    for n in range(50):
        Holder(shoal.put(np.full(10_000, n)))
    await_held(before)  # runs the collector
