# SPDX-License-Identifier: Apache-2.0
"""Processes of a node as rows. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from shoal._core import _node as core
from shoal.ids import actor_id, job_id, worker_id
from shoal.util.state.objects import ROLES
from shoal.util.state.record import Record
from shoal.util.state.snapshot import ClientRecord, Snapshot


class WorkerState(Record, frozen=True, kw_only=True):
    """One process of the node: a driver, a worker, an actor, or the daemon."""

    DETAIL: ClassVar[frozenset[str]] = frozenset({"n_submitted", "n_parks", "store_wanted"})

    worker_id: str
    """Hexadecimal, as `get_runtime_context().get_worker_id()`."""
    is_alive: bool
    worker_type: str
    """DRIVER, WORKER, ACTOR or DAEMON."""
    state: str
    """STARTING, IDLE, RUNNING, IN_GET, IN_WAIT, AWAITING (an event loop that waits), NO_ROOM (it waits for room in the
    store), STOPPED (by a signal or a debugger), ENDING; a driver that runs its own code is RUNNING."""
    node_id: str
    pid: int
    """0: it is about to be forked."""
    job_id: str | None
    actor_id: str | None
    name: str | None
    """Of its actor, or of the task that printed last."""
    environment: str | None = None
    """What its `runtime_env` is, in a few words; None: it has none."""
    task_name: str | None
    """What it runs now."""
    n_completed: int
    busy_s: float
    """Seconds in tasks and calls that have ended."""
    n_submitted: int | None = None
    n_parks: int | None = None
    """How often it slept for want of work."""
    store_wanted: int | None = None
    """Bytes that it waits for."""


def worker_rows(snapshot: Snapshot) -> Iterator[WorkerState]:
    """One row for each process, and for each that is ordered and not there yet."""
    for client in snapshot.clients.values():
        row = snapshot.worker_by_client.get((client.client, client.epoch))
        is_worker = client.role in (core.ROLE_WORKER, core.ROLE_ACTOR)
        held = snapshot.tasks_of_client.get(client.client, [])
        yield WorkerState(
            worker_id=worker_id(client.client, client.epoch, client.pid),
            is_alive=True,
            worker_type=ROLES.get(client.role, "UNKNOWN"),
            state=state_of_client(snapshot, client),
            node_id=snapshot.node_id,
            pid=client.pid,
            job_id=job_id(client.root) if client.root else None,
            actor_id=actor_id(client.root, client.class_id) if client.role == core.ROLE_ACTOR else None,
            name=row.name or None if row is not None and is_worker else None,
            environment=row.environment or None if row is not None else None,
            task_name=", ".join(snapshot.task_name(task) or "?" for task in held) or None,
            n_completed=client.completed,
            busy_s=client.busy_ns / 1e9,
            n_submitted=client.submitted,
            n_parks=client.parks,
            store_wanted=client.room_wanted,
        )
    for row in snapshot.tables.workers if snapshot.tables is not None else ():
        if not row.index:
            yield WorkerState(
                worker_id=worker_id(0, 0, row.pid),
                is_alive=row.pid != 0,
                worker_type="WORKER",
                state="STARTING",
                node_id=snapshot.node_id,
                pid=row.pid,
                job_id=job_id(row.root),
                actor_id=None,
                name=row.name or None,
                environment=row.environment or None,
                task_name=None,
                n_completed=0,
                busy_s=0.0,
            )


def state_of_client(snapshot: Snapshot, client: ClientRecord) -> str:
    """What a process does now, in the words of `WorkerState.state`."""
    if snapshot.is_stopped(client):
        return "STOPPED"
    if client.state == core.CLIENT_DYING:
        return "ENDING"
    if client.room_wanted:
        return "NO_ROOM"
    if client.awaits not in (core.AWAITS_NOTHING, core.AWAITS_SEVERAL):
        return "IN_GET"
    if client.awaits == core.AWAITS_SEVERAL:
        return "IN_WAIT"
    if snapshot.tasks_of_client.get(client.client):
        return "AWAITING" if client.run_state == core.RUN_PARKED else "RUNNING"
    if client.role in (core.ROLE_DRIVER, core.ROLE_DAEMON):
        return "RUNNING"
    return "IDLE" if client.run_state else "STARTING"
