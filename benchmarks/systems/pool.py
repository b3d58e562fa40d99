# SPDX-License-Identifier: Apache-2.0
"""multiprocessing.Pool: `apply` is its synchronous call, `map` in chunks of one its fastest for small tasks."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from typing import Any

from microbenchmark.bench import Bench
from microbenchmark.ray_like import cpu_count
from microbenchmark.row import Row

from . import functions
from .peer_rows import Verbs, peer_rows, waiting_rows

START_CODE = """import multiprocessing
def answer(): return 42
def first_result():
    return multiprocessing.Pool({n_cpus}).apply(answer)
"""


def open_bench(key: str, budget_s: float, patience_s: float) -> Bench:
    """A bench over a pool with one worker for each CPU."""
    n_cpus = cpu_count()

    def start() -> tuple[Any, Callable[[], object]]:
        pool = multiprocessing.Pool(n_cpus)
        return pool, pool.terminate

    return Bench(
        start, n_cpus=n_cpus, start_code=START_CODE.format(n_cpus=n_cpus), budget_s=budget_s, patience_s=patience_s
    )


def rows(key: str) -> tuple[Row, ...]:
    """The rows that a pool can run."""
    return peer_rows(_verbs) + waiting_rows(_verbs)


def _verbs(bench: Bench) -> Verbs:
    pool = bench.api

    def submit(function: Callable[..., Any], *args: Any) -> Any:
        return pool.apply_async(function, args)

    return Verbs(
        submit=submit,
        result=lambda handle: handle.get(),
        results=lambda handles: [handle.get() for handle in handles],
        run_small=lambda n: pool.map(functions.small_value_of, range(n), chunksize=1),
    )
