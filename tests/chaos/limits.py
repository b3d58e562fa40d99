# SPDX-License-Identifier: Apache-2.0
"""Bounds in time that hold on a machine with other work too: stretched by what it has to do now.

Two things make everything take longer. Others want the cores: told by the load of the last minute, and, since that
knows nothing yet of a neighbour who has just begun, by the threads that can run at this moment; the more of both
counts. And a hypervisor gives the cores to other machines, of which no load tells: the kernel counts the time stolen.
On an idle machine a bound is itself.
"""

import os

SPARE = 1.5  # threads are not shared out evenly: some wait longer than the mean
MOST_STOLEN = 0.9
WINDOW_TICKS = 100  # what was stolen is looked at over so many ticks of all cores at least: a second of one core
STEAL = 7  # the place of the stolen ticks in the first line of /proc/stat, after its name

_seen = (0, 0)  # ticks of all cores when last looked at, and those stolen
_stolen = 0.0  # the share of them stolen since the look before


def stretch() -> float:
    """How much longer than on an idle machine something may take."""
    n_running = _look()
    wanted = max(os.getloadavg()[0], n_running) / (os.cpu_count() or 1)
    return max(1.0, SPARE * wanted) / (1.0 - _stolen)


def within(limit_s: float) -> float:
    """A limit for an idle machine -> the limit now, in seconds."""
    return limit_s * stretch()


def _look() -> int:
    """Note what was stolen since the last look -> how many threads run or could."""
    global _seen, _stolen
    with open("/proc/stat") as file:
        lines = file.read().splitlines()
    ticks = [int(field) for field in lines[0].split()[1 : STEAL + 2]]
    total, stolen = sum(ticks), ticks[STEAL]
    if total - _seen[0] >= WINDOW_TICKS:
        _stolen = min(MOST_STOLEN, (stolen - _seen[1]) / (total - _seen[0])) if _seen[0] else 0.0
        _seen = total, stolen
    return next(int(line.split()[1]) for line in lines if line.startswith("procs_running"))


_look()  # from here on
