# SPDX-License-Identifier: Apache-2.0
"""Dask's graphs as tasks."""

import os
from typing import Any

import pytest

import shoal

dask = pytest.importorskip("dask")

pytestmark = pytest.mark.usefixtures("node")


@dask.delayed  # type: ignore[untyped-decorator]
def add(a: int, b: int) -> int:
    return a + b


@dask.delayed  # type: ignore[untyped-decorator]
def invert(x: int) -> float:
    return 1 / x


@dask.delayed  # type: ignore[untyped-decorator]
def pid() -> int:
    return os.getpid()


def compute(*collections: Any) -> tuple[Any, ...]:
    from shoal.util.dask import shoal_dask_get

    result: tuple[Any, ...] = dask.compute(*collections, scheduler=shoal_dask_get)
    return result


def test_a_graph_is_computed_on_workers() -> None:
    total = add(add(1, 2), add(3, 4))
    assert compute(total, add(total, total)) == (10, 20)
    assert compute(pid()) != (os.getpid(),)


def test_a_long_chain_and_a_wide_sum() -> None:
    chain = add(0, 1)
    for _ in range(300):
        chain = add(chain, 1)
    wide = dask.delayed(sum)([add(n, n) for n in range(300)])
    assert compute(chain, wide) == (301, 89_700)


def test_containers_and_values_keep_their_form() -> None:
    assert compute([add(1, 1), {"x": add(2, 2)}], 5, "text") == ([2, {"x": 4}], 5, "text")


def test_an_error_is_of_its_own_class() -> None:
    with pytest.raises(ZeroDivisionError):
        compute(add(invert(0), 1))


def test_graphs_of_plain_tuples() -> None:
    from shoal.util.dask import shoal_dask_get

    graph = {"a": 1, "b": (sum, ["a", 10]), "c": "b", "d": (max, ["b", "c", 3])}
    assert shoal_dask_get(graph, ["d", ["c", "a"]]) == (11, (11, 1))
    assert shoal_dask_get(graph, "b") == 11


def test_a_ref_in_a_graph_is_its_value() -> None:
    from shoal.util.dask import shoal_dask_get

    assert shoal_dask_get({"a": shoal.put(4), "b": (sum, ["a", 1])}, "b") == 5


def test_it_can_be_made_the_scheduler() -> None:
    from shoal.util.dask import enable_shoal_on_dask

    with enable_shoal_on_dask():
        assert pid().compute() != os.getpid()
    assert dask.config.get("scheduler", None) is None
