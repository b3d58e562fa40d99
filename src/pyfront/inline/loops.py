# SPDX-License-Identifier: Apache-2.0
"""An async actor's event loop, in a thread of its own, so that its calls can wait for one another and for the driver.

The host of calls is the one that workers have. Who makes a call waits until the loop is quiet: every call on it has
come to an `await` that is not over, or to its end. So a call runs at `.remote()` here too, as far as it can. A loop
that blocks in `shoal.get` counts as quiet, and one loop does not wait for another.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from selectors import DefaultSelector, SelectorKey
from typing import TYPE_CHECKING, Any, cast

from shoal._core._node import Client, Task
from shoal.worker.actor_state import ActorState
from shoal.worker.async_host import AsyncHost

if TYPE_CHECKING:
    from shoal.asyncio_bridge import Bridge
    from shoal.inline.engine import Here
    from shoal.inline.task import InlineTask

OWN_SOCKETS = 1  # of a loop: by which other threads wake it
END_S = 10.0  # for a loop to cut its calls off


class LoopThread:
    """One actor's loop."""

    def __init__(
        self, client: Client, state: ActorState | None, on_over: Callable[[InlineTask], None], here: Here
    ) -> None:
        assert state is not None
        self.thread_id = 0
        self._here = here
        self._changed = threading.Condition()
        self._n_posted = 0  # calls handed to the loop
        self._n_taken = 0  # that it has begun
        self._is_quiet = False
        self._is_asleep = False
        self._can_wake = False  # by itself
        self._loop = asyncio.SelectorEventLoop(_Selector(self))
        self._host = _Host(client, state, on_over, self._loop)
        self._thread = threading.Thread(target=self._run, name=f"shoal-{state.class_name}", daemon=True)
        self._thread.start()

    @property
    def may_go_on(self) -> bool:
        """Whether it may resolve something without anybody's help: it runs, or waits for a timer or a socket."""
        return not self._is_asleep or self._can_wake or bool(getattr(self._loop, "_ready", True))

    def start(self, task: InlineTask) -> None:
        """Begin a call on the loop."""
        with self._changed:
            self._n_posted += 1
            self._is_quiet = False
        self._loop.call_soon_threadsafe(self._begin, task, context=task.context)

    def wait_until_quiet(self) -> None:
        """Wait until every call has gone as far as it can."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_quiet or not self._thread.is_alive())

    def has_result(self) -> None:
        """On its thread: an item of a stream is there. Who waits for quiet need not wait for the others."""
        with self._changed:
            self._is_quiet = True
            self._changed.notify_all()

    def blocks(self, *, can_wake: bool) -> None:
        """On its thread: it is about to wait for something, not as an event loop does."""
        self.has_result()
        self._is_asleep, self._can_wake = True, can_wake

    def goes_on(self) -> None:
        """On its thread: the wait is over."""
        self._is_asleep = False

    def cancel_calls(self) -> None:
        """Calls were cancelled: let their coroutines know."""
        self._tell(self._host.cancel_calls)

    def stop(self) -> None:
        """Cut off what runs, and end the thread."""
        self._tell(self._host.end)
        if threading.get_ident() != self.thread_id:
            self._thread.join(END_S)

    def _tell(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:
            return  # it is closed

    def _begin(self, task: InlineTask) -> None:
        with self._changed:
            self._n_taken += 1
        self._host.begin(task)

    def sleeps(self, *, can_wake: bool) -> None:
        """On its thread: the loop has nothing to do. `can_wake`: by itself, by a timer or a socket."""
        with self._changed:
            self._is_asleep, self._can_wake = True, can_wake
            if self._n_taken == self._n_posted:
                self._is_quiet = True
                self._changed.notify_all()

    def _run(self) -> None:
        self.thread_id = threading.get_ident()
        self._here.loop = self
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._host.live())
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
            with self._changed:
                self._is_quiet = True
                self._changed.notify_all()


class _Selector(DefaultSelector):
    """Says when the loop has nothing to do."""

    def __init__(self, owner: LoopThread) -> None:
        super().__init__()
        self._owner = owner

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(timeout)
        self._owner.sleeps(can_wake=timeout is not None or len(self.get_map()) > OWN_SOCKETS)
        try:
            return super().select(timeout)
        finally:
            self._owner.goes_on()


class _Host(AsyncHost):
    """The host of a worker, which is handed its calls instead of claiming them."""

    def __init__(
        self,
        client: Client,
        state: ActorState,
        on_over: Callable[[InlineTask], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(client, state, cast("Bridge", self), 1)
        self._on_over = on_over
        self._loop = loop
        self._over = loop.create_future()

    async def live(self) -> None:
        """Run calls until `end`."""
        await self._over

    def begin(self, task: InlineTask) -> None:
        """Run a call's first step, and the rest beside others."""
        if self._over.done():
            return
        call = self._start(cast(Task, task))
        if call is None:
            self._on_over(task)
        else:
            call.add_done_callback(partial(self._told, task))

    def cancel_calls(self) -> None:
        self._cancel_calls()

    def end(self) -> None:
        """Take no more calls; cut off those that run."""
        if not self._over.done():
            self._over.set_result(None)

    def on_ready(self) -> None:
        """What the host asks of a bridge when it has room again: the engine knows by itself."""

    def _told(self, task: InlineTask, _: Any) -> None:
        self._on_over(task)
