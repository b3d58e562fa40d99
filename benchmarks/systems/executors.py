# SPDX-License-Identifier: Apache-2.0
"""concurrent.futures.ProcessPoolExecutor and loky: executors with `submit` and futures with `result`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from microbenchmark.bench import Bench
from microbenchmark.ray_like import cpu_count
from microbenchmark.row import Row

from . import functions
from .peer_rows import Verbs, peer_rows, waiting_rows

# The module and the class or function in it that makes an executor of n workers.
MAKERS = {"futures": ("concurrent.futures", "ProcessPoolExecutor"), "loky": ("loky", "get_reusable_executor")}

START_CODE = """from {module} import {maker}
def answer(): return 42
def first_result():
    return {maker}(max_workers={n_cpus}).submit(answer).result()
"""


def open_bench(key: str, budget_s: float, patience_s: float) -> Bench:
    """A bench over the executor `key` with one worker for each CPU."""
    module, maker = MAKERS[key]
    n_cpus = cpu_count()

    def start() -> tuple[Any, Callable[[], object]]:
        executor = getattr(importlib.import_module(module), maker)(max_workers=n_cpus)
        return executor, executor.shutdown

    start_code = START_CODE.format(module=module, maker=maker, n_cpus=n_cpus)
    return Bench(start, n_cpus=n_cpus, start_code=start_code, budget_s=budget_s, patience_s=patience_s)


def rows(key: str) -> tuple[Row, ...]:
    """The rows that an executor can run."""
    return peer_rows(_verbs) + waiting_rows(_verbs)


def _verbs(bench: Bench) -> Verbs:
    submit = bench.api.submit

    def results(futures: list[Any]) -> list[Any]:
        return [future.result() for future in futures]

    return Verbs(
        submit=submit,
        result=lambda future: future.result(),
        results=results,
        run_small=lambda n: results([submit(functions.small_value) for _ in range(n)]),
    )
