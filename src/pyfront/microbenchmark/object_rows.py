# SPDX-License-Identifier: Apache-2.0
"""Rows about objects: `put`, `get` and `wait`, small and large, from one client and from several."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from . import workload
from .bench import Bench
from .row import Measurement, Row

BIG_ARRAY_ITEMS = 100 * 1024 * 1024  # int64: 839 MB, "800 MB" in the names of the rows
SMALL_ARRAY_ITEMS = BIG_ARRAY_ITEMS // 100
MULTI_PUT_CLIENTS = 10
WARMING_PUTS = 2  # at least, and for
WARMING_S = 1.0
US = 1e6


def get_calls(bench: Bench) -> Measurement:
    """`get` of one small value that this client has put."""
    api = bench.api
    value = api.put(0)
    return bench.rate(lambda: api.get(value))


def put_calls(bench: Bench) -> Measurement:
    """`put` of a small integer; its reference is dropped at once."""
    api = bench.api
    return bench.rate(lambda: api.put(0))


def multi_client_put_calls(bench: Bench) -> Measurement:
    """Ten tasks at a time, each putting 100 small values."""
    api = bench.api

    def put_small() -> None:
        for _ in range(100):
            api.put(0)

    task = api.remote(put_small)
    return bench.rate(lambda: api.get([task.remote() for _ in range(MULTI_PUT_CLIENTS)]), items=100 * MULTI_PUT_CLIENTS)


def put_gigabytes(bench: Bench) -> Measurement:
    """`put` of an 800 MB array. It is filled: reading untouched zeros would come from cache, not from memory.

    Always after a second of such puts, however short the budget: the row is about warm pages, and what a system
    prepares in the background after the first of them takes a core that long.
    """
    api = bench.api
    array = _filled(BIG_ARRAY_ITEMS)
    started, n_puts = perf_counter(), 0
    while n_puts < WARMING_PUTS or perf_counter() - started < WARMING_S:
        api.put(array)
        n_puts += 1
    return bench.rate(lambda: api.put(array), items=array.nbytes / 1e9)


def multi_client_put_gigabytes(bench: Bench) -> Measurement:
    """Ten tasks at a time, each putting 80 MB arrays of zeros that it has just made, ten times over."""
    api = bench.api

    def put_large() -> None:
        import numpy as np

        for _ in range(10):
            api.put(np.zeros(10 * 1024 * 1024, dtype=np.int64))

    task = api.remote(put_large)
    gigabytes = MULTI_PUT_CLIENTS * 10 * 80 * 1024 * 1024 / 1e9
    return bench.rate(lambda: api.get([task.remote() for _ in range(MULTI_PUT_CLIENTS)]), items=gigabytes)


def get_object_of_10k_refs(bench: Bench) -> Measurement:
    """`get` of one list that holds 10,000 references."""
    api = bench.api

    def make_refs() -> list[Any]:
        return [api.put(1) for _ in range(10_000)]

    refs = api.remote(make_refs).remote()
    api.get(refs)
    return bench.rate(lambda: api.get(refs))


def wait_1k_refs(bench: Bench) -> Measurement:
    """Start 1,000 tasks and take them one at a time with `wait`."""
    api = bench.api
    task = workload.small_value(api)
    return bench.rate(lambda: _drain_by_wait(api, [task.remote() for _ in range(1000)]))


def wait_loop_10k_refs(bench: Bench) -> Measurement:
    """The loop of `wait` calls over 10,000 task results, in microseconds per reference, submission included."""
    api = bench.api
    task = workload.small_value(api)
    return _us_per_item(bench.sized_rate(lambda n: _drain_by_wait(api, [task.remote() for _ in range(n)]), 10_000))


def get_10k_refs(bench: Bench) -> Measurement:
    """One `get` of 10,000 references to small values, in seconds."""
    api = bench.api
    refs = [api.put(i) for i in range(10_000)]
    return bench.cost(lambda: api.get(refs))


def get_big_array(bench: Bench) -> Measurement:
    """`get` of an 800 MB array, in microseconds."""
    return _get_array_us(bench, BIG_ARRAY_ITEMS)


def get_small_array(bench: Bench) -> Measurement:
    """`get` of an 8 MB array, in microseconds: beside the row above it shows whether the size matters."""
    return _get_array_us(bench, SMALL_ARRAY_ITEMS)


def _get_array_us(bench: Bench, n_items: int) -> Measurement:
    api = bench.api
    ref = api.put(_filled(n_items))
    return bench.cost(lambda: api.get(ref)).scaled(US)


def _filled(n_items: int) -> Any:
    import numpy as np

    return np.ones(n_items, dtype=np.int64)


def _drain_by_wait(api: Any, refs: list[Any]) -> None:
    while refs:
        _ready, refs = api.wait(refs)


def _us_per_item(rate: Measurement) -> Measurement:
    return Measurement(US / rate.value, rate.n, rate.note)


RAY_OBJECT_ROWS = (
    Row("single client get calls", "calls/s", get_calls),
    Row("single client put calls", "calls/s", put_calls),
    Row("multi client put calls", "calls/s", multi_client_put_calls),
    Row("single client put gigabytes", "GB/s", put_gigabytes),
    Row("multi client put gigabytes", "GB/s", multi_client_put_gigabytes),
    Row("single client get object containing 10k refs", "calls/s", get_object_of_10k_refs),
    Row("single client wait 1k refs", "calls/s", wait_1k_refs),
)

EXTRA_OBJECT_ROWS = (
    Row("get of 10,000 refs", "s", get_10k_refs),
    Row("wait loop over 10,000 refs", "us/ref", wait_loop_10k_refs),
    Row("get of an 800 MB array", "us", get_big_array),
    Row("get of an 8 MB array", "us", get_small_array),
)
