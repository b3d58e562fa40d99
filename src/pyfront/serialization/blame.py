# SPDX-License-Identifier: Apache-2.0
"""Which part of a value cannot be pickled: a bounded walk that ends in a path such as `args[0]['model'].lock`.

The walk goes down into the first child that does not pickle on its own, until no child is to blame. Buffers are kept
out of band, so a large array costs nothing; the number of attempts is bounded, so a huge value costs a vaguer answer,
not a hang."""

from __future__ import annotations

import io
import types
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from shoal._core._node import with_refs
from shoal.errors import SerializationError
from shoal.serialization.by_value import Pickler

MAX_ATTEMPTS = 2_000
MAX_DEPTH = 30


class _Discard(io.RawIOBase):
    """A file that forgets what is written to it."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)


class _Budget:
    def __init__(self, attempts: int) -> None:
        self.left = attempts

    def failure_of(self, value: object) -> Exception | None:
        """Why `value` does not pickle; None if it does, or if no attempt is left."""
        if self.left == 0:
            return None
        self.left -= 1
        try:
            pickler = Pickler(_Discard(), lambda _: None)
            with_refs([], pickler.dump, value)  # or an attempt would have its refs kept until the job ends
        except Exception as failure:
            return failure.with_traceback(None)  # whose frames would keep the value, and themselves, alive
        return None


def explain_call(value: object, failure: Exception) -> SerializationError:
    """The error for what the core pickles: arguments, or arguments with keywords, or else a single value.

    A tuple is taken for arguments; whoever knows better calls `explain_value`.
    """
    budget = _Budget(MAX_ATTEMPTS)
    if type(value) is not tuple:
        return _error(*_descend("value", value, failure, budget))
    args, kwargs = _split(value)
    for label, child in (*((f"args[{i}]", arg) for i, arg in enumerate(args)), *kwargs.items()):
        cause = budget.failure_of(child)
        if cause is not None:
            return _error(*_descend(label, child, cause, budget))
    return _error("the arguments", value, failure)


def explain_value(value: object, error: SerializationError) -> SerializationError:
    """The error for a value that was put or returned, in place of the one that took it for arguments."""
    budget = _Budget(MAX_ATTEMPTS)
    failure = budget.failure_of(value)
    return error if failure is None else _error(*_descend("value", value, failure, budget))


def explain_function(function: object, name: str, failure: Exception) -> SerializationError:
    """The error to raise for a function or class that cannot be shipped to the workers."""
    return _error(*_descend(name, function, failure, _Budget(MAX_ATTEMPTS)))


class Culprit(NamedTuple):
    """The part of a value that cannot be pickled."""

    value: Any
    step: str  # the last one of the path
    parent: Any  # what it is in; None: it is the whole
    path: str
    error: SerializationError  # that would be raised for it


def find_culprit(path: str, value: object, depth: int | None = None) -> Culprit | None:
    """What keeps `value`, which the caller calls `path`, from being pickled; None if it can be.

    `depth`: steps to go down at most, default MAX_DEPTH."""
    budget = _Budget(MAX_ATTEMPTS)
    failure = budget.failure_of(value)
    if failure is None:
        return None
    trail: list[tuple[str, object]] = [(path, value)]
    *_, reason = _descend(path, value, failure, budget, MAX_DEPTH if depth is None else depth, trail)
    step, culprit = trail[-1]
    whole = "".join(step for step, _ in trail)
    return Culprit(culprit, step, None if len(trail) == 1 else trail[-2][1], whole, _error(whole, culprit, reason))


def _error(path: str, culprit: object, reason: Exception) -> SerializationError:
    error = SerializationError(f"{path}: {_reason_text(culprit, reason)}; {_advice(culprit)}")
    error.path = path
    return error


def _split(value: tuple[object, ...]) -> tuple[tuple[object, ...], dict[str, object]]:
    """Positional and keyword arguments: the core writes `args`, or `(args, kwargs)` with where refs go behind it."""
    if len(value) in (2, 3) and type(value[0]) is tuple and type(value[1]) is dict:
        return value[0], value[1]
    return value, {}


def _descend(
    path: str,
    value: object,
    reason: Exception,
    budget: _Budget,
    depth: int = MAX_DEPTH,
    trail: list[tuple[str, object]] | None = None,
) -> tuple[str, object, Exception]:
    """Go down to what is to blame -> its path, itself, why. `trail` gets each step and what it leads to."""
    seen = {id(value)}
    for _ in range(depth):
        for step, child in _children(value):
            if id(child) in seen:
                continue
            failure = budget.failure_of(child)
            if failure is not None:
                seen.add(id(child))
                path, value, reason = path + step, child, failure
                if trail is not None:
                    trail.append((step, child))
                break
        else:
            break
    return path, value, reason


def _children(value: object) -> Iterator[tuple[str, object]]:
    """The parts that pickling `value` has to pickle, with the step of the path that leads to each."""
    if isinstance(value, Mapping):
        for key, item in islice(value.items(), MAX_ATTEMPTS):
            yield f"[{key!r}]", item
            yield f".keys()[{key!r}]", key
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(islice(value, MAX_ATTEMPTS)):
            yield f"[{index}]", item
    elif isinstance(value, (set, frozenset)):
        for item in islice(value, MAX_ATTEMPTS):
            yield "{...}", item
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, types.FunctionType):
        yield from _captured(value)
    elif isinstance(value, type):
        for name, item in vars(value).items():
            if not name.startswith("__") or name == "__init__":
                yield f".{name}", item
    yield from _fields(value)


def _captured(function: types.FunctionType) -> Iterator[tuple[str, object]]:
    names = function.__code__.co_freevars
    for name, cell in zip(names, function.__closure__ or (), strict=False):
        try:
            yield f".<closure {name}>", cell.cell_contents
        except ValueError:  # an empty cell: the name is bound later
            continue
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f".<global {name}>", function.__globals__[name]
    if function.__defaults__:
        yield ".__defaults__", function.__defaults__


def _fields(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, (type, types.FunctionType, types.ModuleType)):
        return
    for name, item in list(getattr(value, "__dict__", {}).items()):
        yield f".{name}", item
    for klass in type(value).__mro__:
        slots = klass.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield f".{name}", getattr(value, name)


def _reason_text(culprit: object, reason: Exception) -> str:
    if isinstance(reason, RecursionError):
        return f"nested too deeply to be pickled ({type(culprit).__name__})"
    text = str(reason) or type(reason).__name__
    return text if "pickle" in text else f"cannot pickle {type(culprit).__name__!r} object: {text}"


def _advice(culprit: object) -> str:
    if isinstance(culprit, types.GeneratorType):
        return "pass a list, or make the generator on the worker"
    return (
        "create it where it is used (in the task or in the actor's constructor), leave it out with __getstate__, or "
        "say how it is shipped with shoal.util.register_serializer"
    )
