# SPDX-License-Identifier: Apache-2.0
"""The node's actors: their names, their processes, and their ends.

    QUEUED --resources granted--> STARTED --process dead--> ended
       |                             ^   `--process dead, restarts left--> RESTARTING
       |                             `-------after a pause, handle known-------'  |
       `------killed, unreferenced, its creator or job gone--> ended <------------'

A detached actor is a job of its own, which ends with it; the registry holds its handle.

An actor's class exists from its creation on, so calls may be submitted while it is queued. It is closed exactly once,
when the actor has ended; the core then resolves what was not executed. The name is free from the moment the actor is
doomed, so that a successor may be created at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from shoal._core._node import ERR_ACTOR_DIED, NodeCore
from shoal.node.connections import UNREGISTERED, Connection
from shoal.node.deaths import Deaths, actor_key
from shoal.node.jobs import Job
from shoal.node.refusal import Refusal
from shoal.node.restarts import Restarts
from shoal.node.worker_pool import WorkerProcess
from shoal.protocol.checkpoint import Checkpoint
from shoal.protocol.messages import ActorInfo, CreateActor, Death, Refused
from shoal.protocol.orders import ActorOrder

NO_STATUS = -1  # of a process that never was
MAX_ENDED = 256  # that are remembered for listings
MAX_RECORD_BYTES = 32768  # a class of at most this size is sent with the order, which saves the actor a request


class Actor(msgspec.Struct, eq=False):
    """One living actor."""

    order: ActorOrder
    job: Job
    creator: Connection
    ticket: int  # the creator's number for it
    is_possible: bool  # the node has, in all, what it demands
    is_detached: bool  # it is what its job is there for
    restarts: Restarts
    group: str = ""  # id of the placement group that it lives in
    process: WorkerProcess | None = None  # None: queued, or restarting
    handle: tuple[int, int] | None = None  # entry of the handle object; None: its constructor is not called yet
    is_held: bool = False  # by the registry
    creation: tuple[int, int] | None = None  # entry of the constructor's arguments, held by the registry
    checkpoint: Checkpoint | None = None  # the last one, held by the registry
    is_doomed: bool = False
    is_unreferenced: bool = False
    registered: asyncio.Event = msgspec.field(default_factory=asyncio.Event)  # set with `handle`, and at the end

    def __str__(self) -> str:
        return f"actor {self.order.name!r}" if self.order.name else f"an actor of class {self.order.class_name}"


class EndedActor(NamedTuple):
    """An actor that was, for those who ask what became of it."""

    order: ActorOrder
    root: int
    death: Death
    n_restarts: int


class Actors:
    """The registry. `start` makes an actor's process, `kill` ends one."""

    def __init__(
        self,
        core: NodeCore,
        deaths: Deaths,
        start: Callable[[Job, ActorOrder], WorkerProcess],
        kill: Callable[[WorkerProcess, str], None],
        end_root: Callable[[Job], None],
        log_path: str | None = None,
    ) -> None:
        self._core = core
        self._deaths = deaths
        self._start = start
        self._kill = kill
        self._end_root = end_root
        self._log_path = log_path
        self._actors: dict[int, Actor] = {}  # by class id
        self._names: dict[tuple[str, str], Actor] = {}  # by (namespace, name)
        self.ended: deque[EndedActor] = deque(maxlen=MAX_ENDED)  # the oldest first

    def create(
        self,
        creator: Connection,
        job: Job,
        asked: CreateActor,
        define: Callable[[], int],
        is_possible: Callable[[int, dict[str, float]], bool],
    ) -> int:
        """Reserve an actor and, resources permitting, start its process -> its class. Raises Refusal.

        `is_possible` says whether a class with such a demand can ever be served."""
        namespace = asked.namespace or job.namespace
        if asked.name is not None and (namespace, asked.name) in self._names:
            raise Refusal(
                Refused.NAME_TAKEN,
                f"an actor named {asked.name!r} lives in namespace {namespace!r} already: take another name, kill it, "
                "or use get_if_exists=True",
            )
        order = ActorOrder(
            define(),
            asked.cls_key,
            asked.class_name,
            asked.name,
            namespace,
            asked.max_concurrency,
            asked.is_async,
            asked.meta,
            _short_record(job, asked.cls_key),
            asked.concurrency_groups,
            checkpoint_every=asked.checkpoint_every,
            environment=asked.environment,
        )
        actor = self._actors[order.class_id] = Actor(
            order,
            job,
            creator,
            asked.ticket,
            is_possible(order.class_id, asked.resources),
            asked.is_detached,
            Restarts(asked.max_restarts),
            group=asked.place.group,
        )
        if actor.restarts.is_left:
            self._core.set_restarts(order.class_id, True, 0)
        if order.name is not None:
            self._names[namespace, order.name] = actor
        if self._core.reserve_actor(order.class_id):
            self.granted(order.class_id)
        return order.class_id

    def granted(self, class_id: int) -> None:
        """The core has reserved the actor's resources."""
        actor = self._actors.get(class_id)
        if actor is not None and actor.process is None and actor.restarts.n_begun == 0:
            actor.process = self._start(actor.job, actor.order)

    def register_handle(
        self, class_id: int, index: int, generation: int, creation: tuple[int, int] | None = None
    ) -> None:
        """From here on the actor can be found by name. `creation`: what its constructor runs with again."""
        actor = self._actors.get(class_id)
        if actor is not None and actor.handle is None:
            actor.handle = (index, generation)
            actor.is_held = actor.is_detached and self._core.hold(index, generation)
            if creation is not None and self._core.hold(*creation):
                actor.creation = creation
            actor.registered.set()
            if actor.restarts.n_begun:
                self._start_again(actor)

    def creation_of(self, class_id: int) -> tuple[int, int] | None:
        """The entry of the recorded arguments of an actor's constructor."""
        actor = self._actors.get(class_id)
        return None if actor is None else actor.creation

    def save_checkpoint(self, class_id: int, process: WorkerProcess | None, checkpoint: Checkpoint) -> bool:
        """An actor's state was put into an object -> whether the process is the actor and the object is there.

        From a process that is known to be dead its position may be that of a call of the next one."""
        actor = self._actors.get(class_id)
        if actor is None or process is None or actor.process is not process:
            return False
        if not self._core.hold(checkpoint.index, checkpoint.generation):
            return False
        before, actor.checkpoint = actor.checkpoint, checkpoint
        if before is not None:
            self._core.drop(before.index, before.generation)
        return True

    def checkpoint_of(self, class_id: int) -> Checkpoint | None:
        """The last checkpoint of an actor."""
        actor = self._actors.get(class_id)
        return None if actor is None else actor.checkpoint

    def reconstructed(self, class_id: int) -> None:
        """A restarted actor's constructor has run again, and it has its state."""
        actor = self._actors.get(class_id)
        if actor is not None:
            actor.restarts.succeeded()

    async def find(self, name: str, namespace: str, class_id: int | None = None) -> ActorInfo:
        """A named actor, or the one of a class, after waiting for its creation. Raises Refusal."""
        actor = self._names.get((namespace, name)) if class_id is None else self._actors.get(class_id)
        if actor is not None:
            await actor.registered.wait()
        if actor is None or actor.is_doomed or actor.handle is None:
            raise Refusal(
                Refused.NOT_FOUND,
                f"no living actor is named {name!r} in namespace {namespace!r}: create it first, with this name, or "
                "give the namespace of the driver that did",
            )
        index, generation = actor.handle
        order = actor.order
        return ActorInfo(order.class_id, index, generation, order.meta, order.class_name)

    def order_of(self, class_id: int) -> ActorOrder | None:
        """How an actor was started that lives, or has ended not too long ago."""
        actor = self._actors.get(class_id)
        if actor is not None:
            return actor.order
        return next((ended.order for ended in reversed(self.ended) if ended.order.class_id == class_id), None)

    def living(self, class_id: int) -> ActorOrder | None:
        """How an actor was started, if it lives and whoever made it has its handle."""
        actor = self._actors.get(class_id)
        return None if actor is None or actor.is_doomed or actor.handle is None else actor.order

    def names(self, namespace: str | None) -> list[tuple[str, str]]:
        """(namespace, name) of the living named actors of one namespace, or of all."""
        return sorted(key for key in self._names if namespace in (None, key[0]))

    def end(self, class_id: int, reason: str, *, is_of_group: bool = False) -> None:
        """Kill an actor; `is_of_group`: because its placement group was removed. Of a dead one: no effect."""
        actor = self._actors.get(class_id)
        if actor is None:
            return
        self._doom(actor)
        self._settle(actor)
        if actor.process is None:
            death = Death(reason=reason, name=actor.order.class_name, is_of_group=is_of_group)
            self._close(actor, death, UNREGISTERED, NO_STATUS)
        else:
            actor.process.is_of_group = is_of_group and not actor.process.is_condemned
            self._kill(actor.process, reason)

    def end_group(self, group_id: str, reason: str) -> None:
        """Kill the actors of a placement group that is removed."""
        for class_id, actor in list(self._actors.items()):
            if actor.group == group_id:
                self.end(class_id, reason, is_of_group=True)

    def replace(self, class_id: int, reason: str) -> None:
        """Kill an actor's process as if it had died by itself: with restarts left another one follows."""
        actor = self._actors.get(class_id)
        if actor is None or not actor.restarts.is_left:
            self.end(class_id, reason)
        elif actor.process is not None:
            self._kill(actor.process, reason)

    def leaves(self, process: WorkerProcess) -> None:
        """An actor's process is about to end because the actor does."""
        actor = self._actors.get(process.actor.class_id) if process.actor else None
        if actor is not None:
            self._settle(actor)

    def unreferenced(self, class_id: int) -> None:
        """The last handle is gone: the process leaves by itself once its calls are done.

        A queued actor still gets its turn, for the sake of its calls, unless that can never come.
        """
        actor = self._actors.get(class_id)
        if actor is None:
            return
        self._doom(actor)
        actor.is_unreferenced = True
        reason = "its last handle was gone"
        if actor.restarts.is_left:
            return  # it may yet die in one of its calls, and be replaced for the rest of them
        if actor.process is not None:
            actor.process.reason = actor.process.reason or reason
        elif not actor.is_possible:
            self.end(class_id, reason)

    def process_ended(self, process: WorkerProcess) -> None:
        """An actor's process is gone for good, for whatever reason."""
        actor = self._actors.get(process.actor.class_id) if process.actor else None
        if actor is None:
            return
        death = process.death(self._log_path)
        has_left = actor.is_unreferenced and process.status == 0
        if process.failure is not None:
            self._settle(actor)  # the next attempt would fail alike
        if actor.restarts.is_left and not has_left:
            actor.process = None
            self._restart(actor, death)
            return
        self._doom(actor)
        wait_status = NO_STATUS if process.status is None else process.status
        self._close(actor, death, process.key, wait_status)

    def creator_gone(self, creator: Connection) -> None:
        """A client is gone: nobody will call the constructors that it had not called yet."""
        for class_id, actor in list(self._actors.items()):
            if actor.creator is creator and actor.handle is None:
                self.end(class_id, f"its creator (pid {creator.pid}) died before calling the constructor")

    def abandon(self, creator: Connection, ticket: int) -> None:
        """A creation was broken off: nobody got the handle. No effect if it had not begun."""
        for class_id, actor in list(self._actors.items()):
            if actor.creator is creator and actor.ticket == ticket:
                self.end(class_id, f"its creation by pid {creator.pid} was broken off")

    def end_job(self, job: Job) -> None:
        """Kill the actors of a job that has ended."""
        for class_id, actor in list(self._actors.items()):
            if actor.job is job:
                self.end(class_id, "its job has ended")

    def __len__(self) -> int:
        return len(self._actors)

    def __iter__(self) -> Iterator[Actor]:
        return iter(list(self._actors.values()))

    def _restart(self, actor: Actor, death: Death) -> None:
        """The core has put back what the process did not end, and keeps it for the next one."""
        from shoal.death import one_line  # and with it cloudpickle; few actors are restarted

        pause_s = actor.restarts.begin(one_line(death))
        self._core.set_restarts(actor.order.class_id, actor.restarts.is_left, actor.restarts.n_begun)
        if pause_s:
            asyncio.get_running_loop().call_later(pause_s, self._start_again, actor)
        else:
            self._start_again(actor)

    def _start_again(self, actor: Actor) -> None:
        """Not before the handle is registered: it tells whether the creating call has returned or is yet to be run."""
        order = actor.order
        if self._actors.get(order.class_id) is actor and actor.process is None and actor.handle is not None:
            again = msgspec.structs.replace(order, n_restarts=actor.restarts.n_begun, handle=actor.handle)
            actor.process = self._start(actor.job, again)

    def _settle(self, actor: Actor) -> None:
        """No process follows this one. Said before it dies, for the core decides about the calls then."""
        if actor.restarts.is_left:
            actor.restarts.is_over = True
            self._core.set_restarts(actor.order.class_id, False, actor.restarts.n_begun)

    def _doom(self, actor: Actor) -> None:
        actor.is_doomed = True
        actor.registered.set()
        order = actor.order
        if order.name is not None and self._names.get((order.namespace, order.name)) is actor:
            del self._names[order.namespace, order.name]

    def _close(self, actor: Actor, death: Death, client: tuple[int, int], wait_status: int) -> None:
        class_id = actor.order.class_id
        del self._actors[class_id]
        death = msgspec.structs.replace(death, earlier=actor.restarts.ends)
        self.ended.append(EndedActor(actor.order, actor.job.root, death, actor.restarts.n_begun))
        # First the record: whoever sees a call fail asks for it at once.
        self._deaths.record(death, actor_key(class_id))
        self._core.close_class(class_id, ERR_ACTOR_DIED, *client, death.pid, wait_status)
        if actor.is_held and actor.handle is not None:
            self._core.drop(*actor.handle)
        if actor.creation is not None:
            self._core.drop(*actor.creation)
        if actor.checkpoint is not None:
            self._core.drop(actor.checkpoint.index, actor.checkpoint.generation)
        if actor.is_detached:
            self._end_root(actor.job)


def _short_record(job: Job, key: bytes) -> bytes:
    record, _ = job.functions.get(key, (b"", ""))
    return record if len(record) <= MAX_RECORD_BYTES else b""
