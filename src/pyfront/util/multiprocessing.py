# SPDX-License-Identifier: Apache-2.0
"""`Pool`: the interface of `multiprocessing.Pool`, over actors.

Each process of the pool is an actor without a CPU of its own, so a pool may have more processes than the node has CPUs.
A process has one call at a time, and what waits goes to whichever is free first. Where `multiprocessing.Pool` waits for
ever, this one raises: a process that dies fails the call that it ran, and is replaced before its next one."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures
from multiprocessing import TimeoutError as TimeoutError
from types import TracebackType
from typing import Any

from shoal import runtime
from shoal._core._node import ObjectRef
from shoal.actor import ActorHandle
from shoal.api import kill, remote
from shoal.errors import ActorDiedError, TaskCancelledError, TaskError
from shoal.util.dispatcher import Call, Dispatcher, Lane

__all__ = ["AsyncResult", "Pool", "TimeoutError"]

CHUNKS_PER_PROCESS = 4


class PoolProcess:
    """The actor: one process of a pool."""

    def __init__(self, initializer: Callable[..., object] | None, initargs: tuple[Any, ...]) -> None:
        if initializer is not None:
            initializer(*initargs)

    def run(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return fn(*args, **kwargs)


class _Seat(Lane):
    """One place of the pool, and the process that has it now."""

    def __init__(self, make: Callable[[], ActorHandle[Any]], max_calls: int | None) -> None:
        super().__init__(self._send, 1, 1)
        self._make = make
        self._max_calls = max_calls
        self._n_calls = 0
        self._is_dead = False
        self.actor = make()

    def end(self, call: Call, error: BaseException | None) -> None:
        super().end(call, error)
        is_own = isinstance(error, ActorDiedError) and not isinstance(error, TaskError)  # not one that the call raised
        self._is_dead = self._is_dead or is_own

    def _send(self, call: Call) -> ObjectRef[Any]:
        if self._is_dead or self._n_calls == self._max_calls:
            self.actor, self._n_calls, self._is_dead = self._make(), 0, False
        self._n_calls += 1
        ref: ObjectRef[Any] = self.actor.run.remote(*call.work)
        return ref


class Pool:
    """Processes that run functions. Use it in a `with` statement, or end it with `close()` and `join()`."""

    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
        maxtasksperchild: int | None = None,
        context: object = None,
        *,
        actor_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Start the processes.

        - `processes`: how many; default as many as the node has CPUs.
        - `initializer`: called with `initargs` in each process, before its first call; default nothing.
        - `maxtasksperchild`: calls, or chunks of them, after which a process is replaced; default never.
        - `context`: has no effect.
        - `actor_options`: of the actors, as of `shoal.remote` for classes, e.g. `{"num_cpus": 1}`.

        Raises ValueError or TypeError for bad arguments, and what `.options()` of an actor's class raises."""
        if processes is not None and processes < 1:
            raise ValueError(f"the number of processes must be at least 1, not {processes}")
        if maxtasksperchild is not None and maxtasksperchild < 1:
            raise ValueError(f"maxtasksperchild must be at least 1, or None, not {maxtasksperchild!r}")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, not {type(initializer).__name__}")
        n = processes or max(1, int(runtime.current().config.resources.get("CPU", 1)))
        cls = remote(PoolProcess).options(**(actor_options or {}))
        arguments = (initializer, tuple(initargs))
        self._seats = [_Seat(lambda: cls.remote(*arguments), maxtasksperchild) for _ in range(n)]
        self._dispatcher = Dispatcher(self._seats, _as_it_is)
        self._is_closed = False

    # -- one call

    def apply(self, func: Callable[..., Any], args: Iterable[Any] = (), kwds: Mapping[str, Any] | None = None) -> Any:
        """`func(*args, **kwds)` in a process of the pool -> its value. Raises its error, and as `apply_async`."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., Any],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Begin `func(*args, **kwds)` in a process of the pool -> an AsyncResult, at once.

        When the call is over, `callback` gets its value, or `error_callback` its error, on a thread of the pool. Raises
        ValueError if the pool is closed, TypeError if `func` cannot be called."""
        call = self._send(func, tuple(args), dict(kwds or {}))
        return AsyncResult([call], lambda values: values[0], callback, error_callback)

    # -- many

    def map(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int | None = None) -> list[Any]:
        """`func` of each item of `iterable` -> the values, in that order. Raises the first error.

        `chunksize`: items of one call; default a quarter of what each process gets. Raises what `apply_async` raises,
        and ValueError for a `chunksize` below 1."""
        return list(self.map_async(func, iterable, chunksize).get())

    def starmap(
        self, func: Callable[..., Any], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[Any]:
        """As `map`, of `func`, `iterable` and `chunksize`, with items that are the arguments: `func(*item)`."""
        return list(self.starmap_async(func, iterable, chunksize).get())

    def map_async(
        self,
        func: Callable[[Any], Any],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Begin what `map` does with `func`, `iterable` and `chunksize` -> an AsyncResult of the list, at once.

        `callback` and `error_callback` are as of `apply_async`. Raises as `map`, but for errors of the calls."""
        return self._map(run_chunk, func, iterable, chunksize, callback, error_callback)

    def starmap_async(
        self,
        func: Callable[..., Any],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[Any]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult:
        """Begin what `starmap` does with `func`, `iterable` and `chunksize` -> an AsyncResult of the list, at once.

        `callback` and `error_callback` are as of `apply_async`. Raises as `map`, but for errors of the calls."""
        return self._map(run_star_chunk, func, iterable, chunksize, callback, error_callback)

    def imap(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1) -> IMapIterator:
        """`func` of each item of `iterable` -> an iterator over the values, in that order, with `next(timeout)`.

        `chunksize`: items of one call; default 1. Items are taken as results are asked for, some ahead, so `iterable`
        may be endless. Raises as `map`; errors of calls are raised by the iterator, in the place of the values."""
        return IMapIterator(self._chunk_calls(run_chunk, func, iterable, chunksize), self._ahead(), is_ordered=True)

    def imap_unordered(self, func: Callable[[Any], Any], iterable: Iterable[Any], chunksize: int = 1) -> IMapIterator:
        """As `imap`, of `func`, `iterable` and `chunksize`, with the values in the order in which they come."""
        return IMapIterator(self._chunk_calls(run_chunk, func, iterable, chunksize), self._ahead(), is_ordered=False)

    # -- the end

    def close(self) -> None:
        """Take no more calls."""
        self._is_closed = True
        self._dispatcher.close()

    def terminate(self) -> None:
        """End the processes now. What is unfinished fails with TaskCancelledError. Repeating it has no effect."""
        self.close()
        self._dispatcher.abandon(TaskCancelledError("the pool was terminated before the call had a result"))
        for seat in self._seats:
            kill(seat.actor)

    def join(self) -> None:
        """Wait until all calls are over. Raises ValueError unless `close` or `terminate` came before."""
        if not self._is_closed:
            raise ValueError("the pool is still running: call close() or terminate() before join()")
        self._dispatcher.join()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.terminate()

    def __del__(self) -> None:
        dispatcher: Dispatcher | None = getattr(self, "_dispatcher", None)  # None: its making was refused
        if dispatcher is not None:
            dispatcher.close()

    def __repr__(self) -> str:
        return f"<shoal Pool of {len(self._seats)} processes, {'closed' if self._is_closed else 'running'}>"

    # -- inside

    def _send(self, func: Callable[..., Any], args: tuple[Any, ...], kwds: Mapping[str, Any]) -> Call:
        if self._is_closed:
            raise ValueError("the pool is closed: make a new one")
        if not callable(func):
            raise TypeError(f"a pool runs functions, not {type(func).__name__}")
        return self._dispatcher.submit((func, args, kwds))

    def _chunk_calls(
        self, run: Callable[..., Any], func: Callable[..., Any], iterable: Iterable[Any], chunksize: int
    ) -> Iterator[Call]:
        if chunksize < 1:
            raise ValueError(f"chunksize must be at least 1, not {chunksize}")
        if self._is_closed:
            raise ValueError("the pool is closed: make a new one")
        return self._send_chunks(run, func, iter(iterable), chunksize)

    def _send_chunks(
        self, run: Callable[..., Any], func: Callable[..., Any], items: Iterator[Any], chunksize: int
    ) -> Iterator[Call]:
        while chunk := list(itertools.islice(items, chunksize)):
            yield self._send(run, (func, chunk), {})

    def _map(
        self,
        run: Callable[..., Any],
        func: Callable[..., Any],
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[list[Any]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> AsyncResult:
        items = list(iterable)
        size = max(1, -(-len(items) // (len(self._seats) * CHUNKS_PER_PROCESS))) if chunksize is None else chunksize
        calls = list(self._chunk_calls(run, func, items, size))
        return AsyncResult(calls, lambda chunks: list(itertools.chain.from_iterable(chunks)), callback, error_callback)

    def _ahead(self) -> int:
        return len(self._seats) * CHUNKS_PER_PROCESS


class AsyncResult:
    """A result to come. Made by `apply_async`, `map_async` and `starmap_async`."""

    def __init__(
        self,
        calls: list[Call],
        combine: Callable[[list[Any]], Any],
        callback: Callable[[Any], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        self._calls = calls
        self._combine = combine
        self._callback = callback
        self._error_callback = error_callback
        self._n_left = len(calls)
        self._lock = threading.Lock()
        if callback is not None or error_callback is not None:
            for call in calls:
                call.add_done_callback(self._note)
            if not calls:
                self._tell()

    def get(self, timeout: float | None = None) -> Any:
        """The value, or the list of values, waiting `timeout` seconds at most (None, the default: any time).

        Raises TimeoutError of `multiprocessing`, and the first error of a call."""
        if not self._wait(timeout):
            raise TimeoutError(f"no result within {timeout} s")
        return self._combine([call.result() for call in self._calls])

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is ready, or `timeout` seconds are over (None, the default: any time)."""
        self._wait(timeout)

    def ready(self) -> bool:
        """Whether all calls are over."""
        return self._wait(0)

    def successful(self) -> bool:
        """Whether no call raised. Raises ValueError if they are not over."""
        if not self.ready():
            raise ValueError(f"{self!r} is not ready")
        return all(call.exception() is None for call in self._calls)

    def _wait(self, timeout: float | None) -> bool:
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            for call in self._calls:
                call.exception(None if deadline is None else max(0.0, deadline - time.monotonic()))
        except futures.TimeoutError:
            return False
        return True

    def _note(self, call: object) -> None:
        with self._lock:
            self._n_left -= 1
            is_last = self._n_left == 0
        if is_last:
            self._tell()

    def _tell(self) -> None:
        error = next((error for call in self._calls if (error := call.exception()) is not None), None)
        if error is None and self._callback is not None:
            self._callback(self.get())
        elif error is not None and self._error_callback is not None:
            self._error_callback(error)


class IMapIterator(Iterator[Any]):
    """An iterator over results. Made by `imap` and `imap_unordered`."""

    def __init__(self, calls: Iterator[Call], ahead: int, *, is_ordered: bool) -> None:
        self._rest = calls
        self._is_ordered = is_ordered
        self._calls = deque(itertools.islice(calls, ahead))
        self._values: deque[Any] = deque()

    def next(self, timeout: float | None = None) -> Any:
        """The next value, waiting `timeout` seconds at most (None, the default: any time).

        Raises StopIteration after the last, the error of a call in its place, TimeoutError of `multiprocessing`."""
        if not self._values:
            if not self._calls:
                raise StopIteration
            call = self._next_over(timeout)
            self._calls.remove(call)
            self._calls.extend(itertools.islice(self._rest, 1))
            self._values.extend(call.result())
        return self._values.popleft()

    __next__ = next

    def _next_over(self, timeout: float | None) -> Call:
        wanted = [self._calls[0]] if self._is_ordered else list(self._calls)
        done, _ = futures.wait(wanted, timeout, futures.FIRST_COMPLETED)
        if not done:
            raise TimeoutError(f"no result within {timeout} s")
        return next(call for call in self._calls if call in done)


# -- in the processes


def run_chunk(fn: Callable[[Any], Any], chunk: list[Any]) -> list[Any]:
    return [fn(item) for item in chunk]


def run_star_chunk(fn: Callable[..., Any], chunk: list[Iterable[Any]]) -> list[Any]:
    return [fn(*item) for item in chunk]


def _as_it_is(error: BaseException) -> BaseException:
    return error
