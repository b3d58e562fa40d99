# SPDX-License-Identifier: Apache-2.0
"""Rows about collective groups: two actors, each with a tensor in its own memory."""

from __future__ import annotations

from importlib import import_module
from time import perf_counter
from typing import Any

from .bench import Bench
from .row import Measurement, Row, RowSkipped

RANKS = 2
LARGE_ITEMS = 25_000_000  # float32: 100 MB
SMALL_ITEMS = 250
WARMING = 3  # the first blocks are written to pages that are not there yet
US = 1e6


def allreduce_gigabytes(bench: Bench) -> Measurement:
    """`allreduce` of 100 MB: bytes of the tensors of both ranks, which are read and written once each."""
    return _gigabytes(bench, "allreduce", RANKS)


def broadcast_gigabytes(bench: Bench) -> Measurement:
    """`broadcast` of 100 MB from one rank to the other: bytes that are received."""
    return _gigabytes(bench, "broadcast", 1)


def small_allreduce(bench: Bench) -> Measurement:
    """`allreduce` of 1 KB, in microseconds."""
    return Measurement(_seconds(bench, "allreduce", SMALL_ITEMS) * US)


def _gigabytes(bench: Bench, operation: str, n_tensors: int) -> Measurement:
    return Measurement(LARGE_ITEMS * 4 * n_tensors / 1e9 / _seconds(bench, operation, LARGE_ITEMS))


def _seconds(bench: Bench, operation: str, n_items: int) -> float:
    """Of one operation, for the slower rank, over the budget."""
    api = bench.api
    name = f"{api.__name__}.util.collective"
    _check(name)

    class Rank:
        def join(self, rank: int) -> None:
            import_module(name).init_collective_group(RANKS, rank, "gloo", "microbenchmark")

        def measure(self, operation: str, n_items: int, n_times: int) -> float:
            import numpy as np

            call = getattr(import_module(name), operation)
            tensor = np.zeros(n_items, np.float32)
            for _ in range(WARMING):
                call(tensor, group_name="microbenchmark")
            started = perf_counter()
            for _ in range(n_times):
                call(tensor, group_name="microbenchmark")
            return (perf_counter() - started) / n_times

    ranks: list[Any] = [bench.actor(api.remote(num_cpus=0)(Rank)) for _ in range(RANKS)]
    api.get([actor.join.remote(rank) for rank, actor in enumerate(ranks)])

    def once(n_times: int) -> float:
        seconds: list[float] = api.get([actor.measure.remote(operation, n_items, n_times) for actor in ranks])
        return max(seconds)

    return once(max(1, min(10_000, int(bench.budget_s / once(1)))))


def _check(name: str) -> None:
    try:
        collective = import_module(name)
    except ImportError as error:
        raise RowSkipped(f"no collective operations: {error}") from error
    if not getattr(collective, "gloo_available", lambda: True)():
        raise RowSkipped("its collective operations on tensors in memory need a library that is not installed")


COLLECTIVE_ROWS = (
    Row("collective allreduce gigabytes", "GB/s", allreduce_gigabytes),
    Row("collective broadcast gigabytes", "GB/s", broadcast_gigabytes),
    Row("collective allreduce 1 KB", "us", small_allreduce),
)
