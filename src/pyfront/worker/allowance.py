# SPDX-License-Identifier: Apache-2.0
"""How much memory this process may hold while a call with `memory=` runs in it, or for good if it is an actor.

Two bounds. The kernel refuses address space far beyond the limit (RLIMIT_DATA): a burst of allocations then ends in a
MemoryError before any page is touched. The daemon measures what is really held, and ends the process; for that the
bound is published in the segment. The first leaves room for what is reserved but never touched, like stacks of threads.
"""

from __future__ import annotations

import resource

from shoal._core._node import Client
from shoal.errors import OutOfMemoryError, ShoalError
from shoal.memory import MIB, Meter, show, show_node

HEADROOM_BYTES = 256 * MIB  # of address space beyond the limit, or as much again as the limit if that is more


class Allowance:
    """The bounds of one process. Not nested: what runs inside a limited call belongs to that call."""

    def __init__(self, client: Client, meter: Meter) -> None:
        self._client = client
        self._meter = meter
        self._first_bytes: int | None = (
            None  # held when the first limit began: to measure costs, and most never have one
        )
        self._usual, self._hard = resource.getrlimit(resource.RLIMIT_DATA)
        self._baseline = 0
        self._limit = 0
        self._bound = self._usual

    def begin(self, limit: int) -> None:
        """From now on `limit` bytes may be held beyond what is held already."""
        self._limit = limit
        self._baseline = self._meter.private()
        if self._first_bytes is None:
            self._first_bytes = self._baseline
        bound = self._meter.data() + limit + max(limit, HEADROOM_BYTES)
        self._bound = min([bound, *(old for old in (self._usual, self._hard) if old != resource.RLIM_INFINITY)])
        self._client.allow(self._baseline, self._baseline + limit)
        self.enforce()

    def end(self) -> bool:
        """No bounds any more -> whether the process has kept so much that it had better make room for a new one."""
        self.lift()
        self._client.allow(0, 0)
        return self._meter.private() - (self._first_bytes or 0) > self._limit

    def enforce(self) -> None:
        """Have the kernel refuse what is out of bounds."""
        resource.setrlimit(resource.RLIMIT_DATA, (self._bound, self._hard))

    def lift(self) -> None:
        """Let the worker allocate what it needs to hand an error over."""
        resource.setrlimit(resource.RLIMIT_DATA, (self._usual, self._hard))

    def explain(self, error: BaseException, name: str) -> BaseException:
        """What a call's error is to be told as: a refused allocation names the limit. Lifts the kernel's bound."""
        self.lift()
        if not isinstance(error, MemoryError) or isinstance(error, ShoalError):
            return error
        held = max(0, self._meter.private() - self._baseline)
        state = show_node(self._meter.node())
        refused = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        told = OutOfMemoryError(
            f"{name} asked for more memory than it may have: it held {show(held)} of its {show(self._limit)} "
            f"(memory={self._limit}), and was refused more ({refused}); give it more with memory=..., or let it take "
            f"less at a time; the node then: {state}"
        )
        told.task_name = name
        told.peak_bytes = held
        told.limit_bytes = self._limit
        told.node_state = state
        return told.with_traceback(error.__traceback__)
