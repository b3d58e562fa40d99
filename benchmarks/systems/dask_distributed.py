# SPDX-License-Identifier: Apache-2.0
"""Dask distributed: a local cluster of one single-threaded worker process for each CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from microbenchmark.bench import Bench
from microbenchmark.object_rows import BIG_ARRAY_ITEMS
from microbenchmark.ray_like import cpu_count
from microbenchmark.row import Measurement, Row

from . import functions
from .peer_rows import Verbs, peer_rows

FAN = 1000

START_CODE = """from distributed import Client
def answer(): return 42
def first_result():
    client = Client(n_workers={n_cpus}, threads_per_worker=1, dashboard_address=None)
    return client.submit(answer).result()
"""


class Actor:
    """The actor of the rows."""

    def small_value(self) -> bytes:
        """A small call."""
        return b"ok"


def open_bench(key: str, budget_s: float, patience_s: float) -> Bench:
    """A bench over a new local cluster."""
    n_cpus = cpu_count()

    def start() -> tuple[Any, Callable[[], object]]:
        from distributed import Client

        client = Client(n_workers=n_cpus, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL)
        return client, client.shutdown

    return Bench(
        start, n_cpus=n_cpus, start_code=START_CODE.format(n_cpus=n_cpus), budget_s=budget_s, patience_s=patience_s
    )


def rows(key: str) -> tuple[Row, ...]:
    """The rows that Dask can run."""
    return (
        *peer_rows(_verbs),
        Row("single client get calls", "calls/s", get_calls),
        Row("single client put calls", "calls/s", put_calls),
        Row("single client put gigabytes", "GB/s", put_gigabytes),
        Row("1:1 actor calls sync", "calls/s", actor_calls_sync),
        Row("1:1 actor calls async", "calls/s", actor_calls_async),
        Row("chain of 10,000 dependent tasks", "us/hop", chain),
        Row("fan-out/fan-in of 1,000 tasks", "ms", fan),
        Row("10,000 arguments", "s", ten_thousand_arguments),
        Row("get of 10,000 refs", "s", get_10k_refs),
    )


def get_calls(bench: Bench) -> Measurement:
    """The value of a small scattered object."""
    value = bench.api.scatter(0, hash=False)
    return bench.rate(value.result)


def put_calls(bench: Bench) -> Measurement:
    """Scatter of a small object."""
    client = bench.api
    return bench.rate(lambda: client.scatter(0, hash=False))


def put_gigabytes(bench: Bench) -> Measurement:
    """Scatter of an 800 MB array."""
    import numpy as np

    client = bench.api
    array = np.ones(BIG_ARRAY_ITEMS, dtype=np.int64)
    return bench.rate(lambda: client.scatter(array, hash=False), items=array.nbytes / 1e9)


def actor_calls_sync(bench: Bench) -> Measurement:
    """One call at a time."""
    actor = _actor(bench)
    return bench.rate(lambda: actor.small_value().result())


def actor_calls_async(bench: Bench) -> Measurement:
    """1,000 calls in flight."""
    actor = _actor(bench)

    def run() -> None:
        for future in [actor.small_value() for _ in range(1000)]:
            future.result()

    return bench.rate(run, items=1000)


def chain(bench: Bench) -> Measurement:
    """Each task on the future of the one before."""
    client = bench.api

    def run(n: int) -> None:
        x = client.submit(functions.increment, 0, pure=False)
        for _ in range(n - 1):
            x = client.submit(functions.increment, x, pure=False)
        x.result()

    rate = bench.sized_rate(run, 10_000)
    return Measurement(1e6 / rate.value, rate.n)


def fan(bench: Bench) -> Measurement:
    """1,000 futures as the arguments of one task."""
    client = bench.api

    def run() -> None:
        leaves = [client.submit(functions.identity, 1, pure=False) for _ in range(FAN)]
        client.submit(functions.total, *leaves, pure=False).result()

    return bench.cost(run).scaled(1e3)


def ten_thousand_arguments(bench: Bench) -> Measurement:
    """10,000 small objects, scattered in one call, as the arguments of one task."""
    client = bench.api

    def run() -> None:
        futures = client.scatter(list(range(10_000)), hash=False)
        client.submit(functions.count, *futures, pure=False).result()

    return bench.cost(run)


def get_10k_refs(bench: Bench) -> Measurement:
    """One gather of 10,000 small objects."""
    client = bench.api
    futures = client.scatter(list(range(10_000)), hash=False)
    return bench.cost(lambda: client.gather(futures))


def _actor(bench: Bench) -> Any:
    return bench.api.submit(Actor, actor=True, pure=False).result()


def _verbs(bench: Bench) -> Verbs:
    client = bench.api

    def submit(function: Callable[..., Any], *args: Any) -> Any:
        return client.submit(function, *args, pure=False)

    def run_small(n: int) -> None:
        client.gather([client.submit(functions.small_value, pure=False) for _ in range(n)])

    return Verbs(submit=submit, result=lambda future: future.result(), results=client.gather, run_small=run_small)
