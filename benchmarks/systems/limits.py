# SPDX-License-Identifier: Apache-2.0
"""The machine's limits as a system of their own, measured between the others in every round."""

from __future__ import annotations

from collections.abc import Callable

from microbenchmark.bench import Bench
from microbenchmark.ray_like import cpu_count
from microbenchmark.row import Measurement, Row

from limits.disk import Disk, spill_folder
from limits.memcpy import ARRAY_BYTES, SharedCopy
from limits.ring import IN_FLIGHT, RingPair


def open_bench(key: str, budget_s: float, patience_s: float) -> Bench:
    """A bench without a system: each row makes what it needs."""
    return Bench(lambda: (None, lambda: None), n_cpus=cpu_count(), budget_s=budget_s, patience_s=patience_s)


def rows(key: str) -> tuple[Row, ...]:
    """The limits, under the names that `harness.rows` ties to the rows of the systems."""
    return (
        Row("bare ring, spinning, synchronous", "calls/s", _ring(parks=False, is_pipelined=False)),
        Row("bare ring, spinning, pipelined", "calls/s", _ring(parks=False, is_pipelined=True)),
        Row("bare ring, parked, synchronous", "calls/s", _ring(parks=True, is_pipelined=False)),
        Row("bare ring, parked, pipelined", "calls/s", _ring(parks=True, is_pipelined=True)),
        Row("memcpy, one thread", "GB/s", _memcpy(1)),
        Row("memcpy, two threads", "GB/s", _memcpy(2)),
        Row("disk, direct writes", "GB/s", _disk_write),
        Row("disk, direct reads", "GB/s", _disk_read),
    )


def _disk_write(bench: Bench) -> Measurement:
    disk = Disk(spill_folder())
    try:
        return Measurement(disk.write())
    finally:
        disk.close()


def _disk_read(bench: Bench) -> Measurement:
    disk = Disk(spill_folder())
    try:
        disk.write()
        return Measurement(disk.read())
    finally:
        disk.close()


def _ring(*, parks: bool, is_pipelined: bool) -> Callable[[Bench], Measurement]:
    def measure(bench: Bench) -> Measurement:
        pair = RingPair(parks=parks)
        try:
            return bench.rate(pair.call_many, items=IN_FLIGHT) if is_pipelined else bench.rate(pair.call)
        finally:
            pair.close()

    return measure


def _memcpy(n_threads: int) -> Callable[[Bench], Measurement]:
    def measure(bench: Bench) -> Measurement:
        shared = SharedCopy()
        try:
            rate = bench.rate(lambda: shared.copy(n_threads), items=ARRAY_BYTES / 1e9)
        finally:
            shared.close()
        return rate.scaled(1, shared.pages)

    return measure
