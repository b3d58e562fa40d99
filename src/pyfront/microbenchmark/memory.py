# SPDX-License-Identifier: Apache-2.0
"""Memory of a process, and of this process with all its descendants; and the CPU time of the descendants.

Only the private and the proportional sizes are used: resident size counts a shared page once in every process.
"""

from __future__ import annotations

from contextlib import suppress
from glob import glob

import psutil


def private_bytes(pid: int) -> int:
    """Pages that only process `pid` has: the cost of one more of its kind. psutil.NoSuchProcess if it is gone."""
    return int(psutil.Process(pid).memory_full_info().uss)


def descendants_cpu_s() -> float:
    """Seconds that all living descendants of this process have computed, to the nanosecond and thread by thread.

    `times` counts in ticks of 10 ms, of which an idle process has none for long.
    """
    total = 0
    for process in psutil.Process().children(recursive=True):
        for path in glob(f"/proc/{process.pid}/task/*/schedstat"):
            with suppress(OSError), open(path) as file:  # the thread ended after it was listed
                total += int(file.read().split()[0])
    return total / 1e9


def tree_pss_bytes() -> int:
    """Proportional memory of this process and its descendants; a page shared by n processes counts 1/n in each."""
    me = psutil.Process()
    total = 0
    for process in (me, *me.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it ended after it was listed
            total += process.memory_full_info().pss
    return total
