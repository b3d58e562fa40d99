# SPDX-License-Identifier: Apache-2.0
"""The host of an actor with `max_concurrency` > 1 and no async methods: calls start in order and overlap on threads.

The main thread claims a call only when a thread is free, so what waits stays in the core, where the order is kept and a
kill finds it.
"""

from __future__ import annotations

import threading

from shoal._core._node import Client, Task
from shoal.worker.actor_state import ActorState
from shoal.worker.call_threads import CallThreads, construct, run_overlapping


class ThreadHost:
    """Hands claimed calls to at most `max_concurrency` threads."""

    def __init__(self, client: Client, state: ActorState, max_concurrency: int) -> None:
        self._client = client
        self._state = state
        self._max_concurrency = max_concurrency
        self._free = threading.Semaphore(max_concurrency)
        self._threads = CallThreads(max_concurrency, self._run)

    def serve(self) -> None:
        """Run the actor's calls until it ends by itself, or nobody can call any more and the last call has ended."""
        for task in construct(self._client, self._state):
            self._free.acquire()
            self._threads.hand_over(task)
        while True:
            self._free.acquire()
            claimed = None
            while claimed is None:
                if self._state.is_over:
                    return
                if self._client.should_exit:
                    for _ in range(self._max_concurrency - 1):
                        self._free.acquire()
                    return
                claimed = self._client.next_task()
            if self._state.is_over:
                return  # the call was claimed but will not run: it fails with the actor's end
            self._threads.hand_over(claimed)

    def _run(self, task: Task) -> None:
        run_overlapping(self._client, self._state, task)
        if self._state.is_over:
            self._client.leave()  # the main thread may be waiting for a call
        self._free.release()
