# SPDX-License-Identifier: Apache-2.0
"""What a call came to, handed to the core: its returns, its error, or the error of one of its arguments."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from functools import partial
from traceback import clear_frames
from types import CodeType

from shoal._core._node import RETURNS_DYNAMIC, Client, Task
from shoal._core.status import ArgumentError
from shoal.errors import ObjectStoreFullError, SerializationError
from shoal.serialization.blame import explain_value
from shoal.serialization.failure import NO_ROOM, Payload, encode_error, encode_task_error
from shoal.worker.items import DELIVERING, send


class Outcomes:
    """Seals the outcomes of one process's tasks."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._finish = client.finish
        self._fail = client.fail
        self._surrender = client.surrender
        self._pid = os.getpid()
        self._node = node

    def returned(self, task: Task, name: str, value: object) -> None:
        """Seal the value of a call. Raises ValueError for a wrong number of returns, and what encoding raises."""
        if task.num_returns == 1:
            values: Sequence[object] = (value,)
        elif task.num_returns >= RETURNS_DYNAMIC:
            send(self._client, task, name, value, partial(self.payload, name))
            return
        else:
            values = several(name, value, task.num_returns)
        try:
            self._finish(task, values)
        except SerializationError as error:
            raise explain_value(value, error) from error.__cause__

    def raised(self, task: Task, name: str, error: BaseException, own_frames: int) -> None:
        """Seal an error of user code, or leave it to the daemon to resolve a task that was to be ended.

        `own_frames`: outermost frames of the traceback that are the worker's."""
        if not self._surrender(task):
            self.failed(task, self.payload(name, error, own_frames))
        let_go(error)

    def repeat_here(self, task: Task) -> bool:
        """Whether an actor's call that has raised has another attempt; then `task` is that one."""
        return self._client.repeat_here(task)

    def payload(self, name: str, error: BaseException, own_frames: int, *, is_on_its_own: bool = False) -> Payload:
        """An error of user code as bytes and refs; `is_on_its_own`: as bytes alone."""
        if isinstance(error, ArgumentError):
            return encode_error(error.error)  # the call did not run: its argument's error is its own
        while _frame_code(error, own_frames) in DELIVERING:
            own_frames += 1
        return encode_task_error(
            error,
            task_name=name,
            pid=self._pid,
            node=self._node,
            own_frames=own_frames,
            is_on_its_own=is_on_its_own,
        )

    def failed(self, task: Task, payload: Payload) -> None:
        """Seal an error that is bytes already."""
        try:
            self._fail(task, *payload)
        except ObjectStoreFullError:
            self._fail(task, *NO_ROOM)


def _frame_code(error: BaseException, nth: int) -> CodeType | None:
    frames = error.__traceback__
    for _ in range(nth):
        frames = frames and frames.tb_next
    return frames.tb_frame.f_code if frames else None


def let_go(error: BaseException) -> None:
    """Empty the frames that an error came through, once it is sealed.

    A frame that holds the error it raised is a cycle. It would keep what the call referred to until this process next
    collects garbage, and an idle worker never does."""
    seen: set[int] = set()
    rest: list[BaseException | None] = [error]
    while rest:
        at = rest.pop()
        if at is not None and id(at) not in seen:
            seen.add(id(at))
            clear_frames(at.__traceback__)
            rest += [at.__cause__, at.__context__]


def several(name: str, value: object, num_returns: int) -> Sequence[object]:
    """The returns of a call that declares another number than one. Raises ValueError if it did not return as many."""
    if num_returns == 0:
        return ()
    if isinstance(value, (list, tuple)):
        values: Sequence[object] = value
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        values = list(value)
    else:
        raise ValueError(f"{name} declares num_returns={num_returns} but returned one {type(value).__name__}")
    if len(values) != num_returns:
        raise ValueError(f"{name} declares num_returns={num_returns} but returned {len(values)} values")
    return values


DELIVERING.add(Outcomes.returned.__code__)
