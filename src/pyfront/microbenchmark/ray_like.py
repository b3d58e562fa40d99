# SPDX-License-Identifier: Apache-2.0
"""Starting a system that speaks Ray's API, Shoal itself or Ray, with one worker for each CPU."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any

from .bench import DEFAULT_BUDGET_S, DEFAULT_PATIENCE_S, Bench
from .spill_rows import STORE_BYTES

_START_CODE = """import {module} as api
def answer(): return 42
def first_result():
    api.init(num_cpus={n_cpus}{options})
    return api.get(api.remote(answer).remote())
"""
_SMALL_STORE_CODE = """import {module} as api
api.init(num_cpus={n_cpus}, object_store_memory={store_bytes}{options})"""


def cpu_count() -> int:
    """The CPUs that this process may run on."""
    return len(os.sched_getaffinity(0))


def ray_like_bench(
    module: str, *, budget_s: float = DEFAULT_BUDGET_S, patience_s: float = DEFAULT_PATIENCE_S, **options: Any
) -> Bench:
    """A `Bench` over the importable `module`; `options` are further arguments of its `init`."""
    n_cpus = cpu_count()

    def start() -> tuple[Any, Callable[[], object]]:
        api = importlib.import_module(module)
        api.init(num_cpus=n_cpus, **options)
        return api, api.shutdown

    rest = "".join(f", {name}={value!r}" for name, value in options.items())
    start_code = _START_CODE.format(module=module, n_cpus=n_cpus, options=rest)
    small_store_code = _SMALL_STORE_CODE.format(module=module, n_cpus=n_cpus, store_bytes=STORE_BYTES, options=rest)
    return Bench(
        start,
        n_cpus=n_cpus,
        start_code=start_code,
        small_store_code=small_store_code,
        budget_s=budget_s,
        patience_s=patience_s,
    )
