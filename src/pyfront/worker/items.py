# SPDX-License-Identifier: Apache-2.0
"""Delivering what a call yields: item by item as a stream, or all at its end as one list of refs.

A stream's next attempt drops as many values as were delivered before. An error of the generator is left to the caller
to seal, as the last item; the generator is closed whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from shoal._core._node import RETURNS_STREAM, Client, ObjectRef, Task
from shoal.errors import SerializationError
from shoal.serialization.blame import explain_value
from shoal.serialization.failure import Payload
from shoal.task.dynamic import DynamicObjectRefGenerator

Explain = Callable[[BaseException, int], Payload]
"""An error of user code, and how many of its frames are the worker's -> what to seal."""


def send(client: Client, task: Task, name: str, value: object, explain: Explain) -> None:
    """Deliver what a call returned, an iterator, to its end, and commit."""
    items = iterator_of(name, value)
    refs = None
    try:
        if task.num_returns == RETURNS_STREAM:
            _stream(task, items)
        else:
            refs = _collected(client, items, explain)
    finally:
        try:
            close(items)
        except KeyboardInterrupt:  # a cancel, perhaps before it was closed; it has to be when the task is let go
            close(items)
            raise
    if refs is None:
        task.end_stream()
    else:
        client.finish(task, (refs,))


def _stream(task: Task, items: Iterator[Any]) -> None:
    if task.delivered and not task.is_wanted:
        return
    ended = object()
    for _ in range(task.delivered):
        if next(items, ended) is ended:
            return
    deliver = task.deliver
    for item in items:
        try:
            if not deliver(item):
                return
        except SerializationError as error:
            raise explain_value(item, error) from error.__cause__


def _collected(client: Client, items: Iterator[Any], explain: Explain) -> DynamicObjectRefGenerator[Any]:
    refs: list[ObjectRef[Any]] = []
    try:
        for item in items:
            refs.append(put_item(client, item))  # noqa: PERF401  # those before an error stay
    except Exception as error:
        refs.append(client.put_error(*explain(error, 1)))
    return DynamicObjectRefGenerator(refs)


def put_item(client: Client, item: object) -> ObjectRef[Any]:
    """`put` with the error of a value that cannot be pickled."""
    try:
        return client.put(item)
    except SerializationError as error:
        raise explain_value(item, error) from error.__cause__


def iterator_of(name: str, value: object) -> Iterator[Any]:
    """What to iterate over; raises TypeError for a value that is one thing."""
    if not isinstance(value, (str, bytes)):
        try:
            return iter(value)  # type: ignore[call-overload, no-any-return]
        except TypeError:
            pass
    raise TypeError(f"{name} declares a num_returns of what it yields, but returned one {type(value).__name__}: "
                    "make it a generator, or have it return an iterator")  # fmt: skip


def close(items: Any) -> None:
    """Have a generator end where it stands."""
    end = getattr(items, "close", None)
    if end is not None:
        end()


DELIVERING = {f.__code__ for f in (send, _stream)}
"""Functions that stand between the worker's own and the generator's in a traceback."""
