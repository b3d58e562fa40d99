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
from typing import Any

import cloudpickle

from shoal.errors import SerializationError

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
            cloudpickle.Pickler(_Discard(), protocol=5, buffer_callback=lambda _: None).dump(value)
        except Exception as failure:
            return failure
        return None


def explain(value: object, failure: Exception) -> SerializationError:
    """The error to raise for a value whose pickling failed with `failure`."""
    budget = _Budget(MAX_ATTEMPTS)
    path, culprit, reason = _root(value), value, failure
    if path:
        path, culprit, reason = _descend(path, value, failure, budget)
    else:  # a call: its arguments are the children that the user wrote
        args, kwargs = _call(value)
        for label, child in (*((f"args[{i}]", arg) for i, arg in enumerate(args)), *kwargs.items()):
            cause = budget.failure_of(child)
            if cause is not None:
                path, culprit, reason = _descend(label, child, cause, budget)
                break
    return _error(path or "the arguments", culprit, reason)


def explain_function(function: object, name: str, failure: Exception) -> SerializationError:
    """The error to raise for a function or class that cannot be shipped to the workers."""
    return _error(*_descend(name, function, failure, _Budget(MAX_ATTEMPTS)))


def _error(path: str, culprit: object, reason: Exception) -> SerializationError:
    error = SerializationError(f"{path}: {_reason_text(culprit, reason)}; {_advice(culprit)}")
    error.path = path
    return error


def _call(value: object) -> tuple[tuple[object, ...], dict[str, object]]:
    assert isinstance(value, tuple)
    args, kwargs = value
    return args, kwargs


def _root(value: object) -> str:
    """How the top of the path is called: empty for a call, whose arguments have names of their own."""
    is_call = type(value) is tuple and len(value) == 2 and type(value[0]) is tuple and type(value[1]) is dict
    return "" if is_call and all(type(name) is str for name in value[1]) else "value"  # type: ignore[index]


def _descend(path: str, value: object, reason: Exception, budget: _Budget) -> tuple[str, object, Exception]:
    seen = {id(value)}
    for _ in range(MAX_DEPTH):
        for step, child in _children(value):
            if id(child) in seen:
                continue
            failure = budget.failure_of(child)
            if failure is not None:
                seen.add(id(child))
                path, value, reason = path + step, child, failure
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
    return "create it where it is used (in the task or in the actor's constructor), or leave it out with __getstate__"
