# SPDX-License-Identifier: Apache-2.0
"""What people call tasks, from what the daemon knows of functions and actors."""

from __future__ import annotations

from functools import cached_property

import msgspec

from shoal.ids import CONSTRUCTOR_KEY, MethodKey, method_key
from shoal.protocol.tables import ActorRow, NodeTables
from shoal.task.actor_shape import ActorShape, calls_of
from shoal.task.records import TaskRecord


class TaskNames:
    """Names of tasks. `tables`: None if the daemon did not answer."""

    def __init__(self, tables: NodeTables | None) -> None:
        self._tables = tables

    @cached_property
    def actors(self) -> dict[int, ActorRow]:
        """Living actors by class."""
        rows = self._tables.actors if self._tables is not None else ()
        return {row.class_id: row for row in rows if row.is_alive}

    @cached_property
    def _methods(self) -> dict[int, dict[MethodKey, str]]:
        return {
            class_id: {method_key(call): name for call, name, _ in calls_of(shape_of(row))}
            | {CONSTRUCTOR_KEY: "__init__"}
            for class_id, row in self.actors.items()
        }

    def of(self, task: TaskRecord) -> str | None:
        """`function`, or `Class.method`; None if only the daemon knows, and did not say."""
        if not task.is_actor_call:
            return None if self._tables is None else self._tables.functions.get(task.function)
        row = self.actors.get(task.class_id)
        method = self._methods.get(task.class_id, {}).get(MethodKey(task.function))
        return None if row is None else f"{row.class_name}.{method or '?'}"


def shape_of(row: ActorRow) -> ActorShape:
    """What the actor's callers know of it."""
    return msgspec.msgpack.decode(row.methods, type=ActorShape) if row.methods else ActorShape({})
