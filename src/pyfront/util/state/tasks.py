# SPDX-License-Identifier: Apache-2.0
"""Tasks as rows: what waits and what runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from shoal._core import _node as core
from shoal.ids import actor_id, job_id, worker_id
from shoal.util.state.record import Record
from shoal.util.state.snapshot import ClientRecord, Snapshot, TaskRecord


class TaskState(Record, frozen=True, kw_only=True):
    """One task, an actor's call included, until its result is there. The words are Ray's.

    A finished task is no row: nothing of it is kept but its result.
    """

    DETAIL: ClassVar[frozenset[str]] = frozenset({"language", "required_resources", "start_time_ms", "argument_bytes"})

    task_id: str
    """Hexadecimal, as `get_runtime_context().get_task_id()` and the first 32 digits of `ref.hex()`."""
    attempt_number: int
    """0 for the first try."""
    name: str | None
    """`function` or `Class.method`; None if the daemon did not answer."""
    state: str
    """PENDING_ARGS_AVAIL: an argument is missing. PENDING_NODE_ASSIGNMENT: it waits for a CPU or other resources.
    PENDING_ACTOR_TASK_ORDERING_OR_CONCURRENCY: it waits for its actor. SUBMITTED_TO_WORKER: a worker has it and has
    not begun. RUNNING, also when it was cancelled or has run too long, until its worker lets go of it;
    RUNNING_IN_RAY_GET, RUNNING_IN_RAY_WAIT: its worker is parked in `get` or `wait`. FINISHED: its result is being
    published. FAILED: its worker is being ended for it."""
    job_id: str
    actor_id: str | None
    type: str
    """NORMAL_TASK, ACTOR_CREATION_TASK or ACTOR_TASK."""
    func_or_class_name: str | None
    parent_task_id: str
    node_id: str
    worker_id: str | None
    worker_pid: int | None
    waits_for: str | None
    """The id of the object that it waits for: an argument, or what it wants to get."""
    language: str | None = "PYTHON"
    required_resources: dict[str, float] | None = None
    start_time_ms: int | None = None
    """Unix time at which its worker began with it, if that is the worker's latest task."""
    argument_bytes: int | None = None


IDLE_STATES = {
    core.TASK_WAITING: "PENDING_ARGS_AVAIL",
    core.TASK_CLAIMED: "SUBMITTED_TO_WORKER",
    core.TASK_COMMITTED: "FINISHED",
    core.TASK_KILLING: "FAILED",
}


def task_rows(snapshot: Snapshot, wall_ns: int) -> Iterator[TaskState]:
    """One row for each task. `wall_ns`: Unix time at `snapshot.now_ns`."""
    for task in snapshot.tasks:
        client = snapshot.clients.get(task.who) if task.is_held else None
        state = state_of(snapshot, task, client)
        awaited = client.awaits if client is not None and state == "RUNNING_IN_RAY_GET" else task.awaits
        waits_for = snapshot.object_by_number.get(awaited)
        is_latest = client is not None and client.current == task.slot
        yield TaskState(
            task_id=task.id.hex(),
            attempt_number=task.attempt,
            name=snapshot.task_name(task),
            state=state,
            job_id=job_id(task.root),
            actor_id=actor_id(task.root, task.class_id) if task.is_actor_call else None,
            type=type_of(task),
            func_or_class_name=snapshot.task_name(task),
            parent_task_id=task.parent.hex(),
            node_id=snapshot.node_id,
            worker_id=None if client is None else worker_id(client.client, client.epoch, client.pid),
            worker_pid=None if client is None else client.pid,
            waits_for=None if waits_for is None else waits_for.id.hex(),
            required_resources=snapshot.resources_of(task.class_id),
            start_time_ms=(wall_ns - snapshot.now_ns + client.since_ns) // 10**6 if is_latest and client else None,
            argument_bytes=task.spec_bytes,
        )


def type_of(task: TaskRecord) -> str:
    """Ray's word for what kind of call it is."""
    if not task.is_actor_call:
        return "NORMAL_TASK"
    return "ACTOR_CREATION_TASK" if task.flags & core.SLOT_CREATES_ACTOR else "ACTOR_TASK"


def state_of(snapshot: Snapshot, task: TaskRecord, client: ClientRecord | None) -> str:
    """Ray's word for what becomes of it now."""
    if task.state == core.TASK_READY:
        return "PENDING_ACTOR_TASK_ORDERING_OR_CONCURRENCY" if task.is_actor_call else "PENDING_NODE_ASSIGNMENT"
    if task.state not in (core.TASK_RUNNING, core.TASK_CANCELLED, core.TASK_OVERDUE):  # those two end soon
        return IDLE_STATES.get(task.state, "NIL")
    if client is None or client.awaits == core.AWAITS_NOTHING or len(snapshot.tasks_of_client[task.who]) > 1:
        return "RUNNING"  # which of several calls waits is not known
    return "RUNNING_IN_RAY_WAIT" if client.awaits == core.AWAITS_SEVERAL else "RUNNING_IN_RAY_GET"
