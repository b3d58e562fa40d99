# SPDX-License-Identifier: Apache-2.0
"""Objects as rows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from shoal._core import _node as core
from shoal.util.state.record import Record
from shoal.util.state.snapshot import ObjectRecord, Snapshot
from shoal.util.state.tasks import state_of

ROLES = {
    core.ROLE_DAEMON: "DAEMON",
    core.ROLE_DRIVER: "DRIVER",
    core.ROLE_WORKER: "WORKER",
    core.ROLE_ACTOR: "ACTOR",
}


class ObjectState(Record, frozen=True, kw_only=True):
    """One object of the node: a value, an error, or the promise of one."""

    DETAIL: ClassVar[frozenset[str]] = frozenset({"task_id", "task_name", "n_contained_in", "n_arguments", "n_pins"})

    object_id: str
    """Hexadecimal, as `ref.hex()`."""
    object_size: int
    """Bytes as stored; 0 while it is a promise."""
    task_status: str
    """Of the task that makes it, as `TaskState.state`; FINISHED, or FAILED for an error; NIL for a `put`."""
    reference_type: str
    """Why it is kept, as far as shared memory tells: ACTOR_HANDLE, PINNED_IN_MEMORY (a view of its bytes exists),
    USED_BY_PENDING_TASK, CAPTURED_IN_OBJECT, LOCAL_REFERENCE."""
    state: str
    """PENDING, RESOLVED or ERROR."""
    where: str
    """`none`, `inline`, `memory` or `disk`."""
    type: str
    """Of the process that made the reference: DRIVER, WORKER or ACTOR."""
    pid: int
    is_shared: bool
    """Its reference has left the process that made it."""
    n_waiting: int
    """Tasks and processes that wait for it."""
    task_id: str | None = None
    task_name: str | None = None
    """Of a promise: the task that will make it."""
    n_contained_in: int | None = None
    """Objects whose values name it."""
    n_arguments: int | None = None
    """Tasks whose arguments name it."""
    n_pins: int | None = None
    """Processes with a view of its bytes."""


def object_rows(snapshot: Snapshot) -> Iterator[ObjectState]:
    """One row for each object that somebody refers to."""
    waiting = Counter(waiter.object for waiter in snapshot.waiters)
    contained = Counter(number for numbers in snapshot.contents.values() for number in set(numbers))
    argued = Counter(number for numbers in snapshot.arguments.values() for number in set(numbers))
    for found in snapshot.objects:
        owner = snapshot.clients.get(found.owner)
        task = None if found.closed else snapshot.task_by_slot.get(found.producer)
        if task is not None:
            status = state_of(snapshot, task, snapshot.clients.get(task.who) if task.is_held else None)
        else:
            status = "NIL" if found.is_put else "FAILED" if found.is_error else "FINISHED" if found.closed else "NIL"
        n_pins = len(snapshot.pins.get(found.object, ()))
        yield ObjectState(
            object_id=found.id.hex(),
            object_size=found.size,
            task_status=status,
            reference_type=_reference_type(found, n_pins, argued[found.object], contained[found.object]),
            state="PENDING" if not found.closed else "ERROR" if found.is_error else "RESOLVED",
            where=where_of(found),
            type=ROLES.get(owner.role, "UNKNOWN") if owner is not None else "UNKNOWN",
            pid=0 if owner is None else owner.pid,
            is_shared=bool(found.owner_flags & core.OWNER_SHARED),
            n_waiting=waiting[found.object],
            task_id=None if found.is_put else found.id[:16].hex(),
            task_name=None if task is None else snapshot.task_name(task),
            n_contained_in=contained[found.object],
            n_arguments=argued[found.object],
            n_pins=n_pins,
        )


def where_of(found: ObjectRecord) -> str:
    """Where its bytes are: `none`, `inline` (in its record), `memory` or `disk`."""
    if found.where == core.LOC_NONE:
        return "none"
    if found.where == core.LOC_INLINE:
        return "inline"
    return "disk" if found.where == core.LOC_SPILLED else "memory"


def _reference_type(found: ObjectRecord, n_pins: int, n_arguments: int, n_contained_in: int) -> str:
    if found.actor_class is not None:
        return "ACTOR_HANDLE"
    if n_pins:
        return "PINNED_IN_MEMORY"
    if n_arguments:
        return "USED_BY_PENDING_TASK"
    return "CAPTURED_IN_OBJECT" if n_contained_in else "LOCAL_REFERENCE"
