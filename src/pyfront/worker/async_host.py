# SPDX-License-Identifier: Apache-2.0
"""The host of an actor with async methods: calls start in order on one event loop and overlap while they await.

Plain methods run on the loop too, so the actor's state is only touched by one thread. A call is claimed only when
fewer than `max_concurrency` are in flight; what waits stays in the core. With concurrency groups every call is claimed,
and waits here for its group."""

from __future__ import annotations

import asyncio
import signal
import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

from shoal._core._node import RETURNS_DYNAMIC, Client, Task
from shoal.asyncio_bridge import Bridge
from shoal.task.running import Running, overlapping
from shoal.worker.actor_state import ActorState
from shoal.worker.lanes import Lanes
from shoal.worker.loop_items import send_on_loop

SYNC_FRAMES = 1  # of a plain method's traceback: `_start`
ASYNC_FRAMES = 2  # of a coroutine's: `_await` and `_stepwise`

NO_LIMIT = 1 << 62
CLAIMS_PER_TURN = 100  # then the loop turns once: a long queue must not keep calls in flight from going on


class AsyncHost:
    """Runs an actor's calls on the running loop. All methods run on its thread."""

    def __init__(
        self, client: Client, state: ActorState, bridge: Bridge, max_concurrency: int, lanes: Lanes | None = None
    ) -> None:
        self._client = client
        self._state = state
        self._bridge = bridge
        self._lanes = lanes
        self._n_free = max_concurrency if lanes is None else NO_LIMIT
        self._begin: Callable[[Task], object] = self._start if lanes is None else self._enter_lane
        self._calls: dict[asyncio.Task[None], Task] = {}  # the loop itself keeps only weak references

    async def serve(self) -> None:
        """Run the actor's calls until it ends. Calls that still run then are cut off with the process."""
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()
        self._loop.add_signal_handler(signal.SIGURG, self._cancel_calls)
        for task in self._state.wait_for_constructor(self._client):
            if not self._over.done():
                (self._start if task.creates_actor else self._begin)(task)
        self._stop_if_over()  # a constructor that failed again
        self._bridge.serve_calls(self._loop, self._claim)
        await self._over

    def _claim(self) -> bool:
        """Start the calls that wait -> whether more could be taken."""
        for _ in range(CLAIMS_PER_TURN):
            if self._n_free == 0 or self._over.done():
                return False
            task = self._client.try_next_task()
            if task is None:
                self._stop_if_left()
                return True
            self._begin(task)
        self._loop.call_soon(self._bridge.on_ready)
        return False

    def _stop_if_left(self) -> None:
        """End when nobody can call any more, but not before the calls in flight have."""
        if self._client.should_exit and not self._calls and not self._over.done():
            self._over.set_result(None)

    def _enter_lane(self, task: Task) -> None:
        assert self._lanes is not None
        group = self._state.group_of(task)
        if self._lanes.enter(group, task):
            self._run_lane(group, task)

    def _run_lane(self, group: str | None, task: Task | None) -> None:
        """Start a call that its lane has let in; if it is over at once, the next one in its place, and so on."""
        assert self._lanes is not None
        while task is not None and not self._over.done():
            call = None if self._is_given_up(task) else self._start(task)
            if call is not None:
                call.add_done_callback(partial(self._ended_in_lane, group))
                return
            task = self._lanes.leave(group)

    def _is_given_up(self, task: Task) -> bool:
        """Was it cancelled while it waited for its group? Then it does not run."""
        return self._client.is_ending(task) and self._client.surrender(task)

    def _ended_in_lane(self, group: str | None, call: asyncio.Task[None]) -> None:
        assert self._lanes is not None
        self._run_lane(group, self._lanes.leave(group))
        self._ended(call)

    def _start(self, task: Task) -> asyncio.Task[None] | None:
        """Run a call's first step -> the rest of it, if it awaits."""
        client, state = self._client, self._state
        name = state.name_of(task)
        token = overlapping.set(Running(task, name))
        client.set_current(task)
        try:
            method = state.target(task)
            args, kwargs = task.load()
            value = method(*args, **kwargs)
            if task.num_returns >= RETURNS_DYNAMIC:
                return self._go_on(task, self._deliver(task, name, value))
            elif asyncio.iscoroutine(value):
                return self._go_on(task, self._await(task, name, value))
            else:
                state.returned(task, name, value)
        except BaseException as error:
            if state.is_repeated(task, error):
                return self._go_on(task, self._repeat(task, name))
            state.raised(task, name, error, SYNC_FRAMES)
            self._stop_if_over()
        finally:
            client.set_current(None)
            overlapping.reset(token)
        return None

    def _go_on(self, task: Task, rest: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run the rest of a call beside others."""
        self._n_free -= 1
        call = self._loop.create_task(rest)  # copies the context with the call in it
        self._calls[call] = task
        if self._lanes is None:
            call.add_done_callback(self._ended)
        return call

    async def _deliver(self, task: Task, name: str, value: object) -> None:
        client = self._client
        try:
            items = send_on_loop(client, task, name, value, partial(self._state.payload, name))
            await _stepwise(items, task, client.set_current)
        except BaseException as error:
            if not self._is_repeated(task, name, error, ASYNC_FRAMES):
                return
        else:
            return
        await self._repeat(task, name)

    async def _await(self, task: Task, name: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        try:
            self._state.returned(task, name, await _stepwise(coroutine, task, self._client.set_current))
        except BaseException as error:
            if not self._is_repeated(task, name, error, ASYNC_FRAMES):
                return
        else:
            return
        await self._repeat(task, name)

    async def _repeat(self, task: Task, name: str) -> None:
        """Make the next attempt of a call, and those after it."""
        is_repeated = True
        while is_repeated:
            await asyncio.sleep(0)  # others may go on between two attempts
            is_repeated = await self._attempt(task, name)

    async def _attempt(self, task: Task, name: str) -> bool:
        """Make one attempt -> whether there is another one."""
        client, state = self._client, self._state
        frames = SYNC_FRAMES
        try:
            client.set_current(task)
            try:
                method = state.target(task)
                args, kwargs = task.load()
                value = method(*args, **kwargs)
            finally:
                client.set_current(None)
            frames = ASYNC_FRAMES
            if task.num_returns >= RETURNS_DYNAMIC:
                await _stepwise(
                    send_on_loop(client, task, name, value, partial(state.payload, name)), task, client.set_current
                )
                return False
            if asyncio.iscoroutine(value):
                value = await _stepwise(value, task, client.set_current)
            state.returned(task, name, value)
        except BaseException as error:
            return self._is_repeated(task, name, error, frames)
        return False

    def _is_repeated(self, task: Task, name: str, error: BaseException, own_frames: int) -> bool:
        """Whether a call that has raised is made again; else its error is sealed."""
        if self._over.done():
            return False  # cut off by the actor's end, which the daemon explains to the caller
        if self._state.is_repeated(task, error):
            return True
        self._state.raised(task, name, error, own_frames)
        self._stop_if_over()
        return False

    def _cancel_calls(self) -> None:
        """Calls were cancelled: have their coroutines know, once each."""
        for call, task in list(self._calls.items()):
            if self._client.must_end(task):
                call.cancel()
        if self._lanes is not None:
            self._lanes.give_up(self._is_given_up)

    def _ended(self, call: asyncio.Task[None]) -> None:
        task = self._calls.pop(call)
        if call.cancelled() and not self._over.done():  # before its first step: nobody has told of its end
            self._client.surrender(task)
        self._n_free += 1
        self._stop_if_left()
        if self._n_free == 1:  # calls may wait that nobody will announce again
            self._bridge.on_ready()

    def _stop_if_over(self) -> None:
        if self._state.is_over and not self._over.done():
            self._over.set_result(None)


@types.coroutine
def _stepwise(
    coroutine: Coroutine[Any, Any, Any], task: Task, set_current: Callable[[Task | None], None]
) -> Generator[Any, Any, Any]:
    """Await `coroutine`, with `task` as the parent of what it submits: only while it runs, not while others do."""
    resume: Callable[[Any], Any] = coroutine.send
    value: Any = None
    while True:
        set_current(task)
        try:
            awaited = resume(value)
        except StopIteration as stop:
            return stop.value
        finally:
            set_current(None)
        try:
            value = yield awaited
            resume = coroutine.send
        except BaseException as error:
            value = error
            resume = coroutine.throw
