# SPDX-License-Identifier: Apache-2.0
"""What a client asks its daemon, as functions: messages in, values and public exceptions out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import count
from typing import Any, NamedTuple

import msgspec

from shoal._core._node import ObjectRef
from shoal.errors import (
    ActorNameTakenError,
    ActorPlacementGroupRemoved,
    ActorUnschedulableError,
    InfeasibleResourcesWarning,
    NodeStoppingError,
    ObjectLostError,
    ObjectStoreFullError,
    OutOfDiskError,
    PlacementGroupSchedulingError,
    RuntimeEnvSetupError,
    ShoalError,
    TaskPlacementGroupRemoved,
    TaskUnschedulableError,
)
from shoal.ids import FunctionKey
from shoal.link import RequestRefused
from shoal.protocol.checkpoint import Checkpoint, SaveCheckpoint, TakeCheckpoint
from shoal.protocol.earlier import CallName, EarlierCall, FindActorOfClass, ListCallsMade, NameCalls
from shoal.protocol.environment import Environment
from shoal.protocol.messages import (
    AbandonActor,
    AvailableResources,
    CancelTask,
    ClusterResources,
    CreateActor,
    Death,
    DefineClass,
    DescribeClass,
    DescribeDeath,
    DescribeShortage,
    ExitReason,
    ExportRef,
    GetActor,
    GetFunction,
    ImportRef,
    KillActor,
    ListNamedActors,
    ListNodes,
    NodeCounters,
    NodeInfo,
    PackageFolder,
    PutFunction,
    R,
    Reconstructed,
    RefLocation,
    Refused,
    RegisterActorHandle,
    Request,
    RestoreObjects,
    TakeCreation,
)
from shoal.protocol.placement import ClassPlace, DescribePlace
from shoal.protocol.places import ANYWHERE, Place
from shoal.protocol.tables import DescribeNode, JudgeDemand, NodeTables
from shoal.seam import Requests
from shoal.task.actor_shape import ActorShape

REFUSALS: dict[str, type[ShoalError]] = {
    Refused.NAME_TAKEN: ActorNameTakenError,
    Refused.STOPPING: NodeStoppingError,
    Refused.FULL: ObjectStoreFullError,
    Refused.OUT_OF_DISK: OutOfDiskError,
    Refused.LOST: ObjectLostError,
    Refused.NO_ENVIRONMENT: RuntimeEnvSetupError,
    Refused.UNSCHEDULABLE: TaskUnschedulableError,
    Refused.UNFIT: PlacementGroupSchedulingError,
    Refused.GROUP_REMOVED: TaskPlacementGroupRemoved,
}
OF_ACTORS: dict[str, type[ShoalError]] = {
    **REFUSALS,
    Refused.UNSCHEDULABLE: ActorUnschedulableError,
    Refused.GROUP_REMOVED: ActorPlacementGroupRemoved,
}

OBJECT_ID_BYTES = 20

CALLER_DEPTH = 5  # frames from the warning up to the line that called `.remote()`


class FoundActor(NamedTuple):
    """A living actor, as the daemon knows it."""

    class_id: int
    handle: RefLocation
    class_name: str
    shape: ActorShape


class NodeCalls:
    """Requests over one link, or to what stands for it. Any thread; each waits for its reply.

    Every method raises NodeDiedError if the daemon is gone and NotConnectedError after the link was closed.
    """

    def __init__(self, link: Requests, session: str) -> None:
        self._link = link
        self._session = session.encode()  # of the node: ids of objects repeat from one node to the next
        self._tickets = count(1)

    def put_function(self, key: FunctionKey, blob: bytes, name: str) -> None:
        """Store a function's record."""
        self._ask(PutFunction(key=key, blob=blob, name=name))

    def get_function(self, key: FunctionKey) -> bytes | None:
        """A function's record; None if nobody exported it."""
        reply = self._find(GetFunction(key=key))
        return None if reply is None else reply.blob

    def define_class(
        self,
        resources: dict[str, float],
        priority: int = 0,
        environment: Environment | None = None,
        place: Place = ANYWHERE,
    ) -> int:
        """The scheduling class of such tasks. Warns if the node cannot meet the demand as things are.

        Raises RuntimeEnvSetupError, TaskUnschedulableError, PlacementGroupSchedulingError or
        TaskPlacementGroupRemoved."""
        reply = self._ask(DefineClass(resources=resources, priority=priority, environment=environment, place=place))
        _warn(reply.warning)
        return reply.class_id

    def take_ticket(self) -> int:
        """A number for one creation of an actor, by which it can be broken off at any point."""
        return next(self._tickets)

    def create_actor(
        self,
        *,
        ticket: int,
        key: FunctionKey,
        name: str | None,
        namespace: str,
        class_name: str,
        resources: dict[str, float],
        max_concurrency: int,
        is_async: bool,
        concurrency_groups: dict[str, int],
        max_restarts: int,
        checkpoint_every: int,
        is_detached: bool,
        shape: ActorShape,
        environment: Environment | None = None,
        place: Place = ANYWHERE,
    ) -> int:
        """Reserve an actor -> its class id. Raises ActorNameTakenError, ActorUnschedulableError,
        PlacementGroupSchedulingError, ActorPlacementGroupRemoved; warns as `define_class`."""
        reply = self._ask(
            CreateActor(
                cls_key=key,
                class_name=class_name,
                resources=resources,
                max_concurrency=max_concurrency,
                is_async=is_async,
                concurrency_groups=concurrency_groups,
                max_restarts=max_restarts,
                checkpoint_every=checkpoint_every,
                is_detached=is_detached,
                meta=msgspec.msgpack.encode(shape),
                name=name,
                namespace=namespace,
                ticket=ticket,
                environment=environment,
                place=place,
            ),
            errors=OF_ACTORS,
        )
        _warn(reply.warning)
        return reply.class_id

    def abandon_actor(self, ticket: int) -> None:
        """Break a creation off: the actor, should it exist, ends. Waits for nothing and raises nothing."""
        self._link.tell(AbandonActor(ticket=ticket))

    def register_actor_handle(self, class_id: int, ref: ObjectRef[Any], recorded: ObjectRef[Any] | None) -> None:
        """Tell which object is the actor's handle: from now on it can be found by name.

        `recorded`: the constructor's arguments, which the node keeps while the actor may be restarted."""
        creation = None if recorded is None else (recorded.index, recorded.generation)
        self._ask(RegisterActorHandle(class_id, ref.index, ref.generation, creation))

    def take_creation(self, class_id: int) -> RefLocation:
        """The recorded arguments of this actor's constructor, held for this client."""
        return self._ask(TakeCreation(class_id=class_id))

    def save_checkpoint(self, class_id: int, ref: ObjectRef[Any], position: int) -> None:
        """This actor's state is in this object, as it is after the call of this position.

        Raises ObjectLostError if another process is the actor by now."""
        self._ask(SaveCheckpoint(class_id, ref.index, ref.generation, position))

    def take_checkpoint(self, class_id: int) -> Checkpoint | None:
        """The last checkpoint of this actor, held for this client; None if there is none."""
        return self._find(TakeCheckpoint(class_id))

    def reconstructed(self, class_id: int) -> None:
        """This actor's constructor has run again, and it has its state."""
        self._ask(Reconstructed(class_id=class_id))

    def get_actor(self, name: str, namespace: str, class_id: int | None = None) -> FoundActor | None:
        """The living actor of this name, or of this class, if there is one."""
        reply = self._find(GetActor(name=name, namespace=namespace, class_id=class_id))
        if reply is None:
            return None
        shape = msgspec.msgpack.decode(reply.meta, type=ActorShape)
        return FoundActor(reply.class_id, RefLocation(reply.index, reply.generation), reply.class_name, shape)

    def named_actors(self, namespace: str | None) -> list[tuple[str, str]]:
        """(namespace, name) of the living named actors of one namespace; None: of all."""
        return self._ask(ListNamedActors(namespace=namespace)).names

    def kill_actor(self, class_id: int, *, no_restart: bool) -> None:
        """End an actor's process now, for good or not."""
        self._ask(KillActor(class_id=class_id, no_restart=no_restart))

    def cancel_task(self, index: int, generation: int, *, force: bool, recursive: bool) -> None:
        """End a task, by index and generation of its slot. When it returns, nothing of it that waits will start."""
        self._ask(CancelTask(index=index, generation=generation, force=force, recursive=recursive))

    def explain_exit(self, text: str, payload: bytes = b"", *, is_final: bool = True) -> None:
        """Say why this worker is about to exit. `is_final`: an actor is not restarted after it."""
        self._ask(ExitReason(text=text, payload=payload, is_final=is_final))

    def describe_death(self, index: int, epoch: int, class_id: int = -1) -> Death:
        """How a process ended. Waits until the daemon knows."""
        return self._ask(DescribeDeath(index=index, epoch=epoch, class_id=class_id))

    def export_ref(self, ref: ObjectRef[Any]) -> bytes:
        """Keep the object until the job ends -> the bytes that `import_ref` finds it by."""
        object_id = ref.binary()
        self._ask(ExportRef(object_id=object_id, index=ref.index, generation=ref.generation))
        return object_id + self._session

    def import_ref(self, token: bytes) -> RefLocation:
        """Where an exported object is, held for this client. Raises ObjectLostError if this node does not know it."""
        object_id, session = token[:OBJECT_ID_BYTES], token[OBJECT_ID_BYTES:]
        reply = self._find(ImportRef(object_id=object_id)) if session == self._session else None
        if reply is None:
            why = "the job that pickled its ref has ended" if session == self._session else "it was of another node"
            raise ObjectLostError(
                f"object {object_id.hex()} is not known here: {why}; pass refs as arguments or inside values "
                "instead of pickling them yourself"
            )
        return reply

    def calls_made(self, index: int, generation: int) -> list[EarlierCall]:
        """What earlier attempts of the task in this slot have left, held for this client, which runs it."""
        return self._ask(ListCallsMade(index=index, generation=generation)).calls

    def call_names(self, calls: list[CallName]) -> list[str]:
        """What errors call these functions and methods; "" where nobody knows."""
        return self._ask(NameCalls(calls=calls)).names

    def actor_of_class(self, class_id: int) -> tuple[str, ActorShape] | None:
        """The class's name and the shape of an actor that lives."""
        reply = self._find(FindActorOfClass(class_id=class_id))
        return None if reply is None else (reply.class_name, msgspec.msgpack.decode(reply.meta, type=ActorShape))

    def restore_objects(
        self, needed: list[tuple[int, int]], ahead: list[tuple[int, int]], timeout_s: float | None
    ) -> None:
        """Wait until spilled objects are in memory. Raises ObjectLostError, ObjectStoreFullError, TimeoutError."""
        self._ask(RestoreObjects(needed=needed, ahead=ahead), timeout_s)

    def shortage(self, nbytes: int, what: str) -> ShoalError:
        """The error of somebody who waited in vain for room for `what`."""
        report = self._ask(DescribeShortage(nbytes=nbytes))
        return REFUSALS[report.kind](f"{what}. {report.text}")

    def judge_demand(self, class_id: int, timeout_s: float) -> str:
        """Why no call of a class can ever run; empty if it can. Raises TimeoutError."""
        return self._ask(JudgeDemand(class_id=class_id), timeout_s).text

    def tables(self, timeout_s: float) -> NodeTables:
        """What the daemon calls things. Raises TimeoutError."""
        return self._ask(DescribeNode(), timeout_s)

    def package_folder(self) -> str:
        """Where this node's copies of `working_dir` and `py_modules` are. Raises RuntimeEnvSetupError."""
        return self._ask(PackageFolder()).path

    def cluster_resources(self) -> dict[str, float]:
        """All resources there are."""
        return self._ask(ClusterResources()).amounts

    def available_resources(self) -> dict[str, float]:
        """Resources that nobody holds now."""
        return self._ask(AvailableResources()).amounts

    def class_resources(self, class_id: int) -> dict[str, float]:
        """What a scheduling class or an actor demands."""
        return self._ask(DescribeClass(class_id=class_id)).amounts

    def counters(self) -> dict[str, float]:
        """What the segment holds now: live_entries, live_bytes, repairs, ... Approximate while work goes on."""
        return self._ask(NodeCounters()).amounts

    def nodes(self) -> list[NodeInfo]:
        """All nodes."""
        return self._ask(ListNodes()).nodes

    def place_of(self, class_id: int) -> ClassPlace:
        """In which placement group the calls of a class run."""
        return self._ask(DescribePlace(class_id=class_id))

    def captured_by(self, class_id: int) -> Place | None:
        """Where the children of this class's calls run, if they run in its placement group."""
        found = self.place_of(class_id)
        return Place(found.group, captures=True) if found.group and found.captures else None

    def _ask(
        self,
        message: Request[R],
        timeout_s: float | None = None,
        errors: Mapping[str, type[ShoalError]] = REFUSALS,
    ) -> R:
        try:
            return self._link.request(message, timeout_s)
        except RequestRefused as refused:
            raise errors.get(refused.kind, ShoalError)(str(refused)) from None

    def _find(self, message: Request[R]) -> R | None:
        try:
            return self._link.request(message)
        except RequestRefused as refused:
            if refused.kind == Refused.NOT_FOUND:
                return None
            raise REFUSALS.get(refused.kind, ShoalError)(str(refused)) from None


def _warn(text: str | None) -> None:
    if text is not None:
        warnings.warn(text, InfeasibleResourcesWarning, stacklevel=CALLER_DEPTH)
