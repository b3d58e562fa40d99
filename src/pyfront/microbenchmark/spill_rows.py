# SPDX-License-Identifier: Apache-2.0
"""Rows about a store that is too small: five times its size in live arrays, written once and read once, values checked.

Each system runs the program in a fresh interpreter of its own, with a store of 256 MiB and its default disk.
"""

from __future__ import annotations

import subprocess
import sys

from .bench import Bench
from .row import Measurement, Row, RowSkipped

STORE_BYTES = 256 << 20
TIMES = 5
_ARRAY_BYTES = 16 << 20
_LIMIT_S = 180.0
_PROGRAM = """
import time
import numpy as np
{start}
n = {times} * {store_bytes} // {array_bytes}
api.get(api.put(1))
begun = time.perf_counter()
refs = []
for i in range(n):
    refs.append(api.put(np.full({array_bytes} // 8, i)))
written = time.perf_counter()
for i in range(n):
    array = api.get(refs[i])
    assert array[0] == array[-1] == i
    del array
read = time.perf_counter()
print("SPILLED", n * {array_bytes} / 1e9 / (written - begun), n * {array_bytes} / 1e9 / (read - written), flush=True)
"""


def spilled_put(bench: Bench) -> Measurement:
    """`put` of 16 MiB arrays, five times the store in all: GB/s, the making of the arrays included."""
    return Measurement(_rates(bench)[0])


def spilled_get(bench: Bench) -> Measurement:
    """`get` of all of them in the order in which they were put, which is the worst one: GB/s."""
    return Measurement(_rates(bench)[1])


def _rates(bench: Bench) -> tuple[float, float]:
    if not bench.small_store_code:
        raise RowSkipped("this system has no object store")
    if bench.spill_rates is None:
        bench.spill_rates = _run(bench.small_store_code)
    return bench.spill_rates


def _run(start: str) -> tuple[float, float]:
    code = _PROGRAM.format(start=start, times=TIMES, store_bytes=STORE_BYTES, array_bytes=_ARRAY_BYTES)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("SPILLED "):
            put, get = map(float, line.split()[1:])
            return put, get
    raise RuntimeError(f"the program ended with status {done.returncode}: {done.stderr[-500:]}")


SPILL_ROWS = (
    Row("spilled put gigabytes", "GB/s", spilled_put),
    Row("spilled get gigabytes", "GB/s", spilled_get),
)
