# SPDX-License-Identifier: Apache-2.0
"""Runs the code of calls: functions, constructors, methods, and generators from one `yield` to the next.

Interrupts are the exception to "an error is what the call came to": Ctrl-C, quitting a debugger and whatever else is no
Exception are meant for the program that runs here too, so they pass on to the caller as well.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import msgspec

from shoal._core._node import RETURNS_DYNAMIC, RETURNS_STREAM, Client, Task
from shoal._core.status import ArgumentError
from shoal.death import actor_died
from shoal.errors import SerializationError, TaskCancelledError
from shoal.inline.actors import InlineActor
from shoal.inline.entry import Items
from shoal.inline.loops import LoopThread
from shoal.inline.task import InlineTask
from shoal.protocol.messages import Death
from shoal.serialization.blame import explain_value
from shoal.task.actor_shape import ActorShape
from shoal.task.function_table import FunctionTable
from shoal.task.running import Running, overlapping
from shoal.worker.actor_state import ActorState, Creation
from shoal.worker.items import close, iterator_of, send
from shoal.worker.outcome import Outcomes, let_go

if TYPE_CHECKING:
    from shoal.inline.client import InlineClient
    from shoal.node_calls import NodeCalls
    from shoal.task.accelerators import Accelerators

OWN_FRAMES = 1  # of a traceback: `_call` or `_step`


class Runner:
    """Runs what the engine has chosen, on the calling thread. The engine's lock is not held."""

    def __init__(
        self, client: InlineClient, functions: FunctionTable, calls: NodeCalls, node: str, accelerators: Accelerators
    ) -> None:
        self._client = client
        self._engine = client.engine
        self._functions = functions
        self._calls = calls
        self._accelerators = accelerators
        # The hosts and outcomes of a worker ask of a client what both kinds of clients can do.
        self._as_client = cast(Client, client)
        self._outcomes = Outcomes(self._as_client, node)
        self.restarting: InlineActor | None = None
        self._deaths: dict[int, Death] = {}  # of actors that are gone, by class id

    def run(self, task: InlineTask) -> None:
        """Run a call to its end; of a generator, make it and stop before its first step."""
        actor = task.actor
        if actor is not None and actor.state is None:
            actor.state = self._state_of(actor)
        if actor is not None and actor.order.is_async:
            if actor.loop is None:
                actor.loop = LoopThread(self._as_client, actor.state, self._on_loop_call_over, self._engine.here)
            task.name = actor.state.name_of(cast(Task, task)) if actor.state is not None else task.name
            actor.loop.start(task)
            return
        self._inside(task, self._call)
        self._over_or_suspended(task)

    def step(self, task: InlineTask) -> None:
        """Run a generator to its next `yield`, or to its end."""
        self._inside(task, self._step)
        self._over_or_suspended(task)

    def _inside(self, task: InlineTask, run: Callable[[InlineTask], None]) -> None:
        here = self._engine.here
        before = here.task
        here.task = task
        try:
            task.context.run(run, task)
        finally:
            here.task = before
            task.thread_id = 0

    def _over_or_suspended(self, task: InlineTask) -> None:
        actor = task.actor
        if actor is not None and task.creates_actor and task.is_over:
            actor.is_constructed = True
        if task.is_cancelled and not task.is_over:  # it was, while it ran
            self.close_source(task)
            self._client.surrender(task)

    def _call(self, task: InlineTask) -> None:
        overlapping.set(Running(cast(Task, task), task.name))
        while True:  # for each attempt of an actor's call
            try:
                function = self._target(task)
                args, kwargs = task.load()
                self._returned(task, function(*args, **kwargs))
            except BaseException as error:
                if not self._is_repeated_here(task, error):
                    self._raised(task, error)
                    return
            else:
                return

    def _target(self, task: InlineTask) -> Callable[..., Any]:
        if task.actor is None:
            task.name, function = self._functions.begin_call(task.key)
        else:
            state = task.actor.state
            assert state is not None
            task.name = state.name_of(cast(Task, task))
            function = state.target(cast(Task, task))
        overlapping.set(Running(cast(Task, task), task.name))
        return function

    def _returned(self, task: InlineTask, value: object) -> None:
        if task.num_returns == RETURNS_STREAM:
            assert task.items is not None
            items = iterator_of(task.name, value)
            for _ in range(task.items.n_made):  # by an earlier attempt
                next(items, None)
            task.items.source = items
            if not task.items.is_wanted:
                self._engine.dropped.append(task.items)
        elif task.num_returns == RETURNS_DYNAMIC:
            send(self._as_client, cast(Task, task), task.name, value, partial(self._outcomes.payload, task.name))
        else:
            self._outcomes.returned(cast(Task, task), task.name, value)

    def _step(self, task: InlineTask) -> None:
        items = task.items
        assert items is not None
        assert items.source is not None
        try:
            value = next(items.source)
        except StopIteration:
            task.end_stream()
        except BaseException as error:
            self._raised(task, error)
        else:
            try:
                task.offer(value)
            except SerializationError as error:
                close(items.source)
                self._raised(task, explain_value(value, error))

    def _is_repeated_here(self, task: InlineTask, error: BaseException) -> bool:
        state = None if task.actor is None else task.actor.state
        return state is not None and not _ends_the_program(error) and state.is_repeated(cast(Task, task), error)

    def _raised(self, task: InlineTask, error: BaseException) -> None:
        if _ends_the_program(error) and not task.is_cancelled:
            self._client.fail_with(task, partial(_interrupted, task.name))
            raise error
        if task.actor is not None:
            assert task.actor.state is not None
            task.actor.state.raised(cast(Task, task), task.name, error, OWN_FRAMES)
            if task.actor.state.is_over:
                self.bury(task.actor, task.actor.death.reason)
        elif self._functions.traits(task.key).is_retried(error) and self._client.retry(task):
            if task.items is not None:
                task.items.source = None
            let_go(error)
            self._engine.put_back(task)
        else:
            self._outcomes.raised(cast(Task, task), task.name, error, OWN_FRAMES)

    # -- generators that nobody asks any more

    def close_stream(self, items: Items) -> None:
        """Close a stream's generator where it stands."""
        for task in list(self._engine.tasks.values()):
            if task.items is items and items.source is not None and task.thread_id == 0:
                self.close_source(task)
                task.end_stream()
                return

    def close_source(self, task: InlineTask) -> None:
        """Have a suspended generator end; what it raises is nobody's."""
        source: Iterator[Any] | None = None if task.items is None else task.items.source
        if source is not None and task.thread_id == 0:
            assert task.items is not None
            task.items.source = None

            def run(_: InlineTask) -> None:
                with suppress(Exception):
                    close(source)

            self._inside(task, run)

    # -- actors

    def _state_of(self, actor: InlineActor, creation: Creation | None = None) -> ActorState:
        return ActorState(
            key=actor.order.cls_key,
            class_name=actor.order.class_name,
            shape=msgspec.msgpack.decode(actor.order.meta, type=ActorShape),
            functions=self._functions,
            outcomes=self._outcomes,
            calls=self._calls,
            accelerators=self._accelerators,
            creation=creation,
        )

    def _on_loop_call_over(self, task: InlineTask) -> None:
        """On the thread of an async actor: a call of it has ended."""
        actor = task.actor
        assert actor is not None
        if task.creates_actor:
            actor.is_constructed = True
        if actor.state is not None and actor.state.is_over:
            self.bury(actor, actor.death.reason)
        if not self._engine.has_waiting_thread():
            self._engine.run_all()

    def bury(self, actor: InlineActor, reason: str) -> None:
        """An actor ends: its calls fail, its resources come back, its name is free."""
        with self._engine.lock:
            if actor.is_dead:
                return
            actor.is_dead = True
            if not actor.death.reason and not actor.death.payload:
                actor.death = Death(name=actor.order.name or actor.order.class_name, reason=reason)
            self._deaths[actor.class_id] = actor.death
            self._engine.actors.pop(actor.class_id, None)
            self._engine.ledger.release(actor)
            self._end_calls(actor, partial(actor_died, actor.death))
            actor.kept.clear()
            actor.state = None
            self._engine.changed.notify_all()  # what it held is free
        if actor.loop is not None:
            actor.loop.stop()

    def _end_calls(self, actor: InlineActor, error: Callable[[], BaseException]) -> None:
        for task in list(self._engine.tasks.values()):
            if task.actor is actor:
                self.close_source(task)
                self._client.fail_with(task, error)

    def restart(self, actor: InlineActor, error: Callable[[], BaseException], recorded: Creation) -> None:
        """An actor loses its state and is constructed again. Its calls that run end with `error`, the others wait."""
        with self._engine.lock:
            loop, actor.loop = actor.loop, None
            waiting, actor.queue = actor.queue, []
            for task in waiting:
                task.actor = None  # spared
            self._end_calls(actor, error)
            for task in waiting:
                task.actor = actor
            actor.queue = waiting
            actor.order = msgspec.structs.replace(actor.order, n_restarts=actor.order.n_restarts + 1)
            actor.state = self._state_of(actor, recorded)
        if loop is not None:
            loop.stop()
        outer, self.restarting = self.restarting, actor
        try:
            Context().run(actor.state.wait_for_constructor, self._as_client)
        finally:
            self.restarting = outer
        if actor.state.is_over:
            self.bury(actor, actor.death.reason)
        else:
            self._engine.run_all()

    def death_of(self, class_id: int) -> Callable[[], BaseException]:
        """What a call of an actor that is gone comes to."""
        return partial(actor_died, self._deaths.get(class_id, Death()))

    def death(self, class_id: int) -> Death:
        """How an actor ended."""
        return self._deaths.get(class_id, Death())


def _ends_the_program(error: BaseException) -> bool:
    quit_debugger = getattr(sys.modules.get("bdb"), "BdbQuit", KeyboardInterrupt)
    is_of_the_call = isinstance(error, (Exception, SystemExit, GeneratorExit, ArgumentError))
    return isinstance(error, quit_debugger) or not is_of_the_call


def _interrupted(name: str) -> TaskCancelledError:
    error = TaskCancelledError(f"{name} was interrupted before it had a result")
    error.task_name = name
    return error
