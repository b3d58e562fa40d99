# SPDX-License-Identifier: Apache-2.0
"""`ActorPool`: calls handed to whichever actor of a fixed group is free.

An actor has one call at a time. Nothing runs beside the caller: a free actor gets its next call while somebody waits
for a result, in whatever method. A call whose result nobody wants any more (`ignore_if_timedout`, a new `map`) keeps
its actor busy until it is over, so that the next call does not queue up behind it.
An actor that died is left out; the calls that wait go to the others."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from shoal._core._node import ObjectRef
from shoal.actor import ActorHandle
from shoal.api import get, wait
from shoal.errors import ActorDiedError, TaskError

T = TypeVar("T")
V = TypeVar("V")

Start = Callable[[Any, Any], Any]


class _Call:
    """One call: waiting (no actor), in flight (unresolved refs), or over (an outcome)."""

    def __init__(self, number: int, start: Start, value: object) -> None:
        self.number = number
        self.start = start
        self.value = value
        self.actor: ActorHandle[Any] | None = None
        self.refs: list[ObjectRef[Any]] = []
        self.unresolved: set[ObjectRef[Any]] = set()
        self.is_list = False  # `start` gave a list of refs
        self.is_over = False
        self.result: Any = None
        self.error: BaseException | None = None

    def send(self, actor: ActorHandle[Any]) -> None:
        """Submit it. Raises whatever `start` raises, TypeError if that gave no refs."""
        sent = self.start(actor, self.value)
        self.is_list = isinstance(sent, list)
        refs = sent if isinstance(sent, list) else [sent]
        if not refs or not all(isinstance(ref, ObjectRef) for ref in refs):
            raise TypeError(
                "the function of an ActorPool must return the ObjectRef of a call, or a list of them, such as "
                f"`lambda actor, value: actor.method.remote(value)`; it returned {type(sent).__name__}"
            )
        self.actor, self.refs, self.unresolved = actor, refs, set(refs)

    def finish(self) -> None:
        """Take its value or error: the refs are resolved."""
        try:
            self.result = get(self.refs) if self.is_list else get(self.refs[0])
        except Exception as error:
            self.error = error
        self.is_over = True

    def fail(self, error: BaseException) -> None:
        """It will not run."""
        self.error, self.is_over = error, True

    def outcome(self) -> Any:
        """Its value. Raises its error."""
        if self.error is not None:
            raise self.error
        return self.result


class ActorPool(Generic[T]):
    """A group of actors that share calls. Not for use by several threads at once.

    ```
    pool = ActorPool([Worker.remote() for _ in range(4)])
    results = list(pool.map(lambda actor, value: actor.work.remote(value), range(100)))
    ```
    """

    def __init__(self, actors: Iterable[ActorHandle[T]]) -> None:
        """`actors`: handles, which belong to the pool until `pop_idle` gives them back.

        Raises TypeError for anything but handles, ValueError for an actor that is there twice."""
        self._idle: list[ActorHandle[T]] = []
        self._calls: dict[int, _Call] = {}  # those whose results are still wanted, in the order of their submission
        self._queue: deque[_Call] = deque()  # those without an actor
        self._in_flight: dict[ObjectRef[Any], list[_Call]] = {}
        self._over: deque[int] = deque()  # numbers in the order in which they ended; some may have been returned since
        self._n_submitted = 0
        self._last_death: ActorDiedError | None = None
        for actor in actors:
            self.push(actor)

    # -- all at once

    def map(self, fn: Callable[[ActorHandle[T], V], Any], values: Iterable[V]) -> Iterator[Any]:
        """Call `fn(actor, value)` for each of `values`, on free actors -> the results, in the order of the values.

        `fn` returns the ObjectRef of a call, or a list of them; the result is its value, or the list of values. All
        values are taken at once, and calls begin at once; results of earlier calls that nobody has asked for are
        dropped. The iterator raises the error of a call in the place of its result, and goes on behind it.
        Raises TypeError if `fn` cannot be called, and what `fn` raises for the calls that begin at once."""
        self._submit_all(fn, values)
        return _Results(self, self.get_next)

    def map_unordered(self, fn: Callable[[ActorHandle[T], V], Any], values: Iterable[V]) -> Iterator[Any]:
        """As `map`, of the same `fn` and `values`, but the results come in the order in which the calls end."""
        self._submit_all(fn, values)
        return _Results(self, self.get_next_unordered)

    def _submit_all(self, fn: Callable[[ActorHandle[T], V], Any], values: Iterable[V]) -> None:
        self._calls.clear()
        self._queue.clear()
        self._over.clear()
        for value in values:
            self.submit(fn, value)

    # -- one by one

    def submit(self, fn: Callable[[ActorHandle[T], V], Any], value: V) -> None:
        """Have `fn(actor, value)` called with the next free actor: now, or while somebody waits for a result.

        Raises TypeError if `fn` cannot be called, and what `fn` raises if it is called now."""
        if not callable(fn):
            raise TypeError(f"ActorPool takes a function of (actor, value), not {type(fn).__name__}")
        call = _Call(self._n_submitted, fn, value)
        if not self._queue and self._idle:
            self._send(call, self._idle.pop())
        else:
            self._queue.append(call)
        self._calls[call.number] = call
        self._n_submitted += 1

    def has_next(self) -> bool:
        """Whether there are calls whose results have not been returned."""
        return bool(self._calls)

    def get_next(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:
        """The result of the oldest call, waiting for it. All actors are kept at work meanwhile.

        `timeout`: seconds; default None, any time. `ignore_if_timedout`: drop the call if it takes longer; default no.
        Raises TimeoutError, the error of the call, StopIteration if there is none, ValueError if the pool has no actor
        to run it."""
        self._check_has_next()
        call = next(iter(self._calls.values()))
        is_over = self._wait_until(lambda: call.is_over, timeout)
        return self._take(call, is_over, ignore_if_timedout)

    def get_next_unordered(self, timeout: float | None = None, ignore_if_timedout: bool = False) -> Any:
        """The result of the call that ended first of those that are left, waiting for one.

        `timeout` is as of `get_next`; with `ignore_if_timedout` the oldest call is dropped. Raises as `get_next`."""
        self._check_has_next()
        is_over = self._wait_until(self._has_ended, timeout)
        call = self._calls[self._over[0]] if is_over else next(iter(self._calls.values()))
        return self._take(call, is_over, ignore_if_timedout)

    # -- the actors

    def has_free(self) -> bool:
        """Whether an actor is idle, as far as is known: what has ended is noticed when somebody waits for a result."""
        return bool(self._idle)

    def pop_idle(self) -> ActorHandle[T] | None:
        """Take an idle actor out of the pool; None if all are busy."""
        return self._idle.pop() if self.has_free() else None

    def push(self, actor: ActorHandle[T]) -> None:
        """Add `actor`, a handle. Raises ValueError if it is in the pool already, TypeError if it is none."""
        if not isinstance(actor, ActorHandle):
            raise TypeError(f"ActorPool takes the handles of actors, not {type(actor).__name__}")
        busy = [call.actor for calls in self._in_flight.values() for call in calls]
        if actor in self._idle or actor in busy:
            raise ValueError(f"{actor!r} is in this ActorPool already")
        self._idle.append(actor)
        self._refill()

    # -- inside

    def _check_has_next(self) -> None:
        if not self._calls:
            raise StopIteration("every result of this ActorPool has been returned")

    def _take(self, call: _Call, is_over: bool, ignore_if_timedout: bool) -> Any:
        if not is_over and not ignore_if_timedout:
            raise TimeoutError("no result within the time given; the call goes on, ask again")
        del self._calls[call.number]
        if is_over:
            self._has_ended()  # or numbers would pile up
            return call.outcome()
        if call.actor is None:
            self._queue.remove(call)
        raise TimeoutError("no result within the time given; the call was dropped, as ignore_if_timedout asks")

    def _has_ended(self) -> bool:
        while self._over and self._over[0] not in self._calls:  # returned already
            self._over.popleft()
        return bool(self._over)

    def _wait_until(self, is_done: Callable[[], bool], timeout: float | None) -> bool:
        """Collect results until `is_done`; False if `timeout` seconds are over first."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._refill()  # an interrupt may have come before it
        self._collect(0)
        while not is_done():
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._in_flight:
                self._give_up_next()
            elif not self._collect(left) and left == 0:
                return is_done()
        return True

    def _give_up_next(self) -> None:
        """Calls wait, and no actor will ever be free."""
        if self._last_death is None:
            raise ValueError("the ActorPool has no actor to run the next call; push() one first")
        self._fail(self._queue.popleft(), self._last_death)

    def _collect(self, timeout: float | None) -> bool:
        """Take what has ended, waiting for at least one call; free actors get their next calls -> whether any ended."""
        if not self._in_flight:
            return False
        ready, rest = wait(list(self._in_flight), timeout=timeout)
        if ready and rest:
            ready += wait(rest, num_returns=len(rest), timeout=0)[0]
        for ref in ready:
            for call in self._in_flight[ref]:
                call.unresolved.discard(ref)
                if not call.unresolved and not call.is_over:
                    self._end(call)
            del self._in_flight[ref]  # last: Ctrl-C before here, and the next look finds it again
        self._refill()
        return bool(ready)

    def _end(self, call: _Call) -> None:
        call.finish()
        if isinstance(call.error, ActorDiedError) and not isinstance(
            call.error, TaskError
        ):  # its own, not one it raised
            self._last_death = call.error
        elif call.actor is not None:
            self._idle.append(call.actor)
        if call.number in self._calls:
            self._over.append(call.number)

    def _fail(self, call: _Call, error: BaseException) -> None:
        call.fail(error)
        self._over.append(call.number)

    def _refill(self) -> None:
        while self._queue and self._idle:
            call = self._queue.popleft()
            try:
                self._send(call, self._idle.pop())
            except Exception as error:  # of `fn`; it belongs to whoever asks for this result
                self._fail(call, error)
            except BaseException:  # Ctrl-C: it waits as before
                self._queue.appendleft(call)
                raise

    def _send(self, call: _Call, actor: ActorHandle[T]) -> None:
        try:
            call.send(actor)
        except BaseException:
            self._idle.append(actor)
            raise
        for ref in call.refs:
            self._in_flight.setdefault(ref, []).append(call)


class _Results(Iterator[Any]):
    """The results of one `map`."""

    def __init__(self, pool: ActorPool[Any], get_next: Callable[[], Any]) -> None:
        self._pool = pool
        self._get_next = get_next

    def __next__(self) -> Any:
        if not self._pool.has_next():
            raise StopIteration
        return self._get_next()
