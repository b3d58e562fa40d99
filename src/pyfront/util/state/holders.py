# SPDX-License-Identifier: Apache-2.0
"""Who holds which object, and so keeps it in the store. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from shoal._core import _node as core
from shoal.util.state.objects import ROLES, where_of
from shoal.util.state.record import Record
from shoal.util.state.snapshot import Snapshot, TaskRecord


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why an object is kept."""

    kind: str
    """REFERENCE: a process has references to it. VIEW: a process has a view of its bytes. ARGUMENT: a task that waits
    or runs was given it. CONTAINER: the value of another object names it. EXPORT: its reference was pickled by hand,
    which keeps it until the job ends. CHECKPOINT: an actor's call after its last checkpoint was given it."""
    name: str
    """The process, task or object, as people call it."""
    id: str | None
    """Of the task or object."""
    pid: int
    """Of the process; 0 for a container."""
    count: int
    """References of this holder, as far as the node counts them."""


class HeldObject(Record, frozen=True, kw_only=True):
    """One object, and everybody who holds it."""

    object_id: str
    object_size: int
    state: str
    """PENDING, RESOLVED or ERROR."""
    where: str
    """`none`, `inline`, `memory` or `disk`."""
    holders: list[Holder]
    made_at: str | None = None
    """`file:line` that made it, if the node records lines and the process that knows is there."""


def held_objects(
    snapshot: Snapshot, holdings: Sequence[tuple[int, int, int]] | None, made_at: Mapping[int, str] | None = None
) -> Iterator[HeldObject]:
    """Every object with its holders. `holdings`: of shared objects, (client, object, references); None: not known.
    `made_at`: by object, where it was made."""
    counted: dict[int, list[tuple[int, int]]] = {}
    for client, number, count in holdings or ():
        counted.setdefault(number, []).append((client, count))
    arguments = _inverted(snapshot.arguments)
    containers = _inverted(snapshot.contents)
    logged = {task.slot: task for task in snapshot.logged}
    for found in snapshot.objects:
        is_shared = bool(found.owner_flags & core.OWNER_SHARED)
        references = counted.get(found.object, []) if is_shared and holdings is not None else [(found.owner, 1)]
        if found.dropped and not is_shared:
            references = []
        holders = [
            Holder(
                kind="REFERENCE" if client else "EXPORT",
                name=_process_name(snapshot, client),
                id=None,
                pid=_pid(snapshot, client),
                count=count,
            )
            for client, count in references
        ]
        holders += [
            Holder(kind="VIEW", name=_process_name(snapshot, client), id=None, pid=_pid(snapshot, client), count=1)
            for client in snapshot.pins.get(found.object, ())
        ]
        holders += [
            _argument(snapshot, snapshot.task_by_slot[number], count)
            if number in snapshot.task_by_slot
            else _logged(snapshot, logged[number], count)
            for number, count in arguments.get(found.object, {}).items()
        ]
        holders += [
            Holder(kind="CONTAINER", name="an object", id=outer.id.hex(), pid=0, count=count)
            for number, count in containers.get(found.object, {}).items()
            if (outer := snapshot.object_by_number.get(number)) is not None
        ]
        yield HeldObject(
            object_id=found.id.hex(),
            object_size=found.size,
            state="PENDING" if not found.closed else "ERROR" if found.is_error else "RESOLVED",
            where=where_of(found),
            holders=holders,
            made_at=(made_at or {}).get(found.object),
        )


def _inverted(named: Mapping[int, Sequence[int]]) -> dict[int, dict[int, int]]:
    """object -> who names it -> how often."""
    result: dict[int, dict[int, int]] = {}
    for holder, objects in named.items():
        for number in objects:
            of_object = result.setdefault(number, {})
            of_object[holder] = of_object.get(holder, 0) + 1
    return result


def _argument(snapshot: Snapshot, task: TaskRecord, count: int) -> Holder:
    pid = _pid(snapshot, task.who) if task.is_held else 0
    name = snapshot.task_name(task) or "a task"
    return Holder(kind="ARGUMENT", name=name, id=task.id.hex(), pid=pid, count=count)


def _logged(snapshot: Snapshot, task: TaskRecord, count: int) -> Holder:
    name = snapshot.task_name(task) or "an actor's call"
    return Holder(kind="CHECKPOINT", name=name, id=task.id.hex(), pid=0, count=count)


def _pid(snapshot: Snapshot, client: int) -> int:
    found = snapshot.clients.get(client)
    return 0 if found is None else found.pid


def _process_name(snapshot: Snapshot, client: int) -> str:
    found = snapshot.clients.get(client)
    if found is None:
        return "a process that is gone"
    row = snapshot.worker_by_client.get((found.client, found.epoch))
    name = f" {row.name}" if row is not None and row.name and found.role == core.ROLE_ACTOR else ""
    return f"{ROLES.get(found.role, 'UNKNOWN').lower()}{name}"
