# SPDX-License-Identifier: Apache-2.0
"""An actor's checkpoints: when they are taken, and how a restarted actor gets its state back.

docs/design/034-calls-after-a-checkpoint.md; the calls in between are the core's (node/call_log.h).
"""

from __future__ import annotations

import sys
from contextlib import suppress

from shoal._core._node import RETURNS_DYNAMIC, CallLog, Client, Task
from shoal.errors import NonDeterministicTaskError, ObjectStoreFullError
from shoal.node_calls import NodeCalls
from shoal.task.running import last_call
from shoal.worker.actor_state import ActorState
from shoal.worker.items import iterator_of
from shoal.worker.outcome import let_go, several


class Checkpoints:
    """Those of the actor in this process. `every`: calls from one to the next."""

    def __init__(self, client: Client, calls: NodeCalls, class_id: int, every: int) -> None:
        self._client = client
        self._calls = calls
        self._class_id = class_id
        self._every = every
        self._pause_until = 0
        self._log: CallLog | None = None

    @property
    def log(self) -> CallLog:
        """The calls since the last checkpoint. Made before the first call is claimed."""
        if self._log is None:
            self._log = CallLog(self._client)
        return self._log

    def resume(self, state: ActorState) -> None:
        """The constructor has run again: go back to the last checkpoint and repeat the calls after it.

        Raises what `restore` raises, and NonDeterministicTaskError for a call that ends otherwise than before."""
        found = self._calls.take_checkpoint(self._class_id)
        log = self._log = CallLog(self._client, 0 if found is None else found.position)
        if found is not None:
            ref = self._client.adopt(found.index, found.generation)
            state.instance.restore(log.state(ref))
        for i in range(len(log)):
            if self._client.should_exit:
                return
            self._repeat(state, log, log[i])
        if not log.is_kept:  # this is the last process there may be
            log.cut(log.position)

    def after_call(self, state: ActorState) -> None:
        """Take a checkpoint if one is due."""
        log = self.log
        if not log.is_due(self._every) or state.is_over or len(log) < self._pause_until:
            return
        try:
            ref = self._client.put(state.instance.checkpoint())
            self._client.share(ref)
            self._calls.save_checkpoint(self._class_id, ref, log.position)
        except ObjectStoreFullError as error:
            self._pause_until = len(log) + self._every
            print(
                f"shoal: no room for a checkpoint of actor {state.class_name}, its calls are kept until the next one: "
                f"{error}",
                file=sys.stderr,
            )
            return
        except BaseException as error:
            state.checkpoint_failed(error)
            return
        self._pause_until = 0
        log.cut(log.position)

    def _repeat(self, state: ActorState, log: CallLog, task: Task) -> None:
        failure: BaseException | None = None
        last_call.task, last_call.name, last_call.is_replayed = task, state.name_of(task), True
        self._client.set_current(task)
        try:
            method = state.target(task)
            args, kwargs = task.load()
            try:
                _take(task, last_call.name, method(*args, **kwargs))
            except BaseException as error:
                failure = error
        finally:
            self._client.set_current(None)
            last_call.task, last_call.is_replayed = None, False
        if (failure is not None) != log.has_raised(task):
            raise _diverged(state.name_of(task), failure) from failure
        if failure is not None:
            let_go(failure)


def _take(task: Task, name: str, value: object) -> None:
    """What was taken of a method's value the first time: it may be lazy, and change the actor's state."""
    if task.num_returns == RETURNS_DYNAMIC:
        with suppress(Exception):  # an error was the last of its items
            for _ in iterator_of(name, value):
                pass
    elif task.num_returns > 1:
        several(name, value, task.num_returns)


def _diverged(name: str, failure: BaseException | None) -> NonDeterministicTaskError:
    now = "returns" if failure is None else f"raises {type(failure).__name__}"
    before = "raised an error" if failure is None else "had returned"
    error = NonDeterministicTaskError(
        f"{name} {before} before its actor was restarted, and {now} when it is run again to bring the actor's state "
        "back: calls after a checkpoint must come to the same, given the same state and arguments. What depends on "
        "time, on chance or on something outside of the actor can be left out if "
        "get_runtime_context().is_replaying, or use checkpoint_every=1"
    )
    error.task_name = error.earlier_call = error.call = name
    return error
