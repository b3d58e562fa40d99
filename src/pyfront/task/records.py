# SPDX-License-Identifier: Apache-2.0
"""Records of a node's segment as `Survey` reads them, with names for their parts.

Things are named by numbers (index and generation packed; 0 is none). Each record was true at an instant of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from shoal._core import _node as core


class TaskRecord(NamedTuple):
    """A task that waits or runs."""

    slot: int
    state: int  # TASK_*
    who: int  # the client that has it, from CLAIMED on; before, its class
    class_id: int
    submitter: int
    depth: int
    flags: int  # SLOT_*
    attempt: int
    max_retries: int
    root: int
    n_returns: int
    n_deps: int
    awaits: int  # the object that it waits for
    id: bytes
    parent: bytes
    function: bytes
    spec_bytes: int

    @property
    def is_actor_call(self) -> bool:
        """Whether an actor runs it, its constructor included."""
        return bool(self.flags & core.SLOT_ACTOR_CALL)

    @property
    def is_held(self) -> bool:
        """Whether a client has it: `who` is that client."""
        return core.TASK_CLAIMED <= self.state < core.TASK_LOGGED


class ObjectRecord(NamedTuple):
    """A value, an error, or the promise of one."""

    object: int
    id: bytes
    number: int
    owner: int
    owner_flags: int
    closed: bool
    dropped: bool
    size: int
    value_flags: int
    where: int  # LOC_*
    producer: int

    @property
    def is_error(self) -> bool:
        """Whether it was resolved with an error."""
        return bool(self.value_flags & core.VALUE_ERROR)

    @property
    def is_put(self) -> bool:
        """Whether `put` made it."""
        return bool(self.number & core.NUMBER_PUT)

    @property
    def is_permit(self) -> bool:
        """Whether its reader resolves it, not the task that made it (of a bounded stream)."""
        kinds = core.NUMBER_PUT | core.NUMBER_ACTOR | core.NUMBER_ITEM | core.NUMBER_PERMIT
        return self.number & kinds == core.NUMBER_PERMIT

    @property
    def actor_class(self) -> int | None:
        """The class of the actor whose handle object this is."""
        is_handle = self.number & (core.NUMBER_PUT | core.NUMBER_ACTOR) == core.NUMBER_ACTOR
        return self.number & ~core.NUMBER_ACTOR if is_handle else None


class WaiterRecord(NamedTuple):
    """A task or a client that waits for an object, or did until it gave up."""

    object: int
    kind: int  # WAITS_*
    target: int  # index of a slot, or a client


class ClientRecord(NamedTuple):
    """A process of the node."""

    client: int  # its record
    state: int
    epoch: int
    pid: int
    role: int
    class_id: int
    root: int
    run_state: int  # RUN_*
    is_blocked: bool
    current: int
    since_ns: int  # when it claimed `current`
    awaits: int  # AWAITS_*, or the object that its get waits for
    waits: int  # since when it is parked for that, and WAIT_*; 0: it is not
    room_wanted: int
    submitted: int
    completed: int
    busy_ns: int
    parks: int
    lease: int

    @property
    def wait_kind(self) -> int:
        """What can end its wait: WAIT_*."""
        return self.waits & core.WAIT_ENDS_BY


class ClassRecord(NamedTuple):
    """What tasks of one shape and job have in common; or an actor."""

    class_id: int
    state: int
    kind: int  # CLASS_*
    root: int
    cpu_milli: int
    gpu_milli: int
    taker: int  # client + 1
    is_unreferenced: bool
    demands: Mapping[int, int]
