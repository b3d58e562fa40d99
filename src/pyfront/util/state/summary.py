# SPDX-License-Identifier: Apache-2.0
"""Counts instead of rows, as plain dictionaries of the shape that Ray gives them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from shoal.util.state.actors import ActorState
from shoal.util.state.objects import ObjectState
from shoal.util.state.placement_groups import PlacementGroupState
from shoal.util.state.tasks import TaskState

MB = 1e6


def task_summary(rows: Iterable[TaskState]) -> dict[str, Any]:
    """By name: `{"summary": {name: {"state_counts": ...}}, "total_tasks": ..., ...}`."""
    summary: dict[str, dict[str, Any]] = {}
    totals: Counter[str] = Counter()
    for row in rows:
        name = row.func_or_class_name or "?"
        entry = summary.setdefault(name, {"func_or_class_name": name, "type": row.type, "state_counts": Counter()})
        entry["state_counts"][row.state] += 1
        totals[row.type] += 1
    return {
        "summary": {name: {**entry, "state_counts": dict(entry["state_counts"])} for name, entry in summary.items()},
        "total_tasks": totals["NORMAL_TASK"],
        "total_actor_tasks": totals["ACTOR_TASK"],
        "total_actor_scheduled": totals["ACTOR_CREATION_TASK"],
        "summary_by": "func_name",
    }


def actor_summary(rows: Iterable[ActorState]) -> dict[str, Any]:
    """By class: `{"summary": {class: {"state_counts": ...}}, "total_actors": ...}`."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row.class_name or "?", Counter())[row.state] += 1
    return {
        "summary": {name: {"class_name": name, "state_counts": dict(states)} for name, states in counts.items()},
        "total_actors": sum(sum(states.values()) for states in counts.values()),
        "summary_by": "class",
    }


def placement_group_summary(rows: Iterable[PlacementGroupState]) -> dict[str, Any]:
    """By strategy: `{"summary": {strategy: {"state_counts": ...}}, "total_placement_groups": ...}`."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(row.strategy, Counter())[row.state] += 1
    return {
        "summary": {name: {"strategy": name, "state_counts": dict(states)} for name, states in counts.items()},
        "total_placement_groups": sum(sum(states.values()) for states in counts.values()),
        "summary_by": "strategy",
    }


def object_summary(rows: Iterable[ObjectState]) -> dict[str, Any]:
    """By the process that made the reference: `{"summary": {"DRIVER 123": {...}}, "total_objects": ..., ...}`."""
    summary: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = summary.setdefault(
            f"{row.type} {row.pid}",
            {"total_objects": 0, "total_size_mb": 0.0, "task_state_counts": Counter(), "ref_type_counts": Counter()},
        )
        entry["total_objects"] += 1
        entry["total_size_mb"] += row.object_size / MB
        entry["task_state_counts"][row.task_status] += 1
        entry["ref_type_counts"][row.reference_type] += 1
    for entry in summary.values():
        for name in ("task_state_counts", "ref_type_counts"):
            entry[name] = dict(entry[name])
    return {
        "summary": summary,
        "total_objects": sum(entry["total_objects"] for entry in summary.values()),
        "total_size_mb": sum(entry["total_size_mb"] for entry in summary.values()),
        "summary_by": "process",
    }
