# SPDX-License-Identifier: Apache-2.0
"""Rows about processes: the time from nothing to a first result, and the memory of a worker that does nothing.

The start-up rows run in fresh interpreters, one per sample: in this process everything is imported already.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from .bench import Bench
from .memory import descendants_cpu_s, private_bytes
from .row import Measurement, Row, RowSkipped

# The interpreter runs the system's own start-up code between these clocks. That code must define `first_result`,
# a function of no arguments that starts the system and returns the result of one task, which is 42.
_START_UP = """
import time
started = time.perf_counter()
{imports}
imported = time.perf_counter()
{body}
begun = time.perf_counter()
assert first_result() == 42
done = time.perf_counter()
print("CLOCKS", imported - started, done - begun, time.clock_gettime(time.CLOCK_MONOTONIC), flush=True)
"""
_START_UP_LIMIT_S = 60.0
_WORKER_PROBES = 50
_SETTLE_S = 1.0
_IDLE_BUDGETS = 5  # many ticks of whatever ticks
_SHORTEST_IDLE_S = 0.5


def import_time(bench: Bench) -> Measurement:
    """Importing the package in a fresh interpreter, files in the page cache: milliseconds."""
    return _start_up(bench, 0).scaled(1e3)


def init_to_first_result(bench: Bench) -> Measurement:
    """`init()` to the result of a first task: seconds."""
    return _start_up(bench, 1)


def program_to_first_result(bench: Bench) -> Measurement:
    """The start of the interpreter to the result of a first task, as a user at a shell sees it: seconds."""
    return _start_up(bench, 2)


def memory_per_idle_worker(bench: Bench) -> Measurement:
    """Private memory of a worker that has run one small task: MB, the median over the workers."""
    api = bench.api

    def pid() -> int:
        import os
        import time

        time.sleep(0.001)  # long enough that the next task goes to another worker
        return os.getpid()

    task = api.remote(pid)
    pids = set(api.get([task.remote() for _ in range(_WORKER_PROBES)]))
    return idle_memory(pids)


def idle_cpu(bench: Bench) -> Measurement:
    """What the system's processes compute while nothing is asked of them: percent of one core, all of them together."""
    api = bench.api

    def nothing() -> None:
        """So that workers, and what they load at a first call, are there."""

    task = api.remote(nothing)
    api.get([task.remote() for _ in range(_WORKER_PROBES)])
    time.sleep(_SETTLE_S)  # start-up and spinning are over
    window_s = max(bench.budget_s * _IDLE_BUDGETS, _SHORTEST_IDLE_S)
    before, started = descendants_cpu_s(), time.perf_counter()
    time.sleep(window_s)
    return Measurement((descendants_cpu_s() - before) / (time.perf_counter() - started) * 100)


def idle_memory(pids: set[int]) -> Measurement:
    """The median private memory of the processes `pids`, in MB."""
    others = pids - {os.getpid()}
    return Measurement(statistics.median(private_bytes(pid) for pid in others) / 1e6, n=len(others))


def _start_up(bench: Bench, clock: int) -> Measurement:
    if not bench.start_code:
        raise RowSkipped("this system has no start-up")
    if bench.start_clocks is None:
        bench.start_clocks = _start_clocks(bench)
    return Measurement(bench.start_clocks[clock])


def _start_clocks(bench: Bench) -> tuple[float, float, float]:
    """Seconds for the import, for init to first result, and for the whole: medians over fresh interpreters."""
    imports, _, body = bench.start_code.partition("\n")
    code = _START_UP.format(imports=imports, body=body)
    deadline = time.perf_counter() + bench.budget_s
    samples = [_run_fresh(code)]
    while time.perf_counter() < deadline:
        samples.append(_run_fresh(code))
    imported, first, whole = zip(*samples, strict=True)
    return statistics.median(imported), statistics.median(first), statistics.median(whole)


def _run_fresh(code: str) -> tuple[float, float, float]:
    spawned = time.clock_gettime(time.CLOCK_MONOTONIC)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=_START_UP_LIMIT_S, check=False
    )
    for line in done.stdout.splitlines():
        if line.startswith("CLOCKS "):
            imported, first, clock = map(float, line.split()[1:])
            return imported, first, clock - spawned
    raise RuntimeError(f"the start-up program ended with status {done.returncode}: {done.stderr[-500:]}")


START_UP_ROWS = (
    Row("import", "ms", import_time),
    Row("init to first result", "s", init_to_first_result),
    Row("program start to first result", "s", program_to_first_result),
)

IDLE_ROWS = (
    Row("memory per idle worker", "MB", memory_per_idle_worker),
    Row("CPU of an idle node", "%", idle_cpu),
)
