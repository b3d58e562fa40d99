# SPDX-License-Identifier: Apache-2.0
"""What a node does now, as lists of typed rows: tasks, actors, objects, workers, nodes, jobs,
placement groups.

General layout: `api` has the functions, `source` finds a node and reads it into a `snapshot`; one file for each noun
makes rows of that, `record` chooses among them. Nothing here is asked of the processes that it describes, so it answers
while they hang.
"""

from __future__ import annotations

from shoal.util.state.actors import ActorState
from shoal.util.state.api import (
    get_actor,
    get_job,
    get_node,
    get_objects,
    get_placement_group,
    get_task,
    get_worker,
    list_actors,
    list_held_objects,
    list_jobs,
    list_nodes,
    list_objects,
    list_placement_groups,
    list_tasks,
    list_workers,
    summarize_actors,
    summarize_objects,
    summarize_placement_groups,
    summarize_tasks,
    why,
)
from shoal.util.state.holders import HeldObject, Holder
from shoal.util.state.jobs import JobState
from shoal.util.state.nodes import NodeState
from shoal.util.state.objects import ObjectState
from shoal.util.state.placement_groups import PlacementGroupState
from shoal.util.state.reasons import Reason
from shoal.util.state.tasks import TaskState
from shoal.util.state.workers import WorkerState

__all__ = [
    "ActorState",
    "HeldObject",
    "Holder",
    "JobState",
    "NodeState",
    "ObjectState",
    "PlacementGroupState",
    "Reason",
    "TaskState",
    "WorkerState",
    "get_actor",
    "get_job",
    "get_node",
    "get_objects",
    "get_placement_group",
    "get_task",
    "get_worker",
    "list_actors",
    "list_held_objects",
    "list_jobs",
    "list_nodes",
    "list_objects",
    "list_placement_groups",
    "list_tasks",
    "list_workers",
    "summarize_actors",
    "summarize_objects",
    "summarize_placement_groups",
    "summarize_tasks",
    "why",
]
