# SPDX-License-Identifier: Apache-2.0
"""The seam's other half: answers what a client asks of a daemon, at once and in this process.

A request that is not answered here needs a node: InlineModeError names it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, cast

from shoal.death import actor_unavailable
from shoal.errors import InlineModeError
from shoal.inline.actors import InlineActor
from shoal.inline.client import InlineClient
from shoal.inline.entry import GENERATION, Entry, InlineRef
from shoal.inline.runner import Runner
from shoal.inline.task import InlineTask
from shoal.link import RequestRefused
from shoal.node.resources import Ledger as Capacities
from shoal.protocol import messages as m
from shoal.protocol.metrics import MetricsTaken, ReportMetrics
from shoal.protocol.orders import ActorOrder
from shoal.task.running import running
from shoal.worker.actor_state import Creation


class Desk:
    """Requests of one connection. Any thread."""

    def __init__(self, client: InlineClient, config: m.NodeConfig) -> None:
        self.runner: Runner  # set by whoever connects
        self._client = client
        self._engine = client.engine
        self._config = config
        self._capacities = Capacities(config.resources)
        self._functions: dict[bytes, tuple[bytes, str]] = {}
        self._classes: dict[tuple[frozenset[tuple[str, float]], int], int] = {}
        self._class_ids = count(1)
        self._names: dict[tuple[str, str], int] = {}  # (namespace, name) -> class id, also of actors that are gone
        self._answers: dict[type, Callable[[Any], m.Reply]] = {
            m.PutFunction: self._put_function,
            m.GetFunction: self._get_function,
            m.DefineClass: self._define_class,
            m.DescribeClass: self._describe_class,
            m.CreateActor: self._create_actor,
            m.RegisterActorHandle: self._register_handle,
            m.GetActor: self._get_actor,
            m.ListNamedActors: self._list_named,
            m.KillActor: self._kill_actor,
            m.AbandonActor: self._abandon_actor,
            m.ExitReason: self._exit_reason,
            m.DescribeDeath: self._describe_death,
            m.CancelTask: self._cancel_task,
            m.ExportRef: self._export_ref,
            m.ImportRef: self._import_ref,
            m.ClusterResources: self._cluster_resources,
            m.AvailableResources: self._available_resources,
            m.NodeCounters: self._counters,
            m.ListNodes: self._list_nodes,
            ReportMetrics: self._report_metrics,
        }

    def request(self, message: m.Request[m.R], timeout_s: float | None = None) -> m.R:
        """As Link.request; nothing takes time."""
        self._client.check()
        answer = self._answers.get(type(message))
        if answer is None:
            raise InlineModeError(
                f"{type(message).__name__} asks for something that only a node has, and this process runs in inline "
                'mode: leave out mode="inline" of shoal.init() (or the variable SHOAL_MODE)'
            )
        return cast("m.R", answer(message))

    def tell(self, message: m.Request[m.R]) -> None:
        """As Link.tell."""
        self.request(message)

    def close(self) -> None:
        """There is nothing to close."""

    # -- functions and classes

    def _put_function(self, asked: m.PutFunction) -> m.Reply:
        self._functions[asked.key] = (asked.blob, asked.name)
        return m.Ok()

    def _get_function(self, asked: m.GetFunction) -> m.Reply:
        found = self._functions.get(asked.key)
        if found is None:
            raise _refused(m.Refused.NOT_FOUND, f"no function {asked.key.hex()}")
        return m.FunctionBlob(*found)

    def _define_class(self, asked: m.DefineClass) -> m.Reply:
        shape = (frozenset(asked.resources.items()), asked.priority)
        class_id = self._classes.get(shape)
        if class_id is None:
            class_id = self._classes[shape] = next(self._class_ids)
            self._engine.ledger.define(class_id, asked.resources)
        return m.ClassId(class_id, self._capacities.shortage(asked.resources))

    def _describe_class(self, asked: m.DescribeClass) -> m.Reply:
        return m.Amounts(dict(self._engine.ledger.demand_of(asked.class_id)))

    # -- actors

    def _create_actor(self, asked: m.CreateActor) -> m.Reply:
        namespace = asked.namespace or ""
        self._engine.settle()
        if asked.name is not None and self._living(namespace, asked.name) is not None:
            raise _refused(
                m.Refused.NAME_TAKEN,
                f"an actor is called {asked.name!r} in namespace {namespace!r} already; get it with get_actor or "
                "get_if_exists=True, or choose another name",
            )
        class_id = next(self._class_ids)
        order = ActorOrder(
            class_id=class_id,
            cls_key=asked.cls_key,
            class_name=asked.class_name,
            name=asked.name,
            namespace=namespace,
            max_concurrency=asked.max_concurrency,
            is_async=asked.is_async,
            meta=asked.meta,
            concurrency_groups=asked.concurrency_groups,
        )
        self._engine.ledger.define(class_id, asked.resources)
        with self._engine.lock:
            self._engine.actors[class_id] = InlineActor(class_id, asked, order)
        if asked.name is not None:
            self._names[namespace, asked.name] = class_id
        return m.ActorClass(class_id, self._capacities.shortage(asked.resources))

    def _register_handle(self, asked: m.RegisterActorHandle) -> m.Reply:
        actor = self._engine.actors.get(asked.class_id)
        if actor is not None:
            handle = cast(InlineRef, self._client.adopt(asked.index, asked.generation))
            actor.handle = (asked.index, asked.generation)
            handle.entry.on_free = partial(self._engine.orphans.append, actor)
            if actor.is_detached:
                actor.kept.append(handle)
            if asked.creation is not None:
                actor.kept.append(cast(InlineRef, self._client.adopt(*asked.creation)))
        return m.Ok()

    def _living(self, namespace: str, name: str) -> InlineActor | None:
        return self._engine.actors.get(self._names.get((namespace, name), -1))

    def _get_actor(self, asked: m.GetActor) -> m.Reply:
        self._engine.settle()
        named = self._living(asked.namespace or "", asked.name)
        actor = named if asked.class_id is None else self._engine.actors.get(asked.class_id)
        handle = None if actor is None else actor.handle or self._handle_to_be(actor)
        if actor is None or handle is None:
            raise _refused(m.Refused.NOT_FOUND, f"no actor {asked.name!r}")
        return m.ActorInfo(actor.class_id, *handle, actor.order.meta, actor.order.class_name)

    def _handle_to_be(self, actor: InlineActor) -> tuple[int, int] | None:
        """Asked in its constructor, which runs before its creator can register the handle."""
        task = self._engine.here.task
        if task is None or task.actor is not actor or not task.creates_actor:
            return None
        return task.returns[0].index, GENERATION

    def _list_named(self, asked: m.ListNamedActors) -> m.Reply:
        self._engine.settle()
        names = [
            (space, name)
            for (space, name), class_id in self._names.items()
            if class_id in self._engine.actors and asked.namespace in (None, space)
        ]
        return m.ActorNames(sorted(names))

    def _kill_actor(self, asked: m.KillActor) -> m.Reply:
        actor = self._engine.actors.get(asked.class_id)
        if actor is None:
            return m.Ok()
        death = m.Death(pid=os.getpid(), name=actor.order.name or actor.order.class_name, reason="it was killed")
        recorded = self._recorded(actor)
        if not asked.no_restart and actor.restarts_left != 0 and recorded is not None:
            actor.restarts_left -= actor.restarts_left > 0
            self.runner.restart(actor, partial(actor_unavailable, death), recorded)
        else:
            actor.death = death
            self.runner.bury(actor, death.reason)
        return m.Ok()

    def _recorded(self, actor: InlineActor) -> Creation | None:
        """How it is constructed again, if it was constructed and that was recorded."""
        if not actor.is_constructed or not actor.kept:
            return None
        recorded = actor.kept[-1]

        def arguments() -> tuple[list[Any], dict[str, Any]]:
            args, kwargs = self._client.get(recorded)
            return [self._value(arg) for arg in args], {name: self._value(arg) for name, arg in kwargs.items()}

        return Creation(arguments, _nothing, {"gpu_mask": self._engine.ledger.gpus_of(actor)})

    def _value(self, argument: object) -> object:
        return self._client.get(argument) if isinstance(argument, InlineRef) else argument

    def _abandon_actor(self, asked: m.AbandonActor) -> m.Reply:
        for actor in list(self._engine.actors.values()):
            if actor.ticket == asked.ticket:
                self.runner.bury(actor, "its creation was broken off")
        return m.Ok()

    def _exit_reason(self, asked: m.ExitReason) -> m.Reply:
        here = running()
        actor = self.runner.restarting if here is None else cast(InlineTask, here.task).actor
        if actor is not None:
            name = actor.order.name or actor.order.class_name
            actor.death = m.Death(pid=os.getpid(), name=name, reason=asked.text, payload=asked.payload)
        return m.Ok()

    def _describe_death(self, asked: m.DescribeDeath) -> m.Reply:
        return self.runner.death(asked.class_id)

    # -- tasks and objects

    def _cancel_task(self, asked: m.CancelTask) -> m.Reply:
        task = self._engine.tasks.get(asked.index)
        if task is not None:
            self._engine.cancel(task, is_recursive=asked.recursive)
        return m.Ok()

    def _export_ref(self, asked: m.ExportRef) -> m.Reply:
        return m.Ok()

    def _import_ref(self, asked: m.ImportRef) -> m.Reply:
        ref = self._client.exported(asked.object_id)
        if ref is None:
            raise _refused(m.Refused.NOT_FOUND, "it is not known")
        entry: Entry = ref.entry
        return m.RefLocation(entry.index, GENERATION)

    # -- the node

    def _cluster_resources(self, asked: m.ClusterResources) -> m.Reply:
        return m.Amounts(dict(self._config.resources))

    def _available_resources(self, asked: m.AvailableResources) -> m.Reply:
        self._engine.settle()
        free = {kind: amount for kind, amount in self._engine.ledger.available().items() if amount > 0}
        return m.Amounts(free)

    def _counters(self, asked: m.NodeCounters) -> m.Reply:
        return m.Amounts(self._client.counters())

    def _list_nodes(self, asked: m.ListNodes) -> m.Reply:
        node = m.NodeInfo(
            node_id=self._config.node_id,
            hostname=socket.gethostname(),
            is_alive=True,
            resources=dict(self._config.resources),
            runtime_dir="",
            daemon_pid=self._config.daemon_pid,
        )
        return m.NodeList([node])

    def _report_metrics(self, asked: ReportMetrics) -> m.Reply:
        """A program counts as on a node; here nobody reads it."""
        return MetricsTaken()


def _nothing() -> None:
    """Nobody has to be told that an actor is constructed again."""


def _refused(kind: str, text: str) -> RequestRefused:
    error = RequestRefused(text)
    error.kind = kind
    return error
