# SPDX-License-Identifier: Apache-2.0
"""The threads of an actor whose calls overlap: they start as they are needed, and stay."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from shoal._core._node import Client, Task
from shoal.task.running import Running, overlapping
from shoal.worker.actor_state import ActorState
from shoal.worker.sync_host import run_call


class CallThreads:
    """At most `limit` threads, each of which runs `run` on one call after another.

    One thread hands over, never more calls than `limit` that have not ended.
    """

    def __init__(self, limit: int, run: Callable[[Task], None]) -> None:
        self._limit = limit
        self._run = run
        self._n_threads = 0
        self._n_idle = 0  # those that wait for a call; guarded by the lock
        self._lock = threading.Lock()
        self._calls: SimpleQueue[Task] = SimpleQueue()

    def hand_over(self, task: Task) -> None:
        """Let a thread run the call; never waits."""
        with self._lock:
            is_one_idle = self._n_idle > 0
            self._n_idle -= is_one_idle
        self._calls.put(task)
        # With all of them there one is about to be idle: its last call has ended, or this one would not be here.
        if not is_one_idle and self._n_threads < self._limit:
            self._n_threads += 1
            threading.Thread(target=self._serve, name="shoal-call", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._run(self._calls.get())
            with self._lock:
                self._n_idle += 1


def run_overlapping(client: Client, state: ActorState, task: Task) -> None:
    """Run one call on this thread, beside others."""
    name = state.name_of(task)
    overlapping.set(Running(task, name))
    try:
        run_call(client, state, task, name)
    finally:
        overlapping.set(None)


def construct(client: Client, state: ActorState) -> list[Task]:
    """Have the constructor run, alone: nothing may run before it has -> calls that came earlier."""
    waiting = state.wait_for_constructor(client)
    if waiting:
        run_overlapping(client, state, waiting.pop(0))
    return waiting
