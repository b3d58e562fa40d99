# SPDX-License-Identifier: Apache-2.0
"""Actors as rows. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from shoal._core import _node as core
from shoal.ids import actor_id, job_id
from shoal.protocol.tables import ActorRow
from shoal.util.state.record import Record
from shoal.util.state.snapshot import Snapshot


class ActorState(Record, frozen=True, kw_only=True):
    """One actor: alive, about to be, or one of the last 256 that ended. The words are Ray's."""

    DETAIL: ClassVar[frozenset[str]] = frozenset(
        {"required_resources", "max_concurrency", "death_cause", "num_restarts"}
    )

    actor_id: str
    """Hexadecimal, as `get_runtime_context().get_actor_id()`."""
    class_name: str | None
    """None if the daemon did not answer."""
    state: str
    """PENDING_CREATION: it waits for resources or for its process. DEPENDENCIES_UNREADY: its constructor waits for an
    argument. ALIVE. RESTARTING: it waits for its next process. DEAD."""
    job_id: str
    name: str | None
    node_id: str
    pid: int
    """0: it has no process yet, or never had one."""
    ray_namespace: str
    n_pending: int
    """Calls that wait for it."""
    n_running: int
    """Calls that it runs now."""
    required_resources: dict[str, float] | None = None
    max_concurrency: int | None = None
    death_cause: str | None = None
    num_restarts: int = 0


def actor_rows(snapshot: Snapshot) -> Iterator[ActorState]:
    """One row for each actor, the living first."""
    calls = [task for task in snapshot.tasks if task.is_actor_call]
    pending = Counter(task.class_id for task in calls if not task.is_held)
    running = Counter(task.class_id for task in calls if task.is_held)
    created = {task.class_id: task.state for task in calls if task.flags & core.SLOT_CREATES_ACTOR}
    rows = snapshot.tables.actors if snapshot.tables is not None else list(_nameless(snapshot))
    for row in rows:
        yield ActorState(
            actor_id=actor_id(row.root, row.class_id),
            class_name=row.class_name or None,
            state=_state_of(row, created.get(row.class_id)),
            job_id=job_id(row.root),
            name=row.name,
            node_id=snapshot.node_id,
            pid=row.pid,
            ray_namespace=row.namespace,
            n_pending=pending[row.class_id] if row.is_alive else 0,
            n_running=running[row.class_id] if row.is_alive else 0,
            required_resources=row.resources,
            max_concurrency=row.max_concurrency,
            death_cause=row.death or None,
            num_restarts=row.n_restarts,
        )


def _state_of(row: ActorRow, creation: int | None) -> str:
    if not row.is_alive:
        return "DEAD"
    if row.pid == 0:
        return "RESTARTING" if row.n_restarts else "PENDING_CREATION"
    return "DEPENDENCIES_UNREADY" if creation == core.TASK_WAITING else "ALIVE"


def _nameless(snapshot: Snapshot) -> Iterator[ActorRow]:
    """What the segment alone knows of actors."""
    for found in snapshot.classes.values():
        if found.kind == core.CLASS_ACTOR and found.state == core.CLASS_LIVE:
            taker = snapshot.clients.get(found.taker - 1) if found.taker else None
            yield ActorRow(
                class_id=found.class_id,
                root=found.root,
                class_name="",
                name=None,
                namespace="",
                pid=0 if taker is None else taker.pid,
                max_concurrency=0,
                is_async=False,
                methods=b"",
                resources=snapshot.resources_of(found.class_id),
            )
