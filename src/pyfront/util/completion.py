# SPDX-License-Identifier: Apache-2.0
"""Results in the order in which they come: `as_completed` of refs, `map_unordered` of a remote function.

Each look takes all that is ready, so a program that is busy with its results looks seldom, at many at once, and an
idle one sees each result when it is there. A ref is let go of before its value is handed out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeVar, overload

from shoal._core._node import ObjectRef
from shoal.api import get, wait
from shoal.errors import GetTimeoutError

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class Remote(Protocol[R_co]):
    """What `map_unordered` calls: a remote function, or the method of an actor."""

    @property
    def remote(self) -> Callable[..., ObjectRef[R_co]]: ...


@overload
def as_completed(
    refs: Sequence[ObjectRef[R]],
    *,
    timeout: float | None = None,
    chunk_size: int = 1,
    yield_obj_refs: Literal[False] = False,
    fetch_local: bool = True,
) -> Iterator[R]: ...
@overload
def as_completed(
    refs: Sequence[ObjectRef[R]],
    *,
    timeout: float | None = None,
    chunk_size: int = 1,
    yield_obj_refs: Literal[True],
    fetch_local: bool = True,
) -> Iterator[ObjectRef[R]]: ...
def as_completed(
    refs: Any,
    *,
    timeout: float | None = None,
    chunk_size: int = 1,
    yield_obj_refs: bool = False,
    fetch_local: bool = True,
) -> Iterator[Any]:
    """The values of `refs`, a list, each as soon as it is there.

    - `timeout`: seconds for all of them together; default None, any time.
    - `chunk_size`: wait until so many are ready before the first of them is given; default 1.
    - `yield_obj_refs`: give the refs instead, so that the error of one does not end the loop; default no.
    - `fetch_local`: has no effect on one node.

    Raises TypeError or ValueError for bad arguments; the iterator raises GetTimeoutError (a TimeoutError), and the
    error of a task in the place of its value."""
    if not isinstance(refs, Sequence) or not all(isinstance(ref, ObjectRef) for ref in refs):
        raise TypeError("as_completed takes a list of ObjectRefs")
    if len(set(refs)) < len(refs):
        raise ValueError("as_completed takes different ObjectRefs, and one is there twice")
    _check(timeout, chunk_size)
    pending = _Pending(timeout, chunk_size)
    pending.refs = list(refs)
    return _values(pending, yield_obj_refs)


@overload
def map_unordered(
    fn: Remote[R],
    items: Iterable[Any],
    *,
    timeout: float | None = None,
    backpressure_size: int | None = 100,
    chunk_size: int = 1,
    yield_obj_refs: Literal[False] = False,
    fetch_local: bool = True,
) -> Iterator[R]: ...
@overload
def map_unordered(
    fn: Remote[R],
    items: Iterable[Any],
    *,
    timeout: float | None = None,
    backpressure_size: int | None = 100,
    chunk_size: int = 1,
    yield_obj_refs: Literal[True],
    fetch_local: bool = True,
) -> Iterator[ObjectRef[R]]: ...
def map_unordered(
    fn: Remote[R],
    items: Iterable[Any],
    *,
    timeout: float | None = None,
    backpressure_size: int | None = 100,
    chunk_size: int = 1,
    yield_obj_refs: bool = False,
    fetch_local: bool = True,
) -> Iterator[Any]:
    """`fn.remote(item)` for each item -> the results, each as soon as it is there.

    - `fn`: a remote function, or an actor's method.
    - `items`: may be endless; the next is taken when there is room for its call.
    - `backpressure_size`: how many calls may be in flight; default 100, None for any number.
    - `timeout`, `chunk_size`, `yield_obj_refs`, `fetch_local`: as of `as_completed`.

    Calls begin with the first `next()`.

    Raises TypeError or ValueError for bad arguments; the iterator raises what `items` and `fn.remote` raise, and as
    that of `as_completed`."""
    remote = getattr(fn, "remote", None)
    if not callable(remote):
        name = getattr(fn, "__name__", type(fn).__name__)
        raise TypeError(f"map_unordered takes a remote function, or an actor's method; give shoal.remote({name})")
    if backpressure_size is not None and backpressure_size < 1:
        raise ValueError(f"backpressure_size must be at least 1, or None for no bound, not {backpressure_size}")
    _check(timeout, chunk_size)
    return _mapped(remote, iter(items), _Pending(timeout, chunk_size), backpressure_size, yield_obj_refs)


def _check(timeout: float | None, chunk_size: int) -> None:
    if timeout is not None and timeout < 0:
        raise ValueError(f"timeout must be zero or more seconds, or None to wait without limit, not {timeout}")
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {chunk_size}")


class _Pending:
    """Refs that are waited for, until one deadline for all."""

    def __init__(self, timeout: float | None, chunk_size: int) -> None:
        self.refs: list[ObjectRef[Any]] = []
        self._timeout = timeout
        self._chunk_size = chunk_size
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def take(self) -> deque[ObjectRef[Any]]:
        """Wait for `chunk_size` refs -> those, and all others that are ready. Raises GetTimeoutError."""
        wanted = min(self._chunk_size, len(self.refs))
        left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        ready, rest = wait(self.refs, num_returns=wanted, timeout=left)
        if not ready:
            raise GetTimeoutError(f"{len(rest)} results were not ready within {self._timeout} s")
        if rest:
            more, rest = wait(rest, num_returns=len(rest), timeout=0)
            ready += more
        self.refs = rest
        return deque(ready)


def _values(pending: _Pending, yield_obj_refs: bool) -> Iterator[Any]:
    while pending.refs:
        ready = pending.take()
        while ready:
            yield ready.popleft() if yield_obj_refs else get(ready.popleft())


def _mapped(
    remote: Callable[[Any], ObjectRef[T]],
    items: Iterator[Any],
    pending: _Pending,
    most: int | None,
    yield_obj_refs: bool,
) -> Iterator[Any]:
    ready: deque[ObjectRef[Any]] = deque()
    is_open = True
    while is_open or pending.refs or ready:
        while is_open and (most is None or len(pending.refs) + len(ready) < most):
            try:
                item = next(items)
            except StopIteration:
                is_open = False
            else:
                pending.refs.append(remote(item))
        if not ready and pending.refs:
            ready = pending.take()
        if ready:
            yield ready.popleft() if yield_obj_refs else get(ready.popleft())
