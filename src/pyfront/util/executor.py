# SPDX-License-Identifier: Apache-2.0
"""`Executor`: `concurrent.futures.Executor` on a node's workers.

A plain function is shipped once, as a remote function; any other callable (a closure, a bound method, a partial) is
pickled with each call, as its state may change between calls.
A worker that dies fails its own call and no other, and the executor goes on."""

from __future__ import annotations

import itertools
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from functools import partial
from types import FunctionType
from typing import Any, ParamSpec, TypeVar

from shoal import runtime
from shoal._core._node import ObjectRef
from shoal.api import remote
from shoal.errors import BrokenExecutorError, WorkerCrashedError
from shoal.remote_function import RemoteFunction, check_function
from shoal.task.options import TaskOptions
from shoal.util.dispatcher import Call, Dispatcher, Lane

P = ParamSpec("P")
T = TypeVar("T")

MOST_IN_FLIGHT = 1024
MOST_FUNCTIONS = 128
"""Functions that are kept ready to be called; the one that came first is shipped anew if it comes again."""


class _BrokenExecutor(BrokenExecutorError, futures.BrokenExecutor):
    """For those who catch what the standard library raises."""


class Executor(futures.Executor):
    """Runs calls as tasks. Use it in a `with` statement, or end it with `shutdown()`.

    ```
    with shoal.Executor() as executor:
        squares = list(executor.map(square, range(100)))
    ```
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        initializer: Callable[..., object] | None = None,
        initargs: tuple[Any, ...] = (),
        **options: Any,
    ) -> None:
        """Nothing is started before the first call.

        - `max_workers`: calls that may run at one time; default as many as the node has CPUs.
        - `initializer`: called with `initargs` once in each worker before it runs a call of this executor; default
          nothing.
        - `options`: of the tasks, as of `shoal.remote` for functions, e.g. `num_cpus=2` or `max_retries=3`; by default
          a call whose worker dies is not run again.

        Raises TypeError or ValueError for a bad argument, what `shoal.remote` raises for a bad option."""
        if max_workers is not None and (isinstance(max_workers, bool) or not isinstance(max_workers, int)):
            raise TypeError(f"max_workers must be a whole number, not {max_workers!r}")
        if max_workers is not None and max_workers < 1:
            raise ValueError(f"max_workers must be at least 1, not {max_workers}")
        if initializer is not None and not callable(initializer):
            raise TypeError(f"initializer must be callable, not {type(initializer).__name__}")
        if "num_returns" in options:
            raise TypeError("a call of an Executor has one result: leave num_returns out")
        self._max_workers = max_workers
        self._options = {"max_retries": 0, **options}
        self._prepare: Callable[[Callable[..., Any]], Callable[..., Any]] = _as_it_is
        if initializer is not None:
            token = uuid.uuid4().hex
            self._prepare = lambda fn: partial(_run_initialized, token, initializer, initargs, fn)
        self._call_any = self._remote(_call)
        self._remotes: dict[tuple[Any, bool], Callable[..., ObjectRef[Any]]] = {}
        self._dispatcher: Dispatcher | None = None
        self._is_shut = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> futures.Future[T]:
        """Run `fn(*args, **kwargs)` on a worker -> its future. Refs among the arguments are replaced by their values.

        What cannot be pickled is an error of the future. Raises RuntimeError after `shutdown`, TypeError for an async
        function, NotConnectedError if the executor's connection has ended."""
        return self._submit(fn, False, args, kwargs)

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """`fn` of the items of `iterables`, taken together -> the results, in that order.

        - `timeout`: seconds from now for all of them, then TimeoutError; default None, any time.
        - `chunksize`: items of one call; default 1.
        - `buffersize`: calls whose results have not been asked for yet, at most; by default all are taken at once.

        Leaving the iterator cancels what has not begun. It raises the error of a call in the place of its result.
        Raises ValueError or TypeError for bad arguments, and what `submit` raises."""
        if chunksize < 1:
            raise ValueError(f"chunksize must be at least 1, not {chunksize}")
        if buffersize is not None and (isinstance(buffersize, bool) or not isinstance(buffersize, int)):
            raise TypeError(f"buffersize must be a whole number or None, not {buffersize!r}")
        if buffersize is not None and buffersize < 1:
            raise ValueError(f"buffersize must be at least 1, or None for no bound, not {buffersize}")
        deadline = None if timeout is None else time.monotonic() + timeout
        items = zip(*iterables)  # noqa: B905  # the shortest ends it, as in every `map`
        if chunksize == 1:
            calls = (self._submit(fn, False, item, {}) for item in items)
        else:
            calls = (self._submit(fn, True, (chunk,), {}) for chunk in _chunks(items, chunksize))
        started = deque(itertools.islice(calls, buffersize))
        return _results(started, calls, deadline, is_chunked=chunksize > 1)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. `wait`: until those there are over, the default. `cancel_futures`: cancel those that have
        not begun; default no.

        Repeating it has no effect."""
        self._is_shut = True
        dispatcher: Dispatcher | None = getattr(self, "_dispatcher", None)  # None: its making was refused
        if dispatcher is None:
            return
        if cancel_futures:
            dispatcher.cancel()
        if wait:
            dispatcher.join()
        dispatcher.close()

    def __del__(self) -> None:
        self.shutdown(wait=False)

    def __repr__(self) -> str:
        state = "shut down" if self._is_shut else "open"
        return f"<shoal.Executor, {state}>"

    # -- inside

    def _submit(self, fn: Callable[..., Any], is_chunk: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        if self._is_shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if self._dispatcher is None:
            self._dispatcher = Dispatcher([self._lane()], _explain)
        if not callable(fn):
            raise TypeError(f"an Executor runs functions, not {type(fn).__name__}")
        send = self._sender(fn, is_chunk)
        if send is None:
            send, args = self._call_any, (partial(_run_chunk, fn) if is_chunk else fn, *args)
        return self._dispatcher.submit((send, args, kwargs))

    def _sender(self, fn: Callable[..., Any], is_chunk: bool) -> Callable[..., ObjectRef[Any]] | None:
        """What submits a plain function; None for another callable."""
        send = self._remotes.get((fn, is_chunk)) if type(fn) is FunctionType else None
        if send is None and type(fn) is FunctionType and fn.__closure__ is None:
            check_function(fn, TaskOptions())
            send = self._remote(partial(_run_chunk, fn) if is_chunk else fn)
            if len(self._remotes) >= MOST_FUNCTIONS:
                self._remotes.pop(next(iter(self._remotes)), None)
            self._remotes[fn, is_chunk] = send
        return send

    def _remote(self, fn: Callable[..., Any]) -> Callable[..., ObjectRef[Any]]:
        function: RemoteFunction[..., Any] = remote(**self._options)(self._prepare(fn))
        send: Callable[..., ObjectRef[Any]] = function.remote
        return send

    def _lane(self) -> Lane:
        n_cpus = runtime.current().config.resources.get("CPU", 1.0)
        per_call = self._options.get("num_cpus", 1)
        most_at_once = self._max_workers or max(1, int(n_cpus))
        if per_call > 0 and most_at_once >= int(n_cpus / per_call):
            # The node itself runs no more at one time, so the queue may be as long as it pays.
            return Lane(_send, most_at_once + 1, max(most_at_once + 1, MOST_IN_FLIGHT))
        return Lane(_send, most_at_once, most_at_once)


def _send(call: Call) -> ObjectRef[Any]:
    send, args, kwargs = call.work
    ref: ObjectRef[Any] = send(*args, **kwargs)
    return ref


def _explain(error: BaseException) -> BaseException:
    """The death of a worker in the terms of `concurrent.futures`."""
    if type(error) is not WorkerCrashedError:
        return error
    broken = _BrokenExecutor(*error.args)
    broken.__dict__.update(error.__dict__)
    return broken


def _chunks(items: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(itertools.islice(items, size)):
        yield chunk


def _results(started: deque[Call], calls: Iterator[Call], deadline: float | None, is_chunked: bool) -> Iterator[Any]:
    try:
        while started:
            left = None if deadline is None else deadline - time.monotonic()
            value = started.popleft().result(left)
            started.extend(itertools.islice(calls, 1))
            if is_chunked:
                yield from value
            else:
                yield value
    finally:
        for future in started:
            future.cancel()


# -- on the worker

_initialized: dict[str, BaseException | None] = {}
"""Executors whose initializer has run in this process, with the error it ended in."""


def _as_it_is(fn: Callable[..., Any]) -> Callable[..., Any]:
    return fn


def _call(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **kwargs)


def _run_chunk(fn: Callable[..., Any], chunk: list[tuple[Any, ...]]) -> list[Any]:
    return [fn(*item) for item in chunk]


def _run_initialized(
    token: str,
    initializer: Callable[..., object],
    initargs: tuple[Any, ...],
    fn: Callable[..., Any],
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    if token not in _initialized:
        try:
            initializer(*initargs)
            _initialized[token] = None
        except Exception as error:
            _initialized[token] = error
    failure = _initialized[token]
    if failure is not None:
        raise futures.BrokenExecutor(f"the initializer failed on this worker: {failure!r}") from failure
    return fn(*args, **kwargs)
