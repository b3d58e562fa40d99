# SPDX-License-Identifier: Apache-2.0
"""A node's own metrics: what its segment holds now, counted when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from shoal._core import _node as core
from shoal.node.resources import Ledger
from shoal.protocol.metrics import Definition, Family, Sample

TASK_STATES = {
    core.TASK_READY: "PENDING",
    core.TASK_WAITING: "PENDING_ARGS_AVAIL",
    core.TASK_CLAIMED: "SUBMITTED_TO_WORKER",
    core.TASK_RUNNING: "RUNNING",
    core.TASK_COMMITTED: "FINISHED",
    core.TASK_KILLING: "FAILED",
    core.TASK_CANCELLED: "RUNNING",
    core.TASK_OVERDUE: "RUNNING",
    core.TASK_LOGGED: "FINISHED",
}
"""Words of `shoal list tasks`; PENDING is a task that waits for resources or for its actor."""
ROLES = {core.ROLE_DRIVER: "DRIVER", core.ROLE_WORKER: "WORKER", core.ROLE_ACTOR: "ACTOR"}
RUN_STATES = {core.RUN_BUSY: "RUNNING", core.RUN_SPINNING: "IDLE", core.RUN_PARKED: "IDLE"}
COUNTERS = {
    "submitted": ("shoal_tasks_submitted", "Tasks and actor calls that were submitted."),
    "tasks_completed": ("shoal_tasks_completed", "Tasks and actor calls that have ended."),
    "repairs": ("shoal_repairs", "Steps that the node repeated because a process had died or stopped."),
}
GAUGES = {
    "live_entries": ("shoal_objects", "Values, errors and promises that somebody refers to."),
    "live_bytes": ("shoal_object_bytes", "Bytes of values and of waiting calls in memory."),
    "claimed_bytes": ("shoal_store_claimed_bytes", "Bytes of memory that the store has claimed."),
    "spilled_objects": ("shoal_spilled_objects", "Values that lie on disk."),
    "spilled_bytes": ("shoal_spilled_bytes", "Bytes of values that lie on disk."),
}


Counts = dict[tuple[tuple[str, str], ...], int]
"""How many, by labels."""


def own_families(
    counters: Mapping[str, int],
    task_states: Mapping[int, int],
    clients: list[dict[str, int]],
    store_bytes: int,
    ledger: Ledger,
    available: Mapping[int, int],
) -> Iterator[Family]:
    """All of them. Pure."""
    yield _labelled("shoal_tasks", "Tasks and actor calls by state.", _by_state(task_states))
    yield _labelled("shoal_processes", "Processes of the node by kind and state.", _by_kind(clients))
    for key, (name, text) in COUNTERS.items():
        yield Family(name, Definition.COUNTER, text, [Sample(f"{name}_total", {}, float(counters[key]))])
    for key, (name, text) in GAUGES.items():
        yield Family(name, Definition.GAUGE, text, [Sample(name, {}, float(counters.get(key, 0)))])
    limit = Sample("shoal_store_limit_bytes", {}, float(store_bytes))
    yield Family("shoal_store_limit_bytes", Definition.GAUGE, "Bytes of values that fit into memory.", [limit])
    free = ledger.named(dict(available))
    amounts = {("total", name): amount for name, amount in ledger.capacity.items()}
    amounts |= {("available", name): amount for name, amount in free.items()}
    samples = [Sample("shoal_resources", {"name": name, "state": state}, n) for (state, name), n in amounts.items()]
    yield Family("shoal_resources", Definition.GAUGE, "Resources that there are, and that nobody holds.", samples)


def _by_state(task_states: Mapping[int, int]) -> Counts:
    counts: Counts = {(("state", word),): 0 for word in TASK_STATES.values()}
    for state, count in task_states.items():
        if state in TASK_STATES:
            counts[(("state", TASK_STATES[state]),)] += count
    return counts


def _by_kind(clients: list[dict[str, int]]) -> Counts:
    counts: Counts = {(("kind", kind), ("state", state)): 0 for kind in ROLES.values() for state in ("IDLE", "RUNNING")}
    for client in clients:
        if client["role"] in ROLES:
            state = RUN_STATES.get(client["run_state"], "IDLE")
            counts[(("kind", ROLES[client["role"]]), ("state", state))] += 1
    return counts


def _labelled(name: str, text: str, counts: Counts) -> Family:
    return Family(
        name, Definition.GAUGE, text, [Sample(name, dict(labels), float(count)) for labels, count in counts.items()]
    )
