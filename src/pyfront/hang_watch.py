# SPDX-License-Identifier: Apache-2.0
"""When a node hangs: a driver waits, and for long no call of its job has begun or ended and no process has computed.

Looked at by the waiting thread itself, at the times when its wait is looked into (`stuck`); for awaits by the event
loop, and for futures by the thread that settles them (`asyncio_bridge`). A driver that does not wait is not watched,
and who computes is no hang, however long it takes.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple, Protocol

from shoal._core import _node as core
from shoal._core._node import Client, Survey
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
    """Finds once that nothing moves, and again only after something has. Pure."""

    def __init__(self, after_s: float) -> None:
        self._after_ns = int(after_s * 1e9)
        self._last: Sight | None = None
        self._still_since_ns = 0
        self._is_told = False

    def take(self, sight: Sight, waits_since_ns: int) -> float | None:
        """What was seen during a wait -> for how many seconds nothing has moved, if that is to be told."""
        if self._last is None or has_moved(self._last, sight):
            self._still_since_ns = sight.at_ns
            self._is_told = False
        self._last = sight
        since_ns = max(self._still_since_ns, waits_since_ns)
        if self._is_told or sight.at_ns - since_ns < self._after_ns:
            return None
        self._is_told = True
        return (sight.at_ns - since_ns) / 1e9


class Watch(Protocol):
    """What a driver's long waits call: one that began at `since_ns` goes on. `is_apart`: the caller runs others' code
    too, an event loop say, and must not be held up by what is told."""

    def __call__(self, since_ns: int, *, is_apart: bool = False) -> None: ...


def watch_of(client: Client, after_s: float, tell: Callable[[float], None]) -> Watch:
    """The watch of a driver: `tell` is called with the seconds for which nothing has moved."""
    watch = HangWatch(after_s)

    def look(since_ns: int, *, is_apart: bool = False) -> None:
        still_s = watch.take(sight_of(Survey(client), client.index), since_ns)
        if still_s is None:
            return
        if is_apart:
            threading.Thread(target=tell, args=(still_s,), name="shoal-hang-report", daemon=True).start()
        else:
            tell(still_s)

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
