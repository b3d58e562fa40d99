# SPDX-License-Identifier: Apache-2.0
"""Answers to a task's next attempt about the calls of the ones before (docs/design/033)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from shoal._core._node import NodeCore
from shoal.ids import CONSTRUCTOR_KEY, method_key
from shoal.node.actors import Actors
from shoal.node.connections import Connection
from shoal.node.jobs import Jobs
from shoal.node.refusal import Refusal
from shoal.protocol.earlier import (
    ActorOfClass,
    CallName,
    CallsMade,
    EarlierCall,
    FindActorOfClass,
    ListCallsMade,
    NameCalls,
    Names,
)
from shoal.protocol.messages import Refused, Reply
from shoal.protocol.orders import ActorOrder
from shoal.task.actor_shape import ActorShape, calls_of

PREFIX_BYTES = 8  # of a key, that calls are told apart by


class EarlierCalls:
    """The handlers of one node."""

    def __init__(self, core: NodeCore, jobs: Jobs, actors: Actors) -> None:
        self._core = core
        self._jobs = jobs
        self._actors = actors
        self.handlers: Mapping[type, Callable[[Connection, Any], Awaitable[Reply]]] = {
            ListCallsMade: self._list,
            NameCalls: self._names,
            FindActorOfClass: self._actor,
        }

    async def _list(self, asker: Connection, message: ListCallsMade) -> Reply:
        calls = self._core.children(*asker.key, message.index, message.generation)
        return CallsMade([EarlierCall(*call) for call in calls])

    async def _names(self, asker: Connection, message: NameCalls) -> Reply:
        return Names([self._name(call) for call in message.calls])

    async def _actor(self, asker: Connection, message: FindActorOfClass) -> Reply:
        actor = self._actors.living(message.class_id)
        if actor is None:
            raise Refusal(Refused.NOT_FOUND, f"no living actor is of class {message.class_id}")
        return ActorOfClass(actor.class_name, actor.meta)

    def _name(self, call: CallName) -> str:
        start = call.function.to_bytes(PREFIX_BYTES, "little")
        order = self._actors.order_of(call.class_id)
        if order is not None:
            return _method_name(order, start)
        named = (entry for job in self._jobs for entry in job.functions.items())
        return next((name for key, (_, name) in named if key.startswith(start)), "")


def _method_name(order: ActorOrder, start: bytes) -> str:
    if CONSTRUCTOR_KEY.startswith(start):
        return f"{order.class_name}.__init__"
    shape = msgspec.msgpack.decode(order.meta, type=ActorShape)
    names = (method for call, method, _ in calls_of(shape) if method_key(call).startswith(start))
    return f"{order.class_name}.{next(names, 'a method')}"
