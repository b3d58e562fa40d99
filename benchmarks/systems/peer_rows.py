# SPDX-License-Identifier: Apache-2.0
"""Rows that every peer with futures has, written over a few verbs that each peer spells in its own way.

A row is left out where the peer has nothing that does the same work: a `concurrent.futures.Future` keeps its result in
the caller's own memory, so it has no `get`, and no tasks on the results of others except by waiting for those.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from microbenchmark import gate
from microbenchmark.bench import Bench
from microbenchmark.memory import tree_pss_bytes
from microbenchmark.process_rows import START_UP_ROWS, idle_memory
from microbenchmark.row import Measurement, Row

from . import functions

IN_FLIGHT = 1000
FAN = 1000
WORKER_PROBES = 50


@dataclass(frozen=True)
class Verbs:
    """A peer's own words: start one task, wait for one, wait for many, and its best way to run `n` small tasks."""

    submit: Callable[..., Any]
    result: Callable[[Any], Any]
    results: Callable[[list[Any]], list[Any]]
    run_small: Callable[[int], object]


def peer_rows(verbs_of: Callable[[Bench], Verbs]) -> tuple[Row, ...]:
    """The common rows of a peer whose bench speaks the verbs that `verbs_of` makes."""

    def tasks_sync(bench: Bench) -> Measurement:
        verbs = verbs_of(bench)
        return bench.rate(lambda: verbs.result(verbs.submit(functions.small_value)))

    def tasks_async(bench: Bench) -> Measurement:
        verbs = verbs_of(bench)
        return bench.rate(lambda: verbs.run_small(IN_FLIGHT), items=IN_FLIGHT)

    def tasks_and_get_batch(bench: Bench) -> Measurement:
        verbs = verbs_of(bench)
        return bench.rate(lambda: verbs.run_small(IN_FLIGHT))

    def memory_per_idle_worker(bench: Bench) -> Measurement:
        verbs = verbs_of(bench)
        return idle_memory(set(verbs.results([verbs.submit(functions.pid, i) for i in range(WORKER_PROBES)])))

    def memory_per_queued_task(bench: Bench) -> Measurement:
        verbs = verbs_of(bench)
        with _held(bench, verbs):
            before = tree_pss_bytes()
            queued: list[Any] = []
            deadline = perf_counter() + bench.budget_s
            while len(queued) < 100_000 and perf_counter() < deadline:
                queued += [verbs.submit(functions.small_value) for _ in range(100)]
            after = tree_pss_bytes()
        verbs.results(queued)
        return Measurement((after - before) / len(queued) / 1e3, n=len(queued))

    def million_queued_tasks(bench: Bench) -> Measurement:
        verbs = verbs_of(bench)

        def queue_and_drain(n: int) -> None:
            with _held(bench, verbs):
                queued = [verbs.submit(functions.small_value) for _ in range(n)]
            verbs.results(queued)

        n = bench.fit(queue_and_drain, 1_000_000, within_s=bench.patience_s)
        start = perf_counter()
        queue_and_drain(n)
        return Measurement((perf_counter() - start) * 1_000_000 / n, n=n)

    return (
        *START_UP_ROWS,
        Row("memory per idle worker", "MB", memory_per_idle_worker),
        Row("memory per queued task", "KB", memory_per_queued_task),
        Row("single client tasks and get batch", "batches/s", tasks_and_get_batch),
        Row("single client tasks sync", "tasks/s", tasks_sync),
        Row("single client tasks async", "tasks/s", tasks_async),
        Row("1,000,000 queued tasks", "s", million_queued_tasks),
    )


def waiting_rows(verbs_of: Callable[[Bench], Verbs]) -> tuple[Row, ...]:
    """Chain and fan for a peer that cannot pass a future as an argument: the client waits and passes the value."""

    def chain(bench: Bench) -> Measurement:
        verbs = verbs_of(bench)

        def run(n: int) -> None:
            x = 0
            for _ in range(n):
                x = verbs.result(verbs.submit(functions.increment, x))

        rate = bench.sized_rate(run, 10_000)
        return Measurement(1e6 / rate.value, rate.n, "the client waits at each hop")

    def fan(bench: Bench) -> Measurement:
        verbs = verbs_of(bench)

        def run() -> None:
            leaves = verbs.results([verbs.submit(functions.identity, 1) for _ in range(FAN)])
            verbs.result(verbs.submit(functions.total, *leaves))

        return bench.cost(run).scaled(1e3, "the client passes the values")

    return (
        Row("chain of 10,000 dependent tasks", "us/hop", chain),
        Row("fan-out/fan-in of 1,000 tasks", "ms", fan),
    )


def _held(bench: Bench, verbs: Verbs) -> AbstractContextManager[None]:
    return gate.held(bench.n_cpus, lambda path: verbs.submit(functions.hold, path), verbs.results)
