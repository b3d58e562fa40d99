# SPDX-License-Identifier: Apache-2.0
"""A node at one moment, as plain values: what its segment holds, and what its daemon calls it. Pure.

Records are named by numbers (`Survey`: index and generation packed; 0 is none). Each was read at an instant of its own,
so a number may lead nowhere: then the thing has gone meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from shoal._core import _node as core
from shoal.node.processes import STOPPED
from shoal.protocol.placement import GroupRow
from shoal.protocol.tables import ActorRow, JobRow, NodeTables, WorkerRow
from shoal.task.names import TaskNames
from shoal.task.records import ClassRecord as ClassRecord
from shoal.task.records import ClientRecord as ClientRecord
from shoal.task.records import ObjectRecord as ObjectRecord
from shoal.task.records import TaskRecord as TaskRecord
from shoal.task.records import WaiterRecord as WaiterRecord


@dataclass(frozen=True)
class Snapshot:
    """Everything that was looked at. Parts that nobody asked for are empty."""

    tasks: Sequence[TaskRecord] = ()
    logged: Sequence[TaskRecord] = ()  # calls of actors that are over, and kept until the actor's next checkpoint
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
        return self._names.actors

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
    def _names(self) -> TaskNames:
        return TaskNames(self.tables)

    @cached_property
    def group_by_class(self) -> dict[int, GroupRow]:
        """Placement groups that are not removed, by the class that the core knows them by."""
        rows = self.tables.groups if self.tables is not None else ()
        return {row.class_id: row for row in rows if row.state != row.REMOVED}

    def group_of(self, class_id: int) -> GroupRow | None:
        """The placement group that a class books in."""
        group_id = None if self.tables is None else self.tables.group_of.get(class_id)
        return next((row for row in self.group_by_class.values() if row.id == group_id), None)

    def task_name(self, task: TaskRecord) -> str | None:
        """`function`, or `Class.method`; None if only the daemon knows, and did not say."""
        return self._names.of(task)

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
