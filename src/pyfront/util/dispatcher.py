# SPDX-License-Identifier: Apache-2.0
"""Futures of calls, of which only so many are in flight: what `Executor` and `multiprocessing.Pool` have in common.

A call waits here until a *lane* has room, then it is in flight: a ref, which the bridge's thread settles. Whoever
waits for the result of a call in flight takes it himself, and a ref is not watched at once unless somebody must be
told: so a program that asks for one result after the other switches no threads. A lane is deep enough to keep its
workers busy between two looks of that thread, and no deeper: what waits here can still be cancelled.

Guarantees: a call is settled once, whoever comes first; each step may be repeated, so that Ctrl-C between two of them
loses nothing. User code (pickling, callbacks) never runs under the lock."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent import futures
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet

from shoal import runtime
from shoal._core._node import Client, ObjectRef, blocked_in
from shoal.asyncio_bridge import bridge_of
from shoal.errors import GetTimeoutError, NotConnectedError

T = TypeVar("T")

LOOK_S = 0.01
"""A lane holds what its workers do in this time."""
WATCH_AFTER_S = 0.001
"""A call that nobody has asked for after so long is watched."""
TURNS_UNTIL_IDLE = 50


class Call(futures.Future[Any]):
    """The future of one call. `work` is what its lane sends."""

    def __init__(self, work: Any, client: Client) -> None:
        super().__init__()
        self.work: Any = work
        self.client: Client | None = client  # None: it is over
        self.in_flight: tuple[Dispatcher, Lane, ObjectRef[Any]] | None = None

    def add_done_callback(self, fn: Callable[[futures.Future[Any]], object]) -> None:
        """As `concurrent.futures.Future.add_done_callback`."""
        super().add_done_callback(fn)
        flight = self.in_flight
        if flight is not None:
            flight[0].watch(self)

    def result(self, timeout: float | None = None) -> Any:
        """As `concurrent.futures.Future.result`."""
        return self._ask(super().result, timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """As `concurrent.futures.Future.exception`."""
        return self._ask(super().exception, timeout)

    def settle(self, value: Any, error: BaseException | None) -> None:
        """Give it its outcome, unless it has one."""
        try:
            if error is None:
                self.set_result(value)
            else:
                self.set_exception(error)
        except futures.InvalidStateError:
            return
        self.work = self.in_flight = self.client = None

    def _ask(self, ask: Callable[[float | None], T], timeout: float | None) -> T:
        left = self._take(timeout)
        client = self.client
        if client is None or left == 0.0 or self.done():
            return ask(left)
        return _blocked(client, ask, left)  # it waits for room

    def _take(self, timeout: float | None) -> float | None:
        """Settle it here if it is in flight -> seconds left."""
        flight = self.in_flight
        if flight is None:
            return timeout
        deadline = None if timeout is None else time.monotonic() + timeout
        dispatcher, lane, ref = flight
        dispatcher.take(self, lane, ref, None if timeout is None else max(0.0, timeout))
        return None if deadline is None else max(0.0, deadline - time.monotonic())


class Lane:
    """Where calls go. `send` submits one and gives its ref; between `least` and `most` are in flight at a time."""

    def __init__(self, send: Callable[[Call], ObjectRef[Any]], least: int, most: int) -> None:
        self.send = send
        self.calls: set[Call] = set()
        self.depth = least
        self._least, self._most = least, most
        self._n_ended = 0
        self._since = time.monotonic()

    def end(self, call: Call, error: BaseException | None) -> None:
        """A call is over; under the lock. The depth follows how many end in `LOOK_S`."""
        self.calls.discard(call)
        self._n_ended += 1
        now = time.monotonic()
        if now - self._since >= LOOK_S:
            in_one_look = int(self._n_ended * LOOK_S / (now - self._since))
            self.depth = min(self._most, max(self._least, in_one_look))
            self._n_ended, self._since = 0, now


Explain = Callable[[BaseException], BaseException]


class Dispatcher:
    """Sends calls to lanes, and settles their futures. Any thread."""

    def __init__(self, lanes: Sequence[Lane], explain: Explain) -> None:
        """Uses this process's connection, made now if there is none.

        `explain`: error of a call -> the one that its future gets."""
        self._runtime = runtime.current()
        self._client = self._runtime.client
        self._bridge = bridge_of(self._runtime)
        self._lanes = lanes
        self._explain = explain
        self._lock = threading.RLock()
        self._waiting: deque[Call] = deque()
        self._unfinished: set[Call] = set()
        self._unwatched: deque[Call] = deque()
        self._wake = threading.Condition(threading.Lock())
        self._is_idle = False
        self._is_open = True
        self._pid = os.getpid()
        self._filling = threading.local()
        self._bridge.serve()
        threading.Thread(target=self._watch_late, name="shoal-dispatcher", daemon=True).start()
        _open.add(self)
        atexit.unregister(_join_all)
        atexit.register(_join_all)  # now: it must come before the end of the connection, which was registered earlier

    def submit(self, work: Any) -> Call:
        """Send `work` when there is room -> its future. Raises NotConnectedError if the connection has ended."""
        if runtime.connection is not self._runtime:
            raise NotConnectedError("this pool's connection has ended; make a new one after shoal.init()")
        call = Call(work, self._client)
        with self._lock:
            self._unfinished.add(call)
            self._waiting.append(call)
        self._fill()
        return call

    def cancel(self) -> None:
        """Cancel what waits."""
        if self._is_forked():
            return
        with self._lock:
            waiting = list(self._waiting)
        for call in waiting:
            call.cancel()
        self._fill()

    def abandon(self, error: BaseException) -> None:
        """Nothing will be sent or settled any more: all that is unfinished fails with `error`."""
        with self._lock:
            unfinished = list(self._unfinished)
            self._waiting.clear()
            self._unfinished.clear()
            for lane in self._lanes:
                lane.calls.clear()
        for call in unfinished:
            call.settle(None, error)
        self.close()

    def join(self) -> None:
        """Wait until all calls are over."""
        while not self._is_forked():
            with self._lock:
                left = [call for call in self._unfinished if not call.done()]
            if not left:
                return
            flying = next((call for call in left if call.in_flight is not None), None)
            if flying is None:  # another thread is about to send or to settle
                _blocked(self._client, futures.wait, left, None, futures.FIRST_COMPLETED)
            else:
                flying._take(None)
                futures.wait([flying], timeout=LOOK_S)  # another thread may have taken it

    def close(self) -> None:
        """Nothing more will be submitted: give the threads back when all calls are over. Repeating it has no effect."""
        if self._is_forked():
            return
        with self._wake:
            self._is_open = False
            self._wake.notify()

    def watch(self, call: Call) -> None:
        """Have a call in flight settled when it is over, though nobody asks."""
        flight = call.in_flight
        if flight is None:
            return
        _, lane, ref = flight
        try:
            is_resolved = self._bridge.notify(ref, partial(self._resolved, call, lane, ref))
        except Exception as error:  # the connection is gone
            self._end(call, lane, ref, None, error)
            return
        if is_resolved:
            self._resolved(call, lane, ref)

    def take(self, call: Call, lane: Lane, ref: ObjectRef[Any], timeout: float | None) -> None:
        """Wait for a call in flight and settle it. Returns without effect after `timeout` seconds.

        Raises what the wait raises (DeadlockError, Ctrl-C); the call goes on."""
        error: Exception | None = None
        try:
            value = self._client.get(ref, timeout)
        except Exception as raised:
            if type(raised) is GetTimeoutError:  # of the wait: a task's is a TaskError too
                return
            if not self._client.is_closed and not self._client.is_resolved(ref):
                raise
            value, error = None, raised
        self._end(call, lane, ref, value, error)
        self._fill()

    # -- inside

    def _is_forked(self) -> bool:
        """Whether this is a child of the process that has the calls: a lock may have been taken as it was forked."""
        return os.getpid() != self._pid

    def _fill(self) -> None:
        """Send what there is room for."""
        if getattr(self._filling, "here", False):
            return  # a call ended while it was sent: the loop that sends goes on anyway
        self._filling.here = True
        try:
            while self._send_next():
                pass
        finally:
            self._filling.here = False

    def _send_next(self) -> bool:
        with self._lock:
            lane = self._free_lane() if self._waiting else None
            if lane is None:
                return False
            call = self._waiting.popleft()
            if not call.set_running_or_notify_cancel():
                self._unfinished.discard(call)
                return True
            lane.calls.add(call)
        self._send(call, lane)
        return True

    def _free_lane(self) -> Lane | None:
        best: Lane | None = None
        for lane in self._lanes:
            if len(lane.calls) < lane.depth and (best is None or len(lane.calls) < len(best.calls)):
                best = lane
        return best

    def _send(self, call: Call, lane: Lane) -> None:
        try:
            ref = lane.send(call)
            call.in_flight = self, lane, ref
        except BaseException as error:
            with self._lock:
                lane.calls.discard(call)
                self._unfinished.discard(call)
            call.settle(None, error)
            if not isinstance(error, Exception):
                raise
            return
        if self._waiting:
            self.watch(call)  # its room is wanted
        else:
            self._unwatched.append(call)
            if self._is_idle:
                with self._wake:
                    self._wake.notify()

    def _watch_late(self) -> None:
        n_quiet = 0
        while self._is_open or self._unfinished:
            if n_quiet >= TURNS_UNTIL_IDLE or not self._is_open:
                with self._wake:
                    self._is_idle = True  # before the look: who adds a call sees this, or we see the call
                    while not self._unwatched and (self._is_open or self._unfinished):
                        self._wake.wait()
                    self._is_idle = False
            n_quiet += 1
            time.sleep(WATCH_AFTER_S)
            for _ in range(len(self._unwatched)):
                n_quiet = 0
                self.watch(self._unwatched.popleft())
        _open.discard(self)
        self._bridge.unserve()

    def _resolved(self, call: Call, lane: Lane, ref: ObjectRef[Any]) -> None:
        """On the bridge's thread."""
        self._settle(call, lane, ref)
        self._fill()

    def _settle(self, call: Call, lane: Lane, ref: ObjectRef[Any]) -> None:
        if call.done():
            self._end(call, lane, ref, None, None)
            return
        try:
            value, error = self._client.get(ref), None
        except BaseException as raised:
            value, error = None, raised
        self._end(call, lane, ref, value, error)

    def _end(self, call: Call, lane: Lane, ref: ObjectRef[Any], value: Any, error: BaseException | None) -> None:
        with self._lock:
            is_current = call.in_flight is not None and call.in_flight[2] is ref
            if call in lane.calls and (is_current or call.done()):
                lane.end(call, error)
        if is_current:
            call.settle(value, None if error is None else self._explain(error))
        if call.done():
            with self._lock:
                self._unfinished.discard(call)
            if not self._is_open:
                with self._wake:
                    self._wake.notify()


def _blocked(client: object, wait: Callable[..., T], *args: Any) -> T:
    """Wait for other calls, which in a task may need its CPU; in inline mode there is none to give up."""
    return blocked_in(client, wait, *args) if isinstance(client, Client) else wait(*args)


_open: WeakSet[Dispatcher] = WeakSet()


def _join_all() -> None:
    """The program ends when its calls have, as with every executor of the standard library."""
    for dispatcher in list(_open):
        if runtime.connection is dispatcher._runtime:
            dispatcher.join()
