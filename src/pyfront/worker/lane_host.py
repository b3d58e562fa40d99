# SPDX-License-Identifier: Apache-2.0
"""The host of an actor with concurrency groups and no async methods: each group has threads of its own number.

The main thread claims whatever comes, for a call of a busy group must not hold up those of another. So calls that wait
for their group are claimed already: if the process dies, they were in flight.
"""

from __future__ import annotations

import threading

from shoal._core._node import Client, Task
from shoal.worker.actor_state import ActorState
from shoal.worker.call_threads import CallThreads, construct, run_overlapping
from shoal.worker.lanes import Lanes


class LaneHost:
    """Runs claimed calls on threads, as many at a time as their groups allow."""

    def __init__(self, client: Client, state: ActorState, lanes: Lanes) -> None:
        self._client = client
        self._state = state
        self._lanes = lanes  # guarded by the lock, like the counts
        self._lock = threading.Condition()
        self._n_open = 0  # calls claimed and not ended
        self._threads = CallThreads(lanes.width, self._run)

    def serve(self) -> None:
        """Run the actor's calls until it ends by itself, or nobody can call any more and the last call has ended."""
        for early in construct(self._client, self._state):
            self._take(early)
        while not self._state.is_over:
            task = self._client.next_task()
            if task is not None:
                self._take(task)
                del task  # the next claim may wait long: hold nothing meanwhile
            elif self._client.should_exit:
                with self._lock:
                    self._lock.wait_for(lambda: self._state.is_over or self._n_open == 0)
                return

    def _take(self, task: Task) -> None:
        if self._state.is_over:
            return  # the call was claimed but will not run: it fails with the actor's end
        with self._lock:
            self._n_open += 1
            if not self._lanes.enter(self._state.group_of(task), task):
                return
        self._threads.hand_over(task)

    def _run(self, first: Task) -> None:
        """The call, and after it those of its group that waited for it."""
        task: Task | None = first
        while task is not None:
            group = self._state.group_of(task)
            is_cancelled = self._client.is_ending(task) and self._client.surrender(task)
            if not is_cancelled:  # while it waited for its group
                run_overlapping(self._client, self._state, task)
            with self._lock:
                task = None if self._state.is_over else self._lanes.leave(group)
                self._n_open -= 1
                self._lock.notify_all()
        if self._state.is_over:
            self._client.leave()  # the main thread may be waiting for a call
