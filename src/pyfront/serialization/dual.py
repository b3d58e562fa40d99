# SPDX-License-Identifier: Apache-2.0
"""Classes that are both `TaskError` and the class of the exception that a task raised.

Made on first use and kept. An instance is made without calling the original's constructor, then given its args, its
fields and what its C layout holds (`errno`, `filename`, `code`, ...).
Rejected: the exceptions below, whose subclass would act on whoever waits (cancel it, end it, end its loop).
"""

from __future__ import annotations

import sys
import types
from typing import Any

from shoal.errors import TaskError

ACT_ON_THE_WAITER = (
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    StopIteration,
    StopAsyncIteration,
)

_duals: dict[type[BaseException], type[TaskError] | None] = {}


def task_error_like(cause: BaseException | None) -> TaskError:
    """A TaskError without fields of its own yet that is also an instance of `type(cause)` if that class allows it."""
    dual = None if cause is None else _dual(type(cause))
    if dual is None or cause is None:
        return TaskError()
    error = _instance(dual, cause)
    if error is None:
        _duals[type(cause)] = None
        return TaskError()
    return error


def _dual(cls: type[BaseException]) -> type[TaskError] | None:
    if cls not in _duals:
        _duals[cls] = _make(cls)
    return _duals[cls]


def _make(cls: type[BaseException]) -> type[TaskError] | None:
    if issubclass(cls, ACT_ON_THE_WAITER) or _is_cancellation(cls):
        return None
    if issubclass(cls, TaskError):
        return TaskError
    try:
        made = types.new_class(f"TaskError({cls.__name__})", (TaskError, cls), {}, _body)
    except Exception:  # final, an odd metaclass, a layout conflict: the text still says which class it was
        return None
    made.__module__ = cls.__module__
    made.__qualname__ = made.__name__
    return made


def _is_cancellation(cls: type[BaseException]) -> bool:
    # asyncio costs 40 ms to import; an instance of its class cannot exist before it is.
    exceptions = sys.modules.get("asyncio.exceptions")
    return exceptions is not None and issubclass(cls, exceptions.CancelledError)


def _body(namespace: dict[str, Any]) -> None:
    namespace["__doc__"] = "A TaskError that is also an instance of the exception's own class."


def _allocate(dual: type[TaskError], args: tuple[Any, ...]) -> TaskError:
    try:
        return dual.__new__(dual, *args)
    except TypeError:
        # Python finds the `__new__` of a C class (MemoryError) whose allocator is not the one that the dual inherited.
        return Exception.__new__(dual, *args)


def _instance(dual: type[TaskError], cause: BaseException) -> TaskError | None:
    try:
        error = _allocate(dual, cause.args)
        error.args = cause.args
        error.__dict__.update({k: v for k, v in cause.__dict__.items() if not k.startswith("_shoal_")})
    except Exception:
        return None
    for cls in type(cause).__mro__:
        if cls is BaseException:
            break
        for name, attribute in vars(cls).items():
            if isinstance(attribute, (types.MemberDescriptorType, types.GetSetDescriptorType)) and name[:2] != "__":
                try:
                    setattr(error, name, getattr(cause, name))
                except (AttributeError, TypeError, ValueError):
                    continue
    return error
