# SPDX-License-Identifier: Apache-2.0
"""What runs when. A call runs on the thread that makes it, inside `.remote()`, unless it cannot yet.

It cannot while an argument is a promise, while the actor is at another call, or while what it demands is held. Then
whoever makes a call, waits or ends a call next runs it, on his thread. Calls of async actors run on those actors' event
loops; a generator runs from one `yield` to the next as its items are asked for.

The lock is for records only: no code of the user's runs under it. A thread that has nothing to run sleeps until a
promise is resolved; if nobody is left who could resolve it, it raises DeadlockError instead.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING

from shoal.errors import DeadlockError
from shoal.inline.entry import Entry, Items
from shoal.inline.ledger import Ledger
from shoal.inline.task import InlineTask

if TYPE_CHECKING:
    from shoal.inline.actors import InlineActor
    from shoal.inline.client import InlineClient
    from shoal.inline.loops import LoopThread
    from shoal.inline.runner import Runner


class Here(threading.local):
    """What the calling thread is doing."""

    task: InlineTask | None = None
    loop: LoopThread | None = None  # whose thread it is


class Engine:
    """The calls of one connection. Any thread."""

    def __init__(self, client: InlineClient) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)  # a promise was resolved, or a call has ended or was added
        self.here = Here()
        self.ledger = Ledger({})  # set by whoever connects, as the runner
        self.runner: Runner
        self.tasks: dict[int, InlineTask] = {}  # that are not over
        self.actors: dict[int, InlineActor] = {}  # that live, by class id
        self.dropped: deque[Items] = deque()  # streams without a consumer
        self.orphans: deque[InlineActor] = deque()  # actors whose last handle is gone
        self._client = client
        self._queue: list[InlineTask] = []  # of no actor, not begun
        self._n_waiting = 0  # threads

    # -- the life of a call

    def submit(self, task: InlineTask) -> None:
        """A new call: run it, if it can be run, before this returns."""
        here = self.here
        with self.lock:
            task.parent = here.task
            if here.task is not None:
                task.depth = here.task.depth + 1
                here.task.children.add(task)
            self.tasks[task.index] = task
            if task.template.is_actor_call:
                actor = self.actors.get(task.class_id)
                if actor is not None:
                    actor.queue.append(task)
                    task.actor = actor
            else:
                self._queue.append(task)
            self.changed.notify_all()
        if task.template.is_actor_call and task.actor is None:
            self._client.fail_with(task, self.runner.death_of(task.class_id))
            return
        self.run_all()
        loop = None if task.actor is None else task.actor.loop
        if loop is not None and here.loop is None:
            loop.wait_until_quiet()

    def run_all(self) -> None:
        """Run what can be run on this thread."""
        self.settle()
        while True:
            task = self._take()
            if task is not None:
                self.runner.run(task)
            else:
                task = self._take_generator_in_the_way()
                if task is None:
                    return
                self.runner.step(task)
            self.settle()

    def end(self, task: InlineTask) -> None:
        """A call is over. Under the lock."""
        if task.is_over:
            return
        task.is_over = True
        task.returns = []
        if task.items is None:
            # The one that it ran in refers to the task, which with its arguments would wait for a garbage collection.
            task.context = Context()
        self.tasks.pop(task.index, None)
        if task.is_begun:
            self._let_go(task)
        elif task in self._queue:
            self._queue.remove(task)
        elif task.actor is not None and task in task.actor.queue:
            task.actor.queue.remove(task)
        self.changed.notify_all()

    def put_back(self, task: InlineTask) -> None:
        """Its next attempt is due."""
        with self.lock:
            self._let_go(task)
            task.is_begun = False
            self._queue.insert(0, task)

    def _let_go(self, task: InlineTask) -> None:
        if task.actor is not None:
            task.actor.left(task)
            if task.actor.is_orphan:
                self.orphans.append(task.actor)
        else:
            self.ledger.release(task)
        task.lease = {}

    def _take(self) -> InlineTask | None:
        with self.lock:
            if self._client.is_closed:
                return None
            for task in self._queue:
                if task.arguments.are_there and self.ledger.hold(task, self.ledger.demand_of(task.class_id)):
                    self._queue.remove(task)
                    task.lease = {"gpu_mask": self.ledger.gpus_of(task)}
                    return self._begin(task)
            for actor in list(self.actors.values()):
                call = actor.next_call(self.ledger)
                if call is not None:
                    return self._begin(call)
        return None

    def _begin(self, task: InlineTask) -> InlineTask:
        task.is_begun = True
        task.thread_id = threading.get_ident()
        return task

    def _take_generator_in_the_way(self) -> InlineTask | None:
        """One that an actor must come to the end of before its next call, which is there."""
        with self.lock:
            for actor in list(self.actors.values()):
                if actor.queue and not actor.can_begin(self.ledger):
                    for task in actor.suspended(self.tasks):
                        if is_suspended(task) and task.items is not None and task.items.has_room:
                            task.thread_id = threading.get_ident()
                            return task
        return None

    # -- waits

    def wait(self, entries: list[Entry], n_wanted: int, deadline: float | None) -> bool:
        """Run what can be run until so many of the entries are resolved -> False at the deadline.

        Raises NotConnectedError if the connection ends meanwhile, DeadlockError if nobody could resolve them."""
        while True:
            self.run_all()
            with self.lock:
                self._client.check()
                promises = [entry for entry in entries if not entry.order]
                if len(entries) - len(promises) >= n_wanted:
                    return True
                source = self._source_of(promises)
                if source is None:
                    if self._has_work() or self.dropped or self.orphans:
                        continue
                    if deadline is None and self._is_stuck():
                        raise DeadlockError(self._stuck_text(promises))
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        return False
                    self._sleep(left)
                    continue
                source.thread_id = threading.get_ident()
            self.runner.step(source)

    def _sleep(self, seconds: float | None) -> None:
        loop = self.here.loop
        if loop is not None:
            loop.blocks(can_wake=seconds is not None)
        self._n_waiting += 1
        try:
            self.changed.wait(seconds)
        finally:
            self._n_waiting -= 1
            if loop is not None:
                loop.goes_on()

    def has_waiting_thread(self) -> bool:
        """Whether a thread sleeps that would run what has become possible."""
        return self._n_waiting > 0

    def _has_work(self) -> bool:
        if any(task.arguments.are_there and self.ledger.can_hold(task.class_id) for task in self._queue):
            return True
        return any(actor.can_begin(self.ledger) for actor in list(self.actors.values()))

    def _source_of(self, promises: list[Entry]) -> InlineTask | None:
        """A generator that would resolve one of these, and stands at a `yield`."""
        for entry in promises:
            task = None if entry.task is None else self.tasks.get(entry.task.number)
            if task is not None and is_suspended(task):
                return task
        return None

    def _is_stuck(self) -> bool:
        me = threading.get_ident()
        loops = [actor.loop for actor in list(self.actors.values()) if actor.loop is not None]
        if any(loop.may_go_on for loop in loops):
            return False
        own = {me, *(loop.thread_id for loop in loops)}
        return all(thread.ident in own for thread in threading.enumerate() if not thread.daemon or thread.ident == me)

    def _stuck_text(self, promises: list[Entry]) -> str:
        whys = []
        for entry in promises:
            task = None if entry.task is None else self.tasks.get(entry.task.number)
            if task is not None:
                whys.append(self._why(task))
        return (
            "this wait would never end: nothing can run that would resolve what it is for"
            + ("; " + "; ".join(dict.fromkeys(whys)) if whys else "")
            + ". In inline mode a call runs on the thread that waits for it, so one cannot wait for another that is "
            "below it on the stack"
        )

    def _why(self, task: InlineTask) -> str:
        if task.is_begun:
            return f"{task.name} is running, and waits itself"
        what = "a call of an actor" if task.actor is not None else "a task"
        if not task.arguments.are_there:
            return f"{what} waits for an argument"
        if task.actor is not None:
            return f"{what} waits for its turn: {task.actor.order.class_name} is at another call"
        return f"{what} waits for {self.ledger.demand_of(task.class_id)}, of which {self.ledger.available()} is free"

    # -- ends

    def settle_unless_locked(self) -> None:
        """`settle`, for a finalizer: it may run anywhere, also amid a look at the records, where nothing may be ended.
        Then the next thread that looks for something to run does it."""
        try:
            self.changed.notify_all()  # which only who holds the lock may
        except RuntimeError:
            self.settle()

    def settle(self) -> None:
        """Close generators that nobody takes from any more, and end actors that nobody can call any more."""
        while self.dropped:
            try:
                items = self.dropped.popleft()
            except IndexError:
                return
            self.runner.close_stream(items)
        while self.orphans:
            try:
                actor = self.orphans.popleft()
            except IndexError:
                return
            with self.lock:
                actor.is_orphan = True
                is_over = actor.is_idle and not actor.is_dead
            if is_over:
                self.runner.bury(actor, "its last handle is gone")

    def cancel(self, task: InlineTask, *, is_recursive: bool) -> None:
        """End a call: one that has not begun does not run, one that runs ends as cancelled whatever it returns."""
        if is_recursive:
            for child in list(task.children):
                self.cancel(child, is_recursive=True)
        with self.lock:
            if task.is_over:
                return
            task.is_cancelled = True
            is_waiting = not task.is_begun or is_suspended(task)
        if is_waiting:
            self.runner.close_source(task)
            self._client.surrender(task)
        elif task.actor is not None and task.actor.loop is not None:
            task.actor.loop.cancel_calls()
        self.run_all()

    def stop(self) -> None:
        """The connection ends: end everything that lives."""
        for task in list(self.tasks.values()):
            self.runner.close_source(task)
        for actor in list(self.actors.values()):
            self.runner.bury(actor, "the driver has ended its connection")


def is_suspended(task: InlineTask) -> bool:
    """Whether it is a generator that stands at a `yield`, on no thread."""
    return task.items is not None and task.items.source is not None and task.thread_id == 0
