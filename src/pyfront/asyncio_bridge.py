# SPDX-License-Identifier: Apache-2.0
"""Refs in event loops: `await ref` and `ref.future()`.

The core has one eventfd per process, readable when a watched ref resolves or (in an actor) a call arrives. Every loop
that waits for a ref listens on it; whichever wakes first takes all news and passes each to the loop that asked.
Futures that no loop listens for are served by a thread, which lives while there are any. The loop of an actor looks for
news by itself (worker/loop_selector.py) and has the eventfd armed only when it goes to sleep.

Guarantees: a resolved ref is awaited without touching the eventfd; a cancelled await leaves the ref untouched.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from shoal._core._node import Client, ObjectRef, ObjectRefGenerator
from shoal.errors import NodeDiedError, NotConnectedError
from shoal.runtime import Runtime, connected

if TYPE_CHECKING:
    from shoal.hang_watch import Watch

EVENTFD_BYTES = 8
FIRST_LOOK_S, MOST_PAUSE_S = 1.0, 30.0  # at what a wait hangs on; the pause doubles, as that of a `get`

Notify = Callable[[], None]


class Bridge:
    """Passes the news of one client's eventfd on. Any thread."""

    def __init__(self, client: Client, watch: Watch | None = None) -> None:
        """`watch`: what a driver's long waits call."""
        self._client = client
        self._watch = watch
        self._watched: WeakSet[asyncio.AbstractEventLoop] = WeakSet()  # those that look now and then
        self._waits_since_ns = 0  # when somebody began to wait while nobody did
        # A descriptor of our own: loops and the thread look at it as long as they have us; the client closes its own.
        self._fd = os.dup(client.wake_fd())
        os.set_blocking(self._fd, False)  # several loops may be woken for one event
        self._lock = threading.Lock()
        self._waiting: dict[ObjectRef[Any], list[Notify]] = {}
        self._loops: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
        self._n_served = 0  # who needs the thread
        self._thread: threading.Thread | None = None
        self._host: tuple[asyncio.AbstractEventLoop, Callable[[], bool]] | None = None
        self._host_thread = 0
        self._wants_calls = False  # the host
        self._is_shared = (
            False  # others than the host have waited: the eventfd must be armed for them while it runs, too
        )
        self._is_lost = False

    def __del__(self) -> None:
        os.close(self._fd)

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let `loop` wake for news. Call it on the loop's thread."""
        if loop not in self._loops:
            self._is_shared = self._is_shared or len(self._loops) > 0
            self._loops.add(loop)
            loop.add_reader(self._fd, self.on_ready)

    def serve_calls(self, loop: asyncio.AbstractEventLoop, claim: Callable[[], bool]) -> None:
        """Call `claim` on `loop` when calls may have arrived; it returns whether it could take more.

        The loop's selector must be a LoopSelector of this bridge."""
        self._host = loop, claim
        self._host_thread = threading.get_ident()
        self.listen(loop)
        loop.call_soon(self.on_ready)

    def notify(self, ref: ObjectRef[Any], tell: Notify) -> bool:
        """Call `tell` (on any thread) once `ref` is resolved. True if it is already; then `tell` is not called."""
        with self._lock:
            others = self._waiting.get(ref)
            if others is not None:
                others.append(tell)
                return False
            if self._client.watch(ref):
                return True
            if not self._waiting:
                self._waits_since_ns = time.monotonic_ns()
            self._waiting[ref] = [tell]
        if self._is_on_host() and not self._is_shared:
            return False  # it looks before it sleeps
        if self._client.rearm(False):
            self.on_ready()  # it resolved meanwhile: nobody else would look
        return False

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have `loop` look now and then whether anything moves, as long as somebody waits. Call it on its thread."""
        if self._watch is not None and loop not in self._watched:
            self._watched.add(loop)
            loop.call_later(FIRST_LOOK_S, self._look_again, loop, FIRST_LOOK_S)

    def _look_again(self, loop: asyncio.AbstractEventLoop, pause_s: float) -> None:
        if self._look_at_waits():
            pause_s = min(2 * pause_s, MOST_PAUSE_S)
            loop.call_later(pause_s, self._look_again, loop, pause_s)
        else:
            self._watched.discard(loop)

    def _look_at_waits(self) -> bool:
        """Whether anybody waits; if so, the watch has been called."""
        with self._lock:
            since_ns = self._waits_since_ns if self._waiting else 0
        if since_ns and self._watch is not None:
            with suppress(NotConnectedError, NodeDiedError):  # whoever waits is told by `close`, or finds out
                self._watch(since_ns, is_apart=True)
        return since_ns > 0

    def forget(self, ref: ObjectRef[Any], tell: Notify) -> None:
        """Do not call `tell` any more. Without it the bridge would hold `ref` until its task is done, or for ever if no
        loop runs then."""
        with self._lock:
            others = self._waiting.get(ref, [])
            if tell in others:
                others.remove(tell)
                if not others:
                    del self._waiting[ref]
                    self._client.unwatch(ref)

    def future(self, ref: ObjectRef[Any]) -> Future[Any]:
        """A future of the ref's value or error."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self._is_shared = True
        if self.notify(ref, lambda: self._settle(future, ref)):
            self._fill(future, ref)
        else:
            self.serve()
        return future

    def serve(self) -> None:
        """Have a thread take news, for one who is told without a loop, until it says `unserve`."""
        self._is_shared = True
        with self._lock:
            self._n_served += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="shoal-futures", daemon=True)
                self._thread.start()

    def unserve(self) -> None:
        """End what one `serve` asked for. The thread ends with the next news if nobody else needs it."""
        with self._lock:
            self._n_served -= 1

    def _settle(self, future: Future[Any], ref: ObjectRef[Any]) -> None:
        self.unserve()
        self._fill(future, ref)

    def _fill(self, future: Future[Any], ref: ObjectRef[Any]) -> None:
        try:
            value = self._client.get(ref)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(value)

    def _serve(self) -> None:
        news = select.poll()
        news.register(self._fd, select.POLLIN)
        pause_s = FIRST_LOOK_S
        while True:
            with self._lock:
                if self._n_served == 0:
                    self._thread = None
                    return
            if news.poll(None if self._watch is None else pause_s * 1000):
                pause_s = FIRST_LOOK_S
                self.on_ready()
            else:
                pause_s = min(2 * pause_s, MOST_PAUSE_S)
                self._look_at_waits()

    def on_ready(self) -> None:
        """Take all news and pass it on, until there is none and the core is set to wake us for the next."""
        with suppress(BlockingIOError):  # another loop was faster, or there was no event
            os.read(self._fd, EVENTFD_BYTES)
        self._pass_on()

    def _pass_on(self) -> None:
        try:
            self._take_news()
        except (NotConnectedError, NodeDiedError):
            self._is_lost = True
            self._tell_all()

    # -- for the host's selector

    @property
    def fd(self) -> int | None:
        """What the host listens on; None before it serves."""
        return None if self._host is None else self._fd

    def look(self) -> bool:
        """Have the loop take news in this turn, if there is some -> whether there is."""
        return not self._is_lost and self._client.look(self._wants_calls) and self._take_soon()

    def spin(self) -> bool | None:
        """A few microseconds of looking, else the same; None: no core is free for it."""
        state = self._client.spin(self._wants_calls)
        return None if state < 0 else state > 0 and self._take_soon()

    def arm(self) -> bool:
        """Have the eventfd tell of news, before going to sleep; else as `look`."""
        if self._is_lost or not self._client.rearm(self._wants_calls):
            return False
        # An end that the host knows of is no news.
        return (self._wants_calls or self._client.look(False)) and self._take_soon()

    def awake(self) -> None:
        """The host runs again."""
        if not self._is_lost:
            self._client.awake()

    # -- inside

    def _take_soon(self) -> bool:
        assert self._host is not None
        self._host[0].call_soon(self._pass_on)
        return True

    def _take_news(self) -> None:
        while True:
            resolved = self._client.drain_watched()
            for ref in resolved:
                with self._lock:
                    told = self._waiting.pop(ref, [])
                for tell in told:
                    tell()
            wants_calls = self._claim()
            if self._is_on_host():
                self._wants_calls = wants_calls and not self._client.should_exit
                if not self._is_shared:
                    return
            if not self._client.rearm(wants_calls):
                return
            if self._client.should_exit and not resolved:  # which alone keeps `rearm` from answering no
                if self._host is None:
                    self._tell_all()
                return

    def close(self) -> None:
        """The connection was closed: whoever waits is told so."""
        self._tell_all()
        os.eventfd_write(self._fd, 1)  # the thread has nothing to do any more

    def _claim(self) -> bool:
        """Let the actor take its calls, on its own loop -> whether it could take more."""
        if self._host is None:
            return False
        loop, claim = self._host
        if self._is_on_host():
            return claim()
        _call_in(loop, self.on_ready)
        return False

    def _is_on_host(self) -> bool:
        return threading.get_ident() == self._host_thread

    def _tell_all(self) -> None:
        """Nothing will resolve any more: whoever waits finds out why by asking for the value."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for told in waiting.values():
            for tell in told:
                tell()


_lock = threading.Lock()


def bridge_of(runtime: Runtime) -> Bridge:
    """The connection's bridge, made at first use."""
    with _lock:
        bridge = runtime.bridge
        if not isinstance(bridge, Bridge):
            bridge = runtime.bridge = Bridge(runtime.client, runtime.watch)
        return bridge


def await_ref(ref: ObjectRef[Any]) -> Generator[Any, None, Any]:
    """What `ref.__await__()` returns."""
    return _resolved(ref).__await__()


async def _resolved(ref: ObjectRef[Any]) -> Any:
    client = connected().client
    if not client.is_resolved(ref):
        await resolution(ref)
    return client.get(ref)


async def resolution(ref: ObjectRef[Any]) -> None:
    """Wait until `ref` is resolved, without a look at its value."""
    runtime = connected()
    client = runtime.client
    if not client.is_resolved(ref):
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        bridge = bridge_of(runtime)
        bridge.listen(loop)
        tell = partial(_wake, loop, waiter)
        if not bridge.notify(ref, tell):
            bridge.watch(loop)
            try:
                await waiter
            except BaseException:
                bridge.forget(ref, tell)
                raise


async def next_item(stream: ObjectRefGenerator[Any]) -> ObjectRef[Any]:
    """What `stream.__anext__()` returns. A cancelled wait takes nothing."""
    while (pending := stream.pending()) is not None:
        await resolution(pending)
        item = stream.take(pending)
        if item is not None:
            return item
    raise StopAsyncIteration


def _wake(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> None:
    if _running_loop() is loop:
        _set_done(waiter)
    else:
        _call_in(loop, _set_done, waiter)


def _call_in(loop: asyncio.AbstractEventLoop, do: Callable[..., None], *args: object) -> None:
    with suppress(RuntimeError):  # it is closed: nobody waits there, and its error would keep the news from others
        loop.call_soon_threadsafe(do, *args)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _set_done(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def future_of(ref: ObjectRef[Any]) -> Future[Any]:
    """What `ref.future()` returns: a `concurrent.futures.Future` of the value."""
    return bridge_of(connected()).future(ref)
