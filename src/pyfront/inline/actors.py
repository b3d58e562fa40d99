# SPDX-License-Identifier: Apache-2.0
"""An actor's record: its calls in order, what it is at, how it ended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from shoal.inline.ledger import Demand, Ledger
from shoal.protocol.messages import CreateActor, Death
from shoal.protocol.orders import ActorOrder

if TYPE_CHECKING:
    from shoal.inline.entry import InlineRef
    from shoal.inline.loops import LoopThread
    from shoal.inline.task import InlineTask
    from shoal.worker.actor_state import ActorState


class InlineActor:
    """One actor. Guarded by the engine's lock."""

    def __init__(self, class_id: int, asked: CreateActor, order: ActorOrder) -> None:
        self.class_id = class_id
        self.ticket = asked.ticket
        self.demand: Demand = asked.resources
        self.is_detached = asked.is_detached
        self.restarts_left = asked.max_restarts
        self.order = order
        self.queue: list[InlineTask] = []  # calls that have not begun, oldest first
        self.state: ActorState | None = None  # from when it has its resources
        self.loop: LoopThread | None = None
        self.handle: tuple[int, int] | None = None  # the entry of its handle, once registered
        self.kept: list[InlineRef] = []  # the handle of a detached one, and the arguments to be made again with
        self.is_constructed = False
        self.is_dead = False
        self.is_orphan = False  # its last handle is gone
        self.death = Death()
        self._active: dict[int, str | None] = {}  # calls that have begun, by index, with their groups

    @property
    def is_idle(self) -> bool:
        """Whether it has no call that has begun or waits."""
        return not self._active and not self.queue

    def next_call(self, ledger: Ledger) -> InlineTask | None:
        """Take the call that may begin now, if there is one; the creating call takes the actor's resources."""
        at = self._ready(ledger)
        if at is None:
            return None
        task = self.queue.pop(at)
        if task.creates_actor:
            ledger.hold(self, self.demand, with_cpus=True)
        task.lease = {"gpu_mask": ledger.gpus_of(self)}
        self._active[task.index] = self._group(task)
        return task

    def can_begin(self, ledger: Ledger) -> bool:
        """Whether `next_call` would give one."""
        return self._ready(ledger) is not None

    def left(self, task: InlineTask) -> None:
        """A call has ended."""
        self._active.pop(task.index, None)

    def suspended(self, tasks: dict[int, InlineTask]) -> list[InlineTask]:
        """Its generators that stand at a `yield`."""
        found = [tasks[index] for index in self._active if index in tasks]
        return [task for task in found if task.items is not None and task.items.source is not None]

    def _ready(self, ledger: Ledger) -> int | None:
        if self.is_dead:
            return None
        if not self.is_constructed:
            for at, task in enumerate(self.queue):
                if task.creates_actor and not self._active and task.arguments.are_there:
                    return at if self.state is not None or ledger.fits(self.demand) else None
            return None
        n_active = Counter(self._active.values())
        held_back: set[object] = set()  # callers whose calls must wait for an earlier one of theirs
        for at, task in enumerate(self.queue):
            caller = None if task.parent is None else task.parent.index
            if caller in held_back:
                continue
            group = self._group(task)
            if task.arguments.are_there and n_active[group] < self._limit(group):
                return at
            if not task.arguments.are_there:
                held_back.add(caller)
        return None

    def _group(self, task: InlineTask) -> str | None:
        return None if self.state is None else self.state.group_of(task)  # type: ignore[arg-type]  # a Task to hosts

    def _limit(self, group: str | None) -> int:
        return self.order.max_concurrency if group is None else self.order.concurrency_groups[group]
