# SPDX-License-Identifier: Apache-2.0
"""Rows about tasks and the graph they form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Any

from . import gate, workload
from .bench import Bench
from .memory import tree_pss_bytes
from .row import Measurement, Row, RowSkipped

MULTI_CLIENTS = 4
FAN = 1000
US = 1e6


def tasks_and_get_batch(bench: Bench) -> Measurement:
    """Batches of 1,000 tasks, submitted and fetched, per second."""
    api = bench.api
    task = workload.small_value(api)
    return bench.rate(lambda: api.get([task.remote() for _ in range(1000)]))


def tasks_sync(bench: Bench) -> Measurement:
    """One task at a time: submit, then get."""
    api = bench.api
    task = workload.small_value(api)
    return bench.rate(lambda: api.get(task.remote()))


def tasks_async(bench: Bench) -> Measurement:
    """1,000 tasks in flight."""
    api = bench.api
    task = workload.small_value(api)
    return bench.rate(lambda: api.get([task.remote() for _ in range(1000)]), items=1000)


def multi_client_tasks_async(bench: Bench) -> Measurement:
    """Four actors, each with 10,000 tasks in flight."""
    api = bench.api
    actors = [bench.actor(workload.batch_actor(api)) for _ in range(MULTI_CLIENTS)]
    return bench.sized_rate(
        lambda n: api.get([actor.small_value_batch.remote(n) for actor in actors]), 10_000, items_per_n=MULTI_CLIENTS
    )


def placement_groups(bench: Bench) -> Measurement:
    """Create 100 placement groups of one small bundle, wait for each, remove them."""
    util: Any = getattr(bench.api, "util", None)
    if not hasattr(util, "placement_group"):
        raise RowSkipped("this system has no placement groups yet")

    def create_and_remove() -> None:
        groups = [util.placement_group(bundles=[{"CPU": 0.001}]) for _ in range(100)]
        for group in groups:
            group.wait(timeout_seconds=30)
        for group in groups:
            util.remove_placement_group(group)

    return bench.rate(create_and_remove, items=100)


def chain(bench: Bench) -> Measurement:
    """10,000 tasks, each on the result of the one before: microseconds per hop."""
    api = bench.api

    def increment(x: int) -> int:
        return x + 1

    task = api.remote(increment)

    def run(n: int) -> None:
        ref = task.remote(0)
        for _ in range(n - 1):
            ref = task.remote(ref)
        _check(api.get(ref), n)

    return _inverse(bench.sized_rate(run, 10_000), US)


def fan_out_fan_in(bench: Bench) -> Measurement:
    """1,000 tasks whose results are the arguments of one more, in milliseconds."""
    api = bench.api

    def identity(x: int) -> int:
        return x

    def total(*xs: int) -> int:
        return sum(xs)

    leaf, root = api.remote(identity), api.remote(total)
    return bench.cost(lambda: _check(api.get(root.remote(*[leaf.remote(1) for _ in range(FAN)])), FAN)).scaled(1e3)


def ten_thousand_arguments(bench: Bench) -> Measurement:
    """Put 10,000 small objects, pass them all to one task, get its result: seconds."""
    api = bench.api

    def count(*xs: int) -> int:
        return len(xs)

    task = api.remote(count)
    return bench.cost(lambda: _check(api.get(task.remote(*[api.put(i) for i in range(10_000)])), 10_000))


def three_thousand_returns(bench: Bench) -> Measurement:
    """One task with 3,000 results, all fetched: seconds."""
    api = bench.api

    def many() -> list[int]:
        return list(range(3000))

    task = api.remote(num_returns=3000)(many)
    return bench.cost(lambda: _check(api.get(task.remote())[-1], 2999))


def streamed_items(bench: Bench) -> Measurement:
    """A generator task's items, each fetched as it comes: items per second."""
    api = bench.api

    def count(n: int) -> Iterator[int]:
        yield from range(n)

    task = api.remote(num_returns="streaming")(count)

    def run(n: int) -> None:
        _check(sum(1 for ref in task.remote(n) if api.get(ref) is not None), n)

    return bench.sized_rate(run, 100_000)


def million_queued_tasks(bench: Bench) -> Measurement:
    """Queue 1,000,000 tasks while every CPU is held, let go, fetch all results: seconds for 1,000,000.

    A slow system queues as many as fit the bench's patience; its seconds are scaled up, and `n` says from how many.
    """
    api = bench.api
    task = workload.small_value(api)

    def queue_and_drain(n: int) -> None:
        with _held_cpus(bench):
            refs = [task.remote() for _ in range(n)]
        api.get(refs)

    n = bench.fit(queue_and_drain, 1_000_000, within_s=bench.patience_s)
    start = perf_counter()
    queue_and_drain(n)
    return Measurement((perf_counter() - start) * 1_000_000 / n, n=n)


def memory_per_queued_task(bench: Bench) -> Measurement:
    """Growth of the memory of all of the system's processes for each queued task and its reference: KB."""
    api = bench.api
    task = workload.small_value(api)

    refs = [task.remote() for _ in range(100)]
    api.get(refs)
    with _held_cpus(bench):
        before = tree_pss_bytes()
        # Until the time is up and not by `fit`: a probe would leave free heap behind, and the growth would not show.
        deadline = perf_counter() + bench.budget_s
        while len(refs) < 100_000 and perf_counter() < deadline:
            refs += [task.remote() for _ in range(100)]
        after = tree_pss_bytes()
    api.get(refs)
    return Measurement((after - before) / (len(refs) - 100) / 1e3, n=len(refs) - 100)


def _held_cpus(bench: Bench) -> AbstractContextManager[None]:
    api = bench.api

    def hold(path: str) -> None:
        import os

        os.close(os.open(path, os.O_RDONLY))

    task = api.remote(hold)
    return gate.held(bench.n_cpus, task.remote, api.get)


def _inverse(rate: Measurement, factor: float) -> Measurement:
    return Measurement(factor / rate.value, rate.n, rate.note)


def _check(got: Any, expected: Any) -> None:
    if got != expected:
        raise AssertionError(f"wrong result: {got!r}, expected {expected!r}")


RAY_TASK_ROWS = (
    Row("single client tasks and get batch", "batches/s", tasks_and_get_batch),
    Row("single client tasks sync", "tasks/s", tasks_sync),
    Row("single client tasks async", "tasks/s", tasks_async),
    Row("multi client tasks async", "tasks/s", multi_client_tasks_async),
)

RAY_PLACEMENT_ROWS = (Row("placement group create/removal", "groups/s", placement_groups),)

EXTRA_TASK_ROWS = (
    Row("chain of 10,000 dependent tasks", "us/hop", chain),
    Row("fan-out/fan-in of 1,000 tasks", "ms", fan_out_fan_in),
    Row("10,000 arguments", "s", ten_thousand_arguments),
    Row("3,000 returns", "s", three_thousand_returns),
    Row("streamed items", "items/s", streamed_items),
    Row("1,000,000 queued tasks", "s", million_queued_tasks),
)

TASK_MEMORY_ROWS = (Row("memory per queued task", "KB", memory_per_queued_task),)
