# SPDX-License-Identifier: Apache-2.0
"""What the compiled client asks when a task is run again, and what it raises then."""

from __future__ import annotations

from typing import Any

import msgspec

from shoal.errors import NonDeterministicTaskError, ObjectLostError
from shoal.node_calls import NodeCalls
from shoal.protocol.earlier import CallName
from shoal.task.running import running

Call = tuple[int, int]
"""The start of a function's key, and an actor's class: `CallName`."""


class EarlierCalls:
    """The calls of earlier attempts of this process's tasks."""

    def __init__(self, calls: NodeCalls) -> None:
        self._calls = calls

    def children(self, index: int, generation: int) -> list[tuple[Any, ...]]:
        """The returns of calls that the task in this slot has made before, as tuples in the order of `EarlierCall`."""
        return [msgspec.structs.astuple(call) for call in self._calls.calls_made(index, generation)]

    def is_same(self, earlier: Call, now: Call) -> bool:
        """Whether two keys are of one function: one that is defined inside a task is pickled anew by each attempt."""
        before, after = self._calls.call_names([CallName(*earlier), CallName(*now)])
        return before != "" and before == after

    def diverged(self, place: int, earlier: Call, now: Call) -> NonDeterministicTaskError:
        """The error of an attempt that makes another call than the one before did, as its `place`-th."""
        before, after = self._calls.call_names([CallName(*earlier), CallName(*now)])
        here = running()
        name = "the task" if here is None else here.name
        attempt = 1 if here is None else here.task.attempt
        what = " (the same, but with other refs as arguments, of another actor, or with another number of returns)"
        error = NonDeterministicTaskError(
            f"attempt {attempt + 1} of {name} diverged: its call number {place} is {after or 'a task'}, where an "
            f"earlier one had called {before or 'a task'}{what if before == after else ''}. A task that is run again "
            "must make the same calls in the same order, or results and calls of actors would be mixed up: let it not "
            "depend on time, on chance or on which ref is ready first, or give it max_retries=0"
        )
        error.task_name, error.earlier_call, error.call = name, before, after
        return error

    def gone(self, call: Call) -> bytes:
        """As the bytes of an error: an actor's call was made before, and its result is gone."""
        from shoal.serialization.failure import encode_error

        return encode_error(ObjectLostError(_gone_text(self._name(call)))).data

    def lost_stream(self, call: Call) -> ObjectLostError:
        """The error of a method's generator: its items went to the attempt that made the call."""
        return ObjectLostError(_gone_text(self._name(call)))

    def _name(self, call: Call) -> str:
        return self._calls.call_names([CallName(*call)])[0] or "a method"


def _gone_text(name: str) -> str:
    here = running()
    task = "this task" if here is None else here.name
    return (
        f"{name} was called by an earlier attempt of {task} and is not called again, but its result is gone: "
        "large results are kept up to 16 MiB, and none that hold refs; give the method max_task_retries=1 if it may be "
        "called again, or the task max_retries=0"
    )
