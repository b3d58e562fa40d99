# SPDX-License-Identifier: Apache-2.0
"""What clients may ask, one method each. A method returns the reply or raises Refusal."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from shoal._core import status
from shoal.ids import function_key
from shoal.node.checkpoints import Checkpoints
from shoal.node.connections import Connection
from shoal.node.deaths import actor_key, client_key
from shoal.node.earlier_calls import EarlierCalls
from shoal.node.groups import Declaration
from shoal.node.jobs import Job
from shoal.node.parts import Node
from shoal.node.placement_requests import PlacementRequests, job_of
from shoal.node.refusal import Refusal
from shoal.node.resources import Shape
from shoal.node.tables import read_tables
from shoal.protocol import groups as g
from shoal.protocol import messages as m
from shoal.protocol import metrics as mt
from shoal.protocol.tables import (
    CollectStacks,
    DescribeHoldings,
    DescribeNode,
    Holdings,
    JudgeDemand,
    Judgement,
    Noted,
    Output,
    ReadOutput,
    Stacks,
    StacksDumped,
)

FOR_OBSERVERS = (
    m.ClusterResources,
    m.AvailableResources,
    m.NodeCounters,
    m.ListNodes,
    DescribeNode,
    DescribeHoldings,
    CollectStacks,
    ReadOutput,
    mt.ReadMetrics,
)

T = TypeVar("T")


class Requests:
    """Answers for one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._handlers: Mapping[type, Callable[[Connection, Any], Awaitable[m.Reply]]] = {
            m.PutFunction: self._put_function,
            m.GetFunction: self._get_function,
            m.DefineClass: self._define_class,
            m.CreateActor: self._create_actor,
            m.RegisterActorHandle: self._register_actor_handle,
            m.TakeCreation: self._take_creation,
            m.Reconstructed: self._reconstructed,
            m.GetActor: self._get_actor,
            m.ListNamedActors: self._list_named_actors,
            m.KillActor: self._kill_actor,
            m.AbandonActor: self._abandon_actor,
            m.CancelTask: self._cancel_task,
            m.ExitReason: self._exit_reason,
            m.DescribeDeath: self._describe_death,
            m.ExportRef: self._export_ref,
            m.ImportRef: self._import_ref,
            m.RestoreObjects: self._restore_objects,
            m.DescribeShortage: self._describe_shortage,
            m.PackageFolder: self._package_folder,
            m.ClusterResources: self._cluster_resources,
            m.AvailableResources: self._available_resources,
            m.DescribeClass: self._describe_class,
            m.NodeCounters: self._node_counters,
            m.ListNodes: self._list_nodes,
            m.Shutdown: self._shutdown,
            **EarlierCalls(node.core, node.jobs, node.actors).handlers,
            **Checkpoints(node.actors, node.pool.of_connection, self._lend).handlers,
            DescribeNode: self._describe_node,
            DescribeHoldings: self._describe_holdings,
            CollectStacks: self._collect_stacks,
            StacksDumped: self._stacks_dumped,
            ReadOutput: self._read_output,
            JudgeDemand: self._judge_demand,
            g.OpenGroup: self._open_group,
            g.JoinGroup: self._join_group,
            g.CloseGroup: self._close_group,
            g.DeclareGroup: self._declare_group,
            g.FindGroup: self._find_group,
            mt.ReportMetrics: self._report_metrics,
            mt.ReadMetrics: self._read_metrics,
            **PlacementRequests(node.placement_groups, node.placing).handlers(),
        }

    async def answer(self, asker: Connection, message: m.ClientRequest) -> m.Reply:
        """The reply to one request of a registered client, or of an observer."""
        if asker.is_observer and not isinstance(message, FOR_OBSERVERS):
            raise Refusal(m.Refused.BAD_REQUEST, "an observer may look and change nothing: connect with shoal.init()")
        return await self._handlers[type(message)](asker, message)

    # -- functions

    async def _put_function(self, asker: Connection, message: m.PutFunction) -> m.Reply:
        # The key is how others will ask for it: a wrong one would give them a function of somebody else's choice.
        if function_key(message.blob) != message.key:
            raise Refusal(m.Refused.BAD_REQUEST, f"the key of function {message.name} is not the hash of its pickle")
        job_of(asker).functions.setdefault(message.key, (message.blob, message.name))
        return m.Ok()

    async def _get_function(self, asker: Connection, message: m.GetFunction) -> m.Reply:
        found = self._node.jobs.function(job_of(asker), message.key)
        if found is None:
            raise Refusal(m.Refused.NOT_FOUND, f"function {message.key.hex()} was never exported by a job that runs")
        return m.FunctionBlob(*found)

    # -- classes and actors

    async def _define_class(self, asker: Connection, message: m.DefineClass) -> m.Reply:
        job = job_of(asker)
        crew = self._node.crews.of(job, message.environment)
        number = 0 if crew is None else crew.number
        define = partial(self._node.core.define_class, priority=message.priority, crew=number)
        class_id = self._define(define, job, message)
        if crew is not None:
            crew.classes.add(class_id)
            self._node.begin(crew)
        return m.ClassId(class_id, self._warn_once(class_id, message))

    async def _create_actor(self, asker: Connection, message: m.CreateActor) -> m.Reply:
        job, node = job_of(asker), self._node
        root = node.jobs.add_detached(job) if message.is_detached else job

        def define() -> int:
            return self._define(partial(node.core.define_actor, logs=message.checkpoint_every > 0), root, message)

        try:
            class_id = node.actors.create(asker, root, message, define, self._is_possible)
        except Refusal:
            if root is not job:
                node.jobs.remove(root)
            raise
        return m.ActorClass(class_id, self._warn_once(class_id, message))

    async def _register_actor_handle(self, asker: Connection, message: m.RegisterActorHandle) -> m.Reply:
        entry = (message.index, message.generation)
        self._node.actors.register_handle(message.class_id, *entry, message.creation)
        return m.Ok()

    async def _take_creation(self, asker: Connection, message: m.TakeCreation) -> m.Reply:
        creation = self._node.actors.creation_of(message.class_id)
        if creation is None:
            raise Refusal(m.Refused.NOT_FOUND, f"no actor of class {message.class_id} can be restarted")
        self._lend(asker, creation, f"the arguments of the constructor of actor {message.class_id} are gone")
        return m.RefLocation(*creation)

    async def _reconstructed(self, asker: Connection, message: m.Reconstructed) -> m.Reply:
        self._node.actors.reconstructed(message.class_id)
        return m.Ok()

    async def _get_actor(self, asker: Connection, message: m.GetActor) -> m.Reply:
        namespace = message.namespace or job_of(asker).namespace
        found = await self._node.actors.find(message.name, namespace, message.class_id)
        name = message.name or found.class_name
        self._lend(asker, (found.index, found.generation), f"actor {name!r} has just lost its last handle")
        return found

    async def _list_named_actors(self, asker: Connection, message: m.ListNamedActors) -> m.Reply:
        return m.ActorNames(self._node.actors.names(message.namespace))

    async def _kill_actor(self, asker: Connection, message: m.KillActor) -> m.Reply:
        reason = "it was killed by shoal.kill()"
        if message.no_restart:
            self._node.actors.end(message.class_id, reason)
        else:
            self._node.actors.replace(message.class_id, reason)
        return m.Ok()

    async def _abandon_actor(self, asker: Connection, message: m.AbandonActor) -> m.Reply:
        self._node.actors.abandon(asker, message.ticket)
        return m.Ok()

    # -- tasks

    async def _cancel_task(self, asker: Connection, message: m.CancelTask) -> m.Reply:
        self._node.core.cancel(message.index, message.generation, message.force, message.recursive)
        return m.Ok()

    # -- deaths

    async def _exit_reason(self, asker: Connection, message: m.ExitReason) -> m.Reply:
        process = self._node.pool.of_connection(asker)
        if process is not None:
            process.reason, process.payload = process.reason or message.text, message.payload
            if message.is_final:
                self._node.actors.leaves(process)
        return m.Ok()

    async def _describe_death(self, asker: Connection, message: m.DescribeDeath) -> m.Reply:
        is_actor = message.class_id >= 0
        key = actor_key(message.class_id) if is_actor else client_key(message.index, message.epoch)
        return await self._node.deaths.describe(key)

    # -- references that left the node's bookkeeping

    async def _export_ref(self, asker: Connection, message: m.ExportRef) -> m.Reply:
        job, entry = job_of(asker), (message.index, message.generation)
        before = job.exports.get(message.object_id)
        if before != entry:
            if not self._node.core.hold(*entry):
                raise Refusal(m.Refused.NOT_FOUND, f"object {message.object_id.hex()} is gone")
            job.exports[message.object_id] = entry
            if before is not None:  # a task's next attempt made its objects, and so their ids, again
                self._node.core.drop(*before)
        return m.Ok()

    async def _import_ref(self, asker: Connection, message: m.ImportRef) -> m.Reply:
        entry = self._node.jobs.exported(message.object_id)
        self._lend(asker, entry, f"object {message.object_id.hex()} is gone")
        return m.RefLocation(*entry)

    # -- collective groups

    async def _open_group(self, asker: Connection, message: g.OpenGroup) -> m.Reply:
        key, entry = (job_of(asker).namespace, message.name), (message.index, message.generation)
        self._node.groups.open(asker, key, message.world_size, entry)
        return g.GroupOpened()

    async def _join_group(self, asker: Connection, message: g.JoinGroup) -> m.Reply:
        key = (job_of(asker).namespace, message.name)
        lend = partial(self._lend, asker, text=f"the memory of group {message.name!r} is gone")
        entry = await self._node.groups.join(asker, key, message.world_size, message.rank, message.wait_s, lend)
        return g.GroupMemory(*entry)

    async def _close_group(self, asker: Connection, message: g.CloseGroup) -> m.Reply:
        job = job_of(asker)
        self._node.groups.close(asker, (job.namespace, message.name), job.root)
        return g.GroupClosed()

    async def _declare_group(self, asker: Connection, message: g.DeclareGroup) -> m.Reply:
        job = job_of(asker)
        declaration = Declaration(job.root, message.ranks, message.timeout_s)
        self._node.groups.declare(
            (job.namespace, message.name), declaration, lambda root: self._node.jobs.get(root) is not None
        )
        return g.GroupDeclared()

    async def _find_group(self, asker: Connection, message: g.FindGroup) -> m.Reply:
        return self._node.groups.role((job_of(asker).namespace, message.name), message.class_id)

    # -- the store

    async def _restore_objects(self, asker: Connection, message: m.RestoreObjects) -> m.Reply:
        await self._node.spiller.restore(message.needed, message.ahead)
        return m.Ok()

    async def _describe_shortage(self, asker: Connection, message: m.DescribeShortage) -> m.Reply:
        return m.StoreReport(*self._node.spiller.report(message.nbytes))

    # -- environments

    async def _package_folder(self, asker: Connection, message: m.PackageFolder) -> m.Reply:
        try:
            return m.Folder(self._node.packages.path())
        except OSError as error:
            raise Refusal(m.Refused.NO_ENVIRONMENT, f"the node has no folder for packages: {error}") from error

    # -- the node

    async def _cluster_resources(self, asker: Connection, message: m.ClusterResources) -> m.Reply:
        return m.Amounts(self._node.ledger.capacity)

    async def _available_resources(self, asker: Connection, message: m.AvailableResources) -> m.Reply:
        return m.Amounts(self._node.ledger.named(self._node.core.available()))

    async def _describe_class(self, asker: Connection, message: m.DescribeClass) -> m.Reply:
        resources = job_of(asker).classes.get(message.class_id)
        if resources is None:
            raise Refusal(m.Refused.NOT_FOUND, f"class {message.class_id} is not of this job")
        return m.Amounts(resources)

    async def _node_counters(self, asker: Connection, message: m.NodeCounters) -> m.Reply:
        counters = {**self._node.core.counters(), **self._node.spiller.counters()}
        return m.Amounts({name: float(count) for name, count in counters.items()})

    async def _list_nodes(self, asker: Connection, message: m.ListNodes) -> m.Reply:
        config = self._node.config
        return m.NodeList(
            [
                m.NodeInfo(
                    node_id=config.node_id,
                    hostname=socket.gethostname(),
                    is_alive=True,
                    resources=config.resources,
                    runtime_dir=config.runtime_dir,
                    daemon_pid=config.daemon_pid,
                    labels=config.labels,
                )
            ]
        )

    async def _describe_node(self, asker: Connection, message: DescribeNode) -> m.Reply:
        return read_tables(self._node)

    async def _describe_holdings(self, asker: Connection, message: DescribeHoldings) -> m.Reply:
        return Holdings(self._node.core.holdings())

    async def _collect_stacks(self, asker: Connection, message: CollectStacks) -> m.Reply:
        return Stacks(await self._node.stacks.collect(message.pid, is_of_lines=message.is_of_lines))

    async def _stacks_dumped(self, asker: Connection, message: StacksDumped) -> m.Reply:
        self._node.stacks.take(asker, message.number, message.text)
        return Noted()

    async def _read_output(self, asker: Connection, message: ReadOutput) -> m.Reply:
        lines, following, n_forgotten = await self._node.output.read(
            message.source, message.after, message.most, message.wait_s
        )
        return Output(lines, following, n_forgotten)

    async def _judge_demand(self, asker: Connection, message: JudgeDemand) -> m.Reply:
        job = self._node.jobs.of_class(message.class_id)
        resources = {} if job is None else job.classes[message.class_id]
        return Judgement(self._node.placing.shortage(message.class_id, resources) or "")

    async def _report_metrics(self, asker: Connection, message: mt.ReportMetrics) -> m.Reply:
        self._node.metrics.take(asker, message.reports, message.number)
        return mt.MetricsTaken()

    async def _read_metrics(self, asker: Connection, message: mt.ReadMetrics) -> m.Reply:
        return mt.Metrics(await self._node.read_metrics())

    async def _shutdown(self, asker: Connection, message: m.Shutdown) -> m.Reply:
        job = job_of(asker)
        if not (job.is_starter and job.driver is asker):
            raise Refusal(m.Refused.BAD_REQUEST, "only the driver that started a node stops it")
        self._node.stop()
        return m.Ok()

    # -- inside

    def _lend(self, asker: Connection, entry: tuple[int, int], text: str) -> None:
        # Counted for the asker before it is told: the job that holds the object may end in between.
        if not self._node.core.hold_for(*asker.key, *entry):
            raise Refusal(m.Refused.NOT_FOUND, text)

    def _define(self, define: Callable[..., int], job: Job, asked: m.DefineClass | m.CreateActor) -> int:
        resources = asked.resources
        placed = self._node.placing.settle(asked.place, resources)
        try:
            shape: Shape = self._node.ledger.shape(resources | placed.extra)
            class_id = define(
                root=job.root,
                cpu_milli=shape.cpu_milli,
                demands=shape.demands,
                gpu_milli=shape.gpu_milli,
                group=placed.group,
                bundle=placed.bundle,
                tag=placed.tag,
            )
        except (status.StoreFull, status.Invalid) as error:
            raise Refusal(
                m.Refused.FULL, f"the node can not take another kind of demand ({error}); use fewer different ones"
            ) from error
        job.classes[class_id] = resources
        self._node.deaths.forget(actor_key(class_id))  # of whom it was before
        self._node.placing.note(class_id, asked.place, is_actor=isinstance(asked, m.CreateActor))
        return class_id

    def _is_possible(self, class_id: int, resources: dict[str, float]) -> bool:
        return self._node.placing.shortage(class_id, resources) is None

    def _warn_once(self, class_id: int, asked: m.DefineClass | m.CreateActor) -> str | None:
        shortage = self._node.placing.shortage(class_id, asked.resources)
        if asked.place.group and not asked.place.rules:
            return None  # who made the group was told
        if shortage is not None:
            self._node.starvation.told(class_id, asyncio.get_running_loop().time())
        return shortage
