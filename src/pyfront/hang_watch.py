# SPDX-License-Identifier: Apache-2.0
"""When a node hangs: a driver waits, and for long no call of its job has begun or ended and no process has computed.

Looked at by the waiting thread itself, at the times when its wait is looked into (`stuck`). A driver that does not wait
is not watched, and who computes is no hang, however long it takes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from shoal._core import _node as core
from shoal._core._node import Client, Survey, Wait
from shoal.task.records import ClientRecord

COMPUTES = 0.02  # of a CPU: what polls now and then, or collects garbage, uses less
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Sight(NamedTuple):
    """What moves, at one moment."""

    at_ns: int
    calls: Mapping[int, tuple[int, int, int]]  # of the job's processes: submitted, completed, begun when
    cpu_s: Mapping[int, float]  # by pid


def has_moved(before: Sight, now: Sight) -> bool:
    """Whether a call has begun or ended in between, or a process has computed."""
    if before.calls != now.calls or before.cpu_s.keys() != now.cpu_s.keys():
        return True
    enough_s = COMPUTES * (now.at_ns - before.at_ns) / 1e9
    return any(now.cpu_s[pid] - before.cpu_s[pid] > enough_s for pid in now.cpu_s)


class HangWatch:
    """Tells once that nothing moves, and again only after something has."""

    def __init__(self, after_s: float, tell: Callable[[float], None]) -> None:
        self._after_ns = int(after_s * 1e9)
        self._tell = tell
        self._last: Sight | None = None
        self._still_since_ns = 0
        self._is_told = False

    def take(self, sight: Sight, waits_since_ns: int) -> None:
        """What was seen during a wait."""
        if self._last is None or has_moved(self._last, sight):
            self._still_since_ns = sight.at_ns
            self._is_told = False
        self._last = sight
        since_ns = max(self._still_since_ns, waits_since_ns)
        if not self._is_told and sight.at_ns - since_ns >= self._after_ns:
            self._is_told = True
            self._tell((sight.at_ns - since_ns) / 1e9)


def watcher(client: Client, watch: HangWatch) -> Callable[[Wait], None]:
    """What a driver's long waits call."""

    def look(wait: Wait) -> None:
        watch.take(sight_of(Survey(client), client.index), wait.began_ns)

    return look


def sight_of(survey: Survey, me: int) -> Sight:
    """What moves now, on the node of client `me` and in its job."""
    clients = [ClientRecord(*row) for row in survey.clients()]
    root = next((client.root for client in clients if client.client == me), 0)
    return Sight(
        survey.now_ns,
        {c.client: (c.submitted, c.completed, c.since_ns) for c in clients if c.root == root},
        {c.pid: cpu_s(c.pid) for c in clients if c.role != core.ROLE_DAEMON},
    )


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used; 0 if it is gone."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S  # utime and stime, counted from the state
    return 0.0
