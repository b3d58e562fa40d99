# SPDX-License-Identifier: Apache-2.0
"""The selector of an async actor's event loop: it looks for calls and results itself before the loop sleeps.

A sleeping loop is woken by two threads in a row, the core's listener and its own, each a wake by the kernel: 50 to
150 us. So after news the loop looks on for as long as an idle process of the core spins, if a core is free for it, and
looks at its sockets in between; only then it arms the eventfd and sleeps. A loop that only timers and sockets keep busy
does not spin.

A loop that never sleeps looks in each turn, which costs no system call, and at its sockets every 50 us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from selectors import EpollSelector, SelectorKey
from time import monotonic_ns
from typing import Any

from shoal.asyncio_bridge import Bridge

SPIN_NS = 150_000  # as SH_SPIN_NS in node/idle.h
SOCKETS_NS = 50_000

Events = list[tuple[SelectorKey, int]]


class LoopSelector(EpollSelector):
    """Has the bridge take the core's news, besides reporting events of descriptors."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge
        self._is_hot = True  # there was news since the last sleep
        self._looked_ns = 0  # at the sockets

    def select(self, timeout: float | None = None) -> Events:
        """Events of sockets; waits at most `timeout` seconds (None: no limit), and not while the core has news."""
        bridge = self._bridge
        fd = bridge.fd
        if fd is None:
            return super().select(timeout)
        if bridge.look():
            self._is_hot = True
            return self._sockets()
        if timeout is not None and timeout <= 0:
            return self._sockets()
        if self._is_hot:
            self._is_hot = False
            started_ns = monotonic_ns()
            found = self._spin(started_ns + (SPIN_NS if timeout is None else min(SPIN_NS, int(timeout * 1e9))))
            if found is not None:
                return found
            if timeout is not None:
                timeout = max(0.0, timeout - (monotonic_ns() - started_ns) / 1e9)
        if bridge.arm():
            return []
        ready = super().select(timeout)
        bridge.awake()
        self._is_hot = any(key.fd == fd for key, _ in ready)
        return ready

    def _spin(self, end_ns: int) -> Events | None:
        """Look on until `end_ns`. What came; None: nothing did, so sleep."""
        while True:
            has_news = self._bridge.spin()
            if has_news or self._bridge.look():
                self._is_hot = True
                return []
            ready = super().select(0)
            if ready:
                return ready
            if has_news is None or monotonic_ns() >= end_ns:
                return None

    def _sockets(self) -> Events:
        now_ns = monotonic_ns()
        if now_ns - self._looked_ns < SOCKETS_NS:
            return []
        self._looked_ns = now_ns
        return super().select(0)


def run_loop(bridge: Bridge, main: Coroutine[Any, Any, None]) -> None:
    """What `asyncio.run(main)` does, on a loop that looks for the bridge's news."""
    loop = asyncio.SelectorEventLoop(LoopSelector(bridge))
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        asyncio.set_event_loop(None)
        loop.close()
