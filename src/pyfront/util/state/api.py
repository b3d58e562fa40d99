# SPDX-License-Identifier: Apache-2.0
"""The functions of `shoal.util.state`: each looks at a node once and returns what it saw.

All take the same arguments.

- `address`: a node's folder, "auto" for this user's newest node, or None, the default, for the one that this process is
  connected to, else `SHOAL_ADDRESS`, else "auto".
- `timeout`: seconds to wait for the daemon's names; default 3.
- `filters`, of those that list: tuples of a field, "=" or "!=", and a value, which a row must match all; default none.
- `limit`: the most rows; default 100.
- `detail`: whether to fill the rows' details; default no.

All raise NodeNotFoundError, and warn with IncompleteStateWarning when the daemon does not answer; those that list raise
ValueError for a filter or limit that cannot be meant.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple

from shoal._core._node import ObjectRef
from shoal.actor import ActorHandle
from shoal.errors import IncompleteStateWarning
from shoal.ids import actor_id
from shoal.origins import parse as parse_origins
from shoal.protocol.tables import CollectStacks, DescribeHoldings
from shoal.runtime import connected
from shoal.util.state.actors import ActorState, actor_rows
from shoal.util.state.holders import HeldObject, held_objects
from shoal.util.state.jobs import JobState, job_rows
from shoal.util.state.nodes import NodeState, node_rows
from shoal.util.state.objects import ObjectState, object_rows
from shoal.util.state.placement_groups import PlacementGroupState, placement_group_rows
from shoal.util.state.reasons import Reason, explain
from shoal.util.state.record import Filter, Row, check_query, choose
from shoal.util.state.snapshot import Snapshot
from shoal.util.state.source import ANSWER_TIMEOUT_S, opened
from shoal.util.state.summary import actor_summary, object_summary, placement_group_summary, task_summary
from shoal.util.state.tasks import TaskState, task_rows
from shoal.util.state.workers import WorkerState, worker_rows

DEFAULT_LIMIT = 100


class Noun(NamedTuple, Generic[Row]):
    """How one kind of row is made: of which parts of a snapshot, and named by which field."""

    row: type[Row]
    rows: Callable[[Snapshot], Iterable[Row]]
    id_field: str
    parts: tuple[str, ...]


def _tasks(snapshot: Snapshot) -> Iterable[TaskState]:
    return task_rows(snapshot, time.time_ns())


TASKS = Noun(TaskState, _tasks, "task_id", ("tasks", "awaited"))
ACTORS = Noun(ActorState, actor_rows, "actor_id", ("tasks",))
OBJECTS = Noun(ObjectState, object_rows, "object_id", ("tasks", "objects", "waiters", "arguments", "contents", "pins"))
WORKERS = Noun(WorkerState, worker_rows, "worker_id", ("tasks",))
NODES = Noun(NodeState, node_rows, "node_id", ())
JOBS = Noun(JobState, job_rows, "job_id", ("tasks",))
GROUPS = Noun(PlacementGroupState, placement_group_rows, "placement_group_id", ())


def _look(noun: Noun[Row], address: str | None, timeout: float) -> Iterable[Row]:
    with opened(address, timeout) as source:
        snapshot = source.snapshot(*noun.parts, timeout_s=timeout)
    if snapshot.is_truncated:
        warnings.warn("the node has more records than were read", IncompleteStateWarning, stacklevel=4)
    return noun.rows(snapshot)


def _list(
    noun: Noun[Row],
    address: str | None,
    filters: Sequence[Filter] | None,
    limit: int,
    timeout: float,
    detail: bool,
) -> list[Row]:
    check_query(noun.row, filters, limit)
    return choose(_look(noun, address, timeout), filters, limit, detail=detail)


def _get(noun: Noun[Row], id: str, address: str | None, timeout: float) -> Row | None:
    found = (row for row in _look(noun, address, timeout) if row[noun.id_field] == id)
    return next(found, None)


def list_tasks(
    address: str | None = None,
    filters: Sequence[Filter] | None = None,
    limit: int = DEFAULT_LIMIT,
    timeout: float = ANSWER_TIMEOUT_S,
    detail: bool = False,
) -> list[TaskState]:
    """Tasks and actor calls that wait or run.

    Of the node at `address`, those that match all `filters`, at most `limit` of them, with details if `detail`;
    `timeout`: seconds to wait for the daemon. Raises NodeNotFoundError, ValueError for a bad filter or limit."""
    return _list(TASKS, address, filters, limit, timeout, detail)


def list_actors(
    address: str | None = None,
    filters: Sequence[Filter] | None = None,
    limit: int = DEFAULT_LIMIT,
    timeout: float = ANSWER_TIMEOUT_S,
    detail: bool = False,
) -> list[ActorState]:
    """Actors that live or wait to, and those that ended last.

    Of the node at `address`, those that match all `filters`, at most `limit` of them, with details if `detail`;
    `timeout`: seconds to wait for the daemon. Raises NodeNotFoundError, ValueError for a bad filter or limit."""
    return _list(ACTORS, address, filters, limit, timeout, detail)


def list_objects(
    address: str | None = None,
    filters: Sequence[Filter] | None = None,
    limit: int = DEFAULT_LIMIT,
    timeout: float = ANSWER_TIMEOUT_S,
    detail: bool = False,
) -> list[ObjectState]:
    """Values, errors and promises that somebody refers to.

    Of the node at `address`, those that match all `filters`, at most `limit` of them, with details if `detail`;
    `timeout`: seconds to wait for the daemon. Raises NodeNotFoundError, ValueError for a bad filter or limit."""
    return _list(OBJECTS, address, filters, limit, timeout, detail)


def list_workers(
    address: str | None = None,
    filters: Sequence[Filter] | None = None,
    limit: int = DEFAULT_LIMIT,
    timeout: float = ANSWER_TIMEOUT_S,
    detail: bool = False,
) -> list[WorkerState]:
    """Processes of the node, drivers and the daemon included.

    Of the node at `address`, those that match all `filters`, at most `limit` of them, with details if `detail`;
    `timeout`: seconds to wait for the daemon. Raises NodeNotFoundError, ValueError for a bad filter or limit."""
    return _list(WORKERS, address, filters, limit, timeout, detail)


def list_nodes(
    address: str | None = None,
    filters: Sequence[Filter] | None = None,
    limit: int = DEFAULT_LIMIT,
    timeout: float = ANSWER_TIMEOUT_S,
    detail: bool = False,
) -> list[NodeState]:
    """The node.

    Of the node at `address`, those that match all `filters`, at most `limit` of them, with details if `detail`;
    `timeout`: seconds to wait for the daemon. Raises NodeNotFoundError, ValueError for a bad filter or limit."""
    return _list(NODES, address, filters, limit, timeout, detail)


def list_jobs(
    address: str | None = None,
    filters: Sequence[Filter] | None = None,
    limit: int = DEFAULT_LIMIT,
    timeout: float = ANSWER_TIMEOUT_S,
    detail: bool = False,
) -> list[JobState]:
    """Drivers, each with what it started.

    Of the node at `address`, those that match all `filters`, at most `limit` of them, with details if `detail`;
    `timeout`: seconds to wait for the daemon. Raises NodeNotFoundError, ValueError for a bad filter or limit."""
    return _list(JOBS, address, filters, limit, timeout, detail)


def list_placement_groups(
    address: str | None = None,
    filters: Sequence[Filter] | None = None,
    limit: int = DEFAULT_LIMIT,
    timeout: float = ANSWER_TIMEOUT_S,
    detail: bool = False,
) -> list[PlacementGroupState]:
    """Placement groups, and those that were removed last.

    Of the node at `address`, those that match all `filters`, at most `limit` of them, with details if `detail`;
    `timeout`: seconds to wait for the daemon. Raises NodeNotFoundError, ValueError for a bad filter or limit."""
    return _list(GROUPS, address, filters, limit, timeout, detail)


def get_task(id: str, address: str | None = None, timeout: float = ANSWER_TIMEOUT_S) -> TaskState | None:
    """The task of this `id`, if it waits or runs; else None.

    `address` is the node, `timeout` the seconds to wait for its daemon. Raises NodeNotFoundError."""
    return _get(TASKS, id, address, timeout)


def get_actor(id: str, address: str | None = None, timeout: float = ANSWER_TIMEOUT_S) -> ActorState | None:
    """The actor of this `id`; None if nothing is known of it.

    `address` is the node, `timeout` the seconds to wait for its daemon. Raises NodeNotFoundError."""
    return _get(ACTORS, id, address, timeout)


def get_worker(id: str, address: str | None = None, timeout: float = ANSWER_TIMEOUT_S) -> WorkerState | None:
    """The process of this `id`; None if there is none.

    `address` is the node, `timeout` the seconds to wait for its daemon. Raises NodeNotFoundError."""
    return _get(WORKERS, id, address, timeout)


def get_node(id: str, address: str | None = None, timeout: float = ANSWER_TIMEOUT_S) -> NodeState | None:
    """The node of this `id`; None if it is another one.

    `address` is the node, `timeout` the seconds to wait for its daemon. Raises NodeNotFoundError."""
    return _get(NODES, id, address, timeout)


def get_job(id: str, address: str | None = None, timeout: float = ANSWER_TIMEOUT_S) -> JobState | None:
    """The job of this `id`, if it runs; else None.

    `address` is the node, `timeout` the seconds to wait for its daemon. Raises NodeNotFoundError."""
    return _get(JOBS, id, address, timeout)


def get_placement_group(
    id: str, address: str | None = None, timeout: float = ANSWER_TIMEOUT_S
) -> PlacementGroupState | None:
    """The placement group of this `id`; None if nothing is known of it.

    `address` is the node, `timeout` the seconds to wait for its daemon. Raises NodeNotFoundError."""
    return _get(GROUPS, id, address, timeout)


def get_objects(id: str, address: str | None = None, timeout: float = ANSWER_TIMEOUT_S) -> list[ObjectState]:
    """The object of this `id`, with its details, in a list; an empty one if nobody refers to it.

    `address` is the node, `timeout` the seconds to wait for its daemon. Raises NodeNotFoundError."""
    found = _get(OBJECTS, id, address, timeout)
    return [] if found is None else [found]


def summarize_tasks(address: str | None = None, timeout: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
    """By name, how many tasks are in which state: `result["cluster"]["summary"][name]["state_counts"]`.

    `address` is the node, `timeout` the seconds to wait for its daemon. Raises NodeNotFoundError."""
    return {"cluster": task_summary(_look(TASKS, address, timeout))}


def summarize_actors(address: str | None = None, timeout: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
    """By class, how many actors are in which state.

    `address` is the node, `timeout` the seconds to wait for its daemon. Raises NodeNotFoundError."""
    return {"cluster": actor_summary(_look(ACTORS, address, timeout))}


def summarize_objects(address: str | None = None, timeout: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
    """By the process that made them, how many objects of how many megabytes there are.

    `address` is the node, `timeout` the seconds to wait for its daemon. Raises NodeNotFoundError."""
    return {"cluster": object_summary(_look(OBJECTS, address, timeout))}


def summarize_placement_groups(address: str | None = None, timeout: float = ANSWER_TIMEOUT_S) -> dict[str, Any]:
    """By strategy, how many placement groups are in which state.

    `address` is the node, `timeout` the seconds to wait for its daemon. Raises NodeNotFoundError."""
    return {"cluster": placement_group_summary(_look(GROUPS, address, timeout))}


def list_held_objects(address: str | None = None, timeout: float = ANSWER_TIMEOUT_S) -> list[HeldObject]:
    """Every object, with who holds it: processes, views, arguments of tasks, other objects; and with the line that made
    it, if the node was started with `record_lines=True`.

    `address` is the node, `timeout` the seconds to wait for its daemon. Raises NodeNotFoundError."""
    with opened(address, timeout) as source:
        snapshot = source.snapshot(*OBJECTS.parts, timeout_s=timeout)
        holdings = source.ask(DescribeHoldings(), timeout)
        is_recording = snapshot.tables is not None and snapshot.tables.is_recording_lines
        told = source.ask(CollectStacks(is_of_lines=True), timeout) if is_recording else None
    made_at = parse_origins(told.texts) if told is not None else None
    return list(held_objects(snapshot, None if holdings is None else holdings.rows, made_at))


def why(
    target: ObjectRef[Any] | ActorHandle[Any] | str | int | None = None,
    address: str | None = None,
    timeout: float = ANSWER_TIMEOUT_S,
) -> list[Reason]:
    """Why something does not move: who waits for what, down to the missing object, resource, dead actor or full store.

    - `target`: a ref, a handle, an id or the beginning of one, a name of a task or actor, or a pid. None, the default:
      whatever waits.
    - `address`: the node.
    - `timeout`: seconds to wait for its daemon.

    Empty if there is nothing of that name, or nothing waits. Raises NodeNotFoundError.
    """
    if isinstance(target, ObjectRef):
        target = target.hex()
    with opened(address, timeout) as source:
        snapshot = source.snapshot("tasks", "objects", "waiters", "pins", timeout_s=timeout)
    if isinstance(target, ActorHandle):
        class_id = target._shoal_identity.class_id
        found = snapshot.classes.get(class_id)  # it may be of another job
        target = actor_id(connected().root if found is None else found.root, class_id)
    return explain(snapshot, None if target is None else str(target))
