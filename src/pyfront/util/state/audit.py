# SPDX-License-Identifier: Apache-2.0
"""What does not fit together in a node's segment. Pure: it compares snapshots.

Each record of a snapshot was read at an instant of its own, so what one snapshot shows may be a moment's work. What
stands in two of them, taken one after the other, is odd.
"""

from __future__ import annotations

from shoal._core import _node as core
from shoal.util.state.snapshot import Snapshot

MOST = 1000  # findings that are told


def audit(first: Snapshot, second: Snapshot) -> list[str]:
    """One line for each oddity that both show, sorted; empty if all is well."""
    return sorted(_odd(first) & _odd(second))[:MOST]


def _odd(snapshot: Snapshot) -> set[str]:
    found = set()
    for held in snapshot.objects:
        name = f"object {held.id.hex()}"
        if held.closed and held.where == core.LOC_NONE and held.size:
            found.add(f"{name} has {held.size} bytes and no place")
        if not held.closed and not held.dropped and held.producer not in snapshot.task_by_slot and not held.is_permit:
            found.add(f"{name} is a promise that no task makes")
        if held.owner not in snapshot.clients and not held.owner_flags & core.OWNER_SHARED:
            found.add(f"{name} belongs to process {held.owner}, which is not there")
    for task in snapshot.tasks:
        name = f"task {task.id.hex()}"
        if task.is_held and task.who not in snapshot.clients:
            found.add(f"{name} is in the hands of process {task.who}, which is not there")
        if task.class_id not in snapshot.classes:
            found.add(f"{name} is of class {task.class_id}, which is not there")
        if task.state == core.TASK_WAITING and task.awaits and _is_closed(snapshot, task.awaits):
            found.add(f"{name} waits for an argument that is there")
    for client in snapshot.clients.values():
        is_asleep = client.run_state == core.RUN_PARKED and not snapshot.is_stopped(client)
        if is_asleep and client.awaits > core.AWAITS_SEVERAL and _is_closed(snapshot, client.awaits):
            found.add(f"process {client.pid} waits for an object that is there")
    return found


def _is_closed(snapshot: Snapshot, number: int) -> bool:
    found = snapshot.object_by_number.get(number)
    return found is not None and found.closed
