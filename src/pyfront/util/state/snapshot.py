# SPDX-License-Identifier: Apache-2.0
"""A node at one moment, as plain values: what its segment holds, and what its daemon calls it. Pure.

Records are named by numbers (`Survey`: index and generation packed; 0 is none). Each was read at an instant of its own,
so a number may lead nowhere: then the thing has gone meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import msgspec

from shoal._core import _node as core
from shoal.ids import CONSTRUCTOR_KEY, MethodKey, method_key
from shoal.protocol.groups import GroupRow
from shoal.protocol.tables import ActorRow, JobRow, NodeTables, WorkerRow
from shoal.task.actor_shape import ActorShape, calls_of

STOPPED = frozenset("Tt")  # of a process's state, as /proc says it: by a signal, or by a debugger


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
        return self.state >= core.TASK_CLAIMED


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
    room_wanted: int
    submitted: int
    completed: int
    busy_ns: int
    parks: int
    lease: int


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


@dataclass(frozen=True)
class Snapshot:
    """Everything that was looked at. Parts that nobody asked for are empty."""

    tasks: Sequence[TaskRecord] = ()
    objects: Sequence[ObjectRecord] = ()
    waiters: Sequence[WaiterRecord] = ()
    clients: Mapping[int, ClientRecord] = field(default_factory=dict)
    classes: Mapping[int, ClassRecord] = field(default_factory=dict)
    arguments: Mapping[int, Sequence[int]] = field(default_factory=dict)  # task -> objects
    contents: Mapping[int, Sequence[int]] = field(default_factory=dict)  # object -> objects
    pins: Mapping[int, Sequence[int]] = field(default_factory=dict)  # object -> clients
    process_states: Mapping[int, str] = field(default_factory=dict)  # pid -> letter
    tables: NodeTables | None = None  # None: the daemon did not answer
    node_id: str = ""
    now_ns: int = 0
    store_claimed: int = 0
    store_limit: int = 0
    is_truncated: bool = False  # there are more records than were read

    # -- by number

    @cached_property
    def task_by_slot(self) -> dict[int, TaskRecord]:
        """Tasks by their number."""
        return {task.slot: task for task in self.tasks}

    @cached_property
    def task_by_index(self) -> dict[int, TaskRecord]:
        """Tasks by the index of their slot alone, as waiters name them."""
        return {task.slot & 0xFFFFFFFF: task for task in self.tasks}

    @cached_property
    def object_by_number(self) -> dict[int, ObjectRecord]:
        """Objects by their number."""
        return {found.object: found for found in self.objects}

    @cached_property
    def tasks_of_client(self) -> dict[int, list[TaskRecord]]:
        """The tasks that each client has in hand."""
        held: dict[int, list[TaskRecord]] = {}
        for task in self.tasks:
            if task.is_held:
                held.setdefault(task.who, []).append(task)
        return held

    @cached_property
    def _watched(self) -> dict[int, list[int]]:
        watched: dict[int, list[int]] = {}
        for waiter in self.waiters:
            if waiter.kind == core.WAITS_CLIENT:
                watched.setdefault(waiter.target, []).append(waiter.object)
        return watched

    def awaited_by(self, client: ClientRecord) -> list[int]:
        """The objects that a client waits for in get or wait, or that its event loop watches."""
        if client.awaits not in (core.AWAITS_NOTHING, core.AWAITS_SEVERAL):
            return [client.awaits]
        has_work = client.role == core.ROLE_DRIVER or client.client in self.tasks_of_client
        is_watching = client.awaits == core.AWAITS_SEVERAL or (has_work and client.run_state == core.RUN_PARKED)
        return self._watched.get(client.client, []) if is_watching else []

    def is_stopped(self, client: ClientRecord) -> bool:
        """Whether its process was stopped by a signal or a debugger."""
        return self.process_states.get(client.pid, "") in STOPPED

    # -- names

    @cached_property
    def actor_by_class(self) -> dict[int, ActorRow]:
        """Living actors by class."""
        rows = self.tables.actors if self.tables is not None else ()
        return {row.class_id: row for row in rows if row.is_alive}

    @cached_property
    def worker_by_client(self) -> dict[tuple[int, int], WorkerRow]:
        """Processes that the daemon started, by index and epoch."""
        rows = self.tables.workers if self.tables is not None else ()
        return {(row.index, row.epoch): row for row in rows if row.index}

    @cached_property
    def job_by_root(self) -> dict[int, JobRow]:
        """Jobs by number."""
        rows = self.tables.jobs if self.tables is not None else ()
        return {row.root: row for row in rows}

    @cached_property
    def group_by_class(self) -> dict[int, GroupRow]:
        """Placement groups that are not removed, by the class that the core knows them by."""
        rows = self.tables.groups if self.tables is not None else ()
        return {row.class_id: row for row in rows if row.state != row.REMOVED}

    def group_of(self, class_id: int) -> GroupRow | None:
        """The placement group that a class books in."""
        group_id = None if self.tables is None else self.tables.group_of.get(class_id)
        return next((row for row in self.group_by_class.values() if row.id == group_id), None)

    @cached_property
    def _methods(self) -> dict[int, dict[MethodKey, str]]:
        return {
            class_id: {method_key(call): name for call, name, _ in calls_of(_shape_of(row))}
            | {CONSTRUCTOR_KEY: "__init__"}
            for class_id, row in self.actor_by_class.items()
        }

    def task_name(self, task: TaskRecord) -> str | None:
        """`function`, or `Class.method`; None if only the daemon knows, and did not say."""
        if not task.is_actor_call:
            return None if self.tables is None else self.tables.functions.get(task.function)
        row = self.actor_by_class.get(task.class_id)
        method = self._methods.get(task.class_id, {}).get(MethodKey(task.function))
        return None if row is None else f"{row.class_name}.{method or '?'}"

    def resources_of(self, class_id: int) -> dict[str, float]:
        """What each task of a class, or an actor, demands: by name, or by number where the daemon gave no names."""
        if self.tables is not None and class_id in self.tables.classes:
            return dict(self.tables.classes[class_id])
        found = self.classes.get(class_id)
        if found is None:
            return {}
        amounts = {"CPU": found.cpu_milli / 1000, "GPU": found.gpu_milli / 1000}
        amounts |= {f"resource {kind}": milli / 1000 for kind, milli in found.demands.items()}
        return {name: amount for name, amount in amounts.items() if amount}


def _shape_of(row: ActorRow) -> ActorShape:
    return msgspec.msgpack.decode(row.methods, type=ActorShape) if row.methods else ActorShape({})
