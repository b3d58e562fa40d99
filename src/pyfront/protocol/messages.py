# SPDX-License-Identifier: Apache-2.0
"""Every message between a node's processes, as tagged msgpack structs. Cold paths only: no call or result passes here.

A *client* (driver or worker) sends a `Request` and gets the reply that its type names, or `Refused`; the daemon may
send a `Push` at any time. Descriptors travel beside the bytes: [segment, poke] with `Welcome`. What the daemon and its
zygote say to each other is in `orders`.

Amounts of resources are floats in the unit of the user; `memory` is in bytes.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from shoal.protocol.checkpoint import CheckpointReply, CheckpointRequest
from shoal.protocol.conversation import Push as Push
from shoal.protocol.conversation import R as R
from shoal.protocol.conversation import Reply as Reply
from shoal.protocol.conversation import Request as Request
from shoal.protocol.deaths import Death as Death
from shoal.protocol.deaths import DescribeDeath as DescribeDeath
from shoal.protocol.deaths import MemoryEnd as MemoryEnd
from shoal.protocol.earlier import EarlierReply, EarlierRequest
from shoal.protocol.environment import Environment
from shoal.protocol.groups import GroupReply, GroupRequest
from shoal.protocol.metrics import MetricReply, MetricRequest
from shoal.protocol.placement import PlacementReply, PlacementRequest
from shoal.protocol.places import ANYWHERE, Place
from shoal.protocol.tables import TableReply, TableRequest

# -- replies


class Ok(Reply, frozen=True):
    """Done."""


class Refused(Reply, frozen=True):
    """Not done; nothing has changed."""

    kind: str  # one of the constants below
    text: str  # which, why and what to do

    BAD_REQUEST: ClassVar[str] = "bad request"
    NAME_TAKEN: ClassVar[str] = "name taken"
    NOT_FOUND: ClassVar[str] = "not found"
    STOPPING: ClassVar[str] = "stopping"
    FULL: ClassVar[str] = "full"  # no room for one more record in the node
    OUT_OF_DISK: ClassVar[str] = "out of disk"  # the store is full, and nothing more can be spilled
    TIMED_OUT: ClassVar[str] = "timed out"  # who was waited for did not come
    LOST: ClassVar[str] = "lost"  # an object's bytes cannot be had any more
    NO_ENVIRONMENT: ClassVar[str] = "no environment"  # there is no folder for what it is made of
    UNSCHEDULABLE: ClassVar[str] = "unschedulable"  # no node may run it
    UNFIT: ClassVar[str] = "unfit"  # a demand that no bundle of its placement group can hold
    GROUP_REMOVED: ClassVar[str] = "group removed"  # there is no such placement group, any more
    NOT_WELCOME: ClassVar[str] = "not welcome"  # the node does not start, or does not take this client


class NodeConfig(msgspec.Struct, frozen=True):
    """What a client may want to know of its node."""

    node_id: str
    session: str
    runtime_dir: str  # path of the session's folder, holds daemon.sock
    daemon_pid: int
    resources: dict[str, float]
    store_bytes: int
    is_tracing: bool = False  # every client writes down what it does (shoal.tracing)
    is_recording_lines: bool = False  # every client remembers which line made which object (shoal.origins)
    metrics_port: int = 0  # where Prometheus finds the node; 0: nowhere
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class Welcome(Reply, frozen=True):
    """The client is registered. Comes with two descriptors: segment and poke."""

    index: int
    epoch: int
    root: int  # number of the job
    namespace: str  # of named actors, unless a call gives another
    config: NodeConfig


class FunctionBlob(Reply, frozen=True):
    """A stored pickle."""

    blob: bytes
    name: str


class ClassId(Reply, frozen=True):
    """A scheduling class of this job."""

    class_id: int
    warning: str | None = None  # the demand can not be met here as things are; tell the user


class ActorClass(Reply, frozen=True):
    """A new actor, whose constructor may now be called."""

    class_id: int
    warning: str | None = None


class ActorInfo(Reply, frozen=True):
    """A living actor: its class, the entry of its handle object, and its methods."""

    class_id: int
    index: int
    generation: int
    meta: bytes
    class_name: str


class ActorNames(Reply, frozen=True):
    """Living named actors, as pairs of namespace and name."""

    names: list[tuple[str, str]]


class RefLocation(Reply, frozen=True):
    """Where an exported object's entry is."""

    index: int
    generation: int


class Folder(Reply, frozen=True):
    """A folder of the node's."""

    path: str


class Amounts(Reply, frozen=True):
    """Resources by name."""

    amounts: dict[str, float]


class StoreReport(Reply, frozen=True):
    """Why the store has no room."""

    kind: str  # Refused.FULL or Refused.OUT_OF_DISK
    text: str


class NodeInfo(msgspec.Struct, frozen=True):
    """One node of the cluster."""

    node_id: str
    hostname: str
    is_alive: bool
    resources: dict[str, float]
    runtime_dir: str
    daemon_pid: int
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class NodeList(Reply, frozen=True):
    """All nodes."""

    nodes: list[NodeInfo]


# -- requests


class Hello(Request[Welcome], frozen=True):
    """A driver's first message; anything else before it ends the connection."""

    pid: int
    python: str  # "3.11"
    cwd: bytes  # paths are bytes, for they need not be text
    sys_path: list[bytes]
    argv0: str
    namespace: str | None = None  # default: one for this driver alone
    preload: list[str] = msgspec.field(default_factory=list)  # modules that its tasks will probably want
    started: int = 0  # when it did, in clock ticks since the machine did: with its pid, who it is
    has_environment: bool = False  # its tasks run in one: no worker without one is wanted


class PutFunction(Request[Ok], frozen=True):
    """Store a pickled function or class under the hash of its content. Repeating it is harmless."""

    key: bytes
    blob: bytes
    name: str


class GetFunction(Request[FunctionBlob], frozen=True):
    """Fetch it; refused with NOT_FOUND."""

    key: bytes


class DefineClass(Request[ClassId], frozen=True):
    """The scheduling class of tasks with this resource shape, priority, environment and place. Same ones, same answer.

    Refused with NO_ENVIRONMENT, UNSCHEDULABLE, UNFIT, GROUP_REMOVED."""

    resources: dict[str, float]
    priority: int = 0  # within the job
    environment: Environment | None = None
    place: Place = ANYWHERE


class CreateActor(Request[ActorClass], frozen=True):
    """Reserve an actor and start its process; refused with NAME_TAKEN, and as `DefineClass`."""

    cls_key: bytes
    class_name: str
    resources: dict[str, float]
    max_concurrency: int
    is_async: bool
    meta: bytes
    name: str | None = None
    namespace: str | None = None
    ticket: int = 0  # the client's own number for this creation, for `AbandonActor`
    is_detached: bool = False  # it outlives its job and its handles
    max_restarts: int = 0  # -1: without end
    checkpoint_every: int = 0  # calls; 0: it has no checkpoints
    concurrency_groups: dict[str, int] = msgspec.field(default_factory=dict)
    environment: Environment | None = None
    place: Place = ANYWHERE


class RegisterActorHandle(Request[Ok], frozen=True):
    """The entry that the constructor's call will fill: from now on `GetActor` finds the actor."""

    class_id: int
    index: int
    generation: int
    creation: tuple[int, int] | None = None  # entry of the constructor's arguments, to be kept for restarts


class TakeCreation(Request[RefLocation], frozen=True):
    """The recorded arguments of this actor's constructor; refused with NOT_FOUND."""

    class_id: int


class Reconstructed(Request[Ok], frozen=True):
    """The asker's constructor has run again: it is the actor now."""

    class_id: int


class GetActor(Request[ActorInfo], frozen=True):
    """Find an actor; refused with NOT_FOUND. Waits for a creation that is under way."""

    name: str
    namespace: str | None = None
    class_id: int | None = None  # of the actor; None: the one of that name


class ListNamedActors(Request[ActorNames], frozen=True):
    """The living named actors of one namespace; None: of all."""

    namespace: str | None


class KillActor(Request[Ok], frozen=True):
    """End an actor's process now. Of a dead actor: no effect."""

    class_id: int
    no_restart: bool = True  # False: as if the process had died by itself


class AbandonActor(Request[Ok], frozen=True):
    """The creation of this ticket was broken off, wherever it was: nobody has the handle."""

    ticket: int


class CancelTask(Request[Ok], frozen=True):
    """End a task, by index and generation of its slot. Of one that is over: no effect."""

    index: int
    generation: int
    force: bool
    recursive: bool


class ExitReason(Request[Ok], frozen=True):
    """A worker says why it is about to exit; `Death` repeats it."""

    text: str
    payload: bytes = b""
    is_final: bool = True  # an actor is not restarted


class ExportRef(Request[Ok], frozen=True):
    """Keep this object until the job ends: its id has left the node's own bookkeeping."""

    object_id: bytes
    index: int
    generation: int


class ImportRef(Request[RefLocation], frozen=True):
    """Find an exported object; refused with NOT_FOUND."""

    object_id: bytes


class RestoreObjects(Request[Ok], frozen=True):
    """Bring spilled objects back to memory, each by index and generation of its entry; the asker has `needed` pinned.

    Answered when all of `needed` are there; `ahead` will be wanted next. Refused with LOST, FULL or OUT_OF_DISK.
    """

    needed: list[tuple[int, int]]
    ahead: list[tuple[int, int]] = msgspec.field(default_factory=list)


class DescribeShortage(Request[StoreReport], frozen=True):
    """Why there is no room for so many bytes."""

    nbytes: int


class PackageFolder(Request[Folder], frozen=True):
    """Where clients put copies of what environments are made of; it goes with the node. Refused with NO_ENVIRONMENT."""


class ClusterResources(Request[Amounts], frozen=True):
    """All resources there are."""


class AvailableResources(Request[Amounts], frozen=True):
    """Resources that nobody holds now."""


class DescribeClass(Request[Amounts], frozen=True):
    """The resources that a class of this job demands; refused with NOT_FOUND."""

    class_id: int


class NodeCounters(Request[Amounts], frozen=True):
    """The core's counters of the whole node: live records and bytes, completed tasks, repairs."""


class ListNodes(Request[NodeList], frozen=True):
    """All nodes."""


class Shutdown(Request[Ok], frozen=True):
    """Stop the node. Refused unless the driver that started the node asks."""


# -- pushes


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """One line that workers printed, or several equal ones: then `pid` is that of the last one."""

    pid: int
    name: str
    text: str
    is_stderr: bool
    count: int = 1
    n_processes: int = 1


class LogLines(Push, frozen=True):
    """What the job's workers printed."""

    lines: list[LogLine]
    n_dropped: int = 0  # lines left out before these because the driver read too slowly


class Warn(Push, frozen=True):
    """Something the user should know; print it."""

    text: str


class Retire(Push, frozen=True):
    """A worker is to leave after its present task, if it has one: room is wanted for workers of other environments."""


class FlushReferences(Push, frozen=True):
    """The store is full: let go of what dropped references still hold, although no call of the core is due."""


ClientRequest = (
    Hello
    | PutFunction
    | GetFunction
    | DefineClass
    | CreateActor
    | RegisterActorHandle
    | TakeCreation
    | Reconstructed
    | GetActor
    | ListNamedActors
    | KillActor
    | AbandonActor
    | CancelTask
    | ExitReason
    | DescribeDeath
    | ExportRef
    | ImportRef
    | RestoreObjects
    | DescribeShortage
    | PackageFolder
    | ClusterResources
    | AvailableResources
    | DescribeClass
    | NodeCounters
    | ListNodes
    | Shutdown
    | EarlierRequest
    | CheckpointRequest
    | GroupRequest
    | PlacementRequest
    | MetricRequest
    | TableRequest
)
DaemonMessage = (
    Ok
    | Refused
    | Welcome
    | FunctionBlob
    | ClassId
    | ActorClass
    | ActorInfo
    | ActorNames
    | Death
    | RefLocation
    | Folder
    | StoreReport
    | Amounts
    | NodeList
    | LogLines
    | Warn
    | Retire
    | FlushReferences
    | EarlierReply
    | CheckpointReply
    | GroupReply
    | PlacementReply
    | MetricReply
    | TableReply
)
M = TypeVar("M")


class MessageError(ValueError):
    """A body is not a message of the expected conversation."""


class Decoder(Generic[M]):
    """Bytes to a message of one conversation.

    Made when it is first used, or by `prepare`: it takes 2 ms, and a process is at one end of each conversation."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._decoder: msgspec.msgpack.Decoder[M] | None = None

    def prepare(self) -> msgspec.msgpack.Decoder[M]:
        """Make it now."""
        self._decoder = msgspec.msgpack.Decoder(self._kind)
        return self._decoder

    def __call__(self, body: bytes | bytearray | memoryview) -> M:
        """Raises MessageError for anything else than one whole message."""
        try:
            return (self._decoder or self.prepare()).decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise MessageError(f"not a message: {error}") from error


decode_request: Decoder[ClientRequest] = Decoder(ClientRequest)
decode_daemon: Decoder[DaemonMessage] = Decoder(DaemonMessage)

_encoder = msgspec.msgpack.Encoder()


def encode(message: msgspec.Struct) -> bytes:
    """The body of a frame."""
    return _encoder.encode(message)
