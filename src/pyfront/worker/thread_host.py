# SPDX-License-Identifier: Apache-2.0
"""The host of an actor with `max_concurrency` > 1 and no async methods: calls start in order and overlap on threads.

The main thread claims a call only when a thread is free, so what waits stays in the core, where the order is kept and a
kill finds it. Threads start as they are needed.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue

from shoal._core._node import Client, Task
from shoal.task.running import Running, overlapping
from shoal.worker.actor_state import ActorState
from shoal.worker.sync_host import run_call


class ThreadHost:
    """Hands claimed calls to at most `max_concurrency` threads."""

    def __init__(self, client: Client, state: ActorState, max_concurrency: int) -> None:
        self._client = client
        self._state = state
        self._max_concurrency = max_concurrency
        self._free = threading.Semaphore(max_concurrency)
        self._n_idle = 0  # threads that wait for a call; guarded by the lock
        self._lock = threading.Lock()
        self._calls: SimpleQueue[Task] = SimpleQueue()

    def serve(self) -> None:
        """Run the actor's calls until it ends by itself, or nobody can call any more and the last call has ended."""
        waiting = self._state.wait_for_constructor(self._client)
        if waiting:
            self._run(waiting.pop(0))  # alone: nothing may run before the constructor has
        for task in waiting:
            self._free.acquire()
            self._hand_over(task)
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
            self._hand_over(claimed)

    def _hand_over(self, task: Task) -> None:
        with self._lock:
            is_thread_needed = self._n_idle == 0
            if not is_thread_needed:
                self._n_idle -= 1
        self._calls.put(task)
        if is_thread_needed:
            threading.Thread(target=self._serve_thread, name="shoal-call", daemon=True).start()

    def _serve_thread(self) -> None:
        while True:
            self._run(self._calls.get())
            if self._state.is_over:
                self._client.leave()  # the main thread may be waiting for a call
            with self._lock:
                self._n_idle += 1
            self._free.release()

    def _run(self, task: Task) -> None:
        name = self._state.name_of(task)
        overlapping.set(Running(task, name))
        try:
            run_call(self._client, self._state, task, name)
        finally:
            overlapping.set(None)
