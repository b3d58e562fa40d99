# SPDX-License-Identifier: Apache-2.0
"""`@remote` functions: what `.remote()` and `.options()` hang on.

`f.remote` is the compiled `Caller` itself, so a call is one C function; it asks `_bind` for its template once per
connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NoReturn, ParamSpec, TypeVar, overload

from shoal._core._node import Caller
from shoal.ids import FunctionKey, short_name
from shoal.runtime import Runtime, current
from shoal.task.actor_shape import MAX_RETRIES
from shoal.task.code_flags import ASYNC_GENERATOR, COROUTINE, GENERATOR, code_flags
from shoal.task.dynamic import DynamicObjectRefGenerator
from shoal.task.function_table import Exported
from shoal.task.options import TaskOptions, merge_task
from shoal.task.returns import for_template
from shoal.typed import Calls, Several

if TYPE_CHECKING:
    from shoal.seam import Submission

__all__ = ["RemoteFunction"]

P = ParamSpec("P")
R = TypeVar("R")


class RemoteFunction(Calls[P, R]):
    """A function that runs as a task. Made by `@remote`; called with `.remote(...)`, which takes what it takes.

    `.remote()` submits a task and returns at once: an ObjectRef to what the function returns; a list of refs, or None,
    for `num_returns` of another number than one; an ObjectRefGenerator for a generator. A ref that is an argument by
    itself is replaced by its value, and the task waits for it; refs inside other values are passed as they are.

    `.remote()` raises SerializationError (a TypeError) for an argument that cannot be pickled, ObjectStoreFullError
    without room for the call, NonDeterministicTaskError in an attempt that calls something else than its earlier one,
    TaskUnschedulableError and PlacementGroupSchedulingError for a place that is not there; and warns with
    InfeasibleResourcesWarning of a demand that the node cannot meet. Errors of the function, also about its
    parameters, are raised by `get`."""

    def __init__(self, function: Callable[P, R], options: TaskOptions, exported: Exported | None = None) -> None:
        self.__wrapped__ = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__qualname__ = getattr(function, "__qualname__", self.__name__)
        self.__module__ = getattr(function, "__module__", None) or "__main__"
        self.__doc__ = function.__doc__
        self._options = options
        self._exported = exported  # spares whoever unpickled us from pickling the function again
        self.__dict__["remote"] = Caller(self._bind)  # a checker is to see typed.RemoteOf

    @overload
    def options(self, *, num_returns: Literal[1], **options: Any) -> RemoteFunction[P, R]: ...
    @overload
    def options(self, *, num_returns: int, **options: Any) -> RemoteFunction[P, Several]: ...
    @overload
    def options(self, *, num_returns: Literal["streaming"], **options: Any) -> RemoteFunction[P, Iterator[Any]]: ...
    @overload
    def options(
        self, *, num_returns: Literal["dynamic"], **options: Any
    ) -> RemoteFunction[P, DynamicObjectRefGenerator[Any]]: ...
    @overload
    def options(self, **options: Any) -> RemoteFunction[P, R]: ...
    def options(self, **options: Any) -> Any:
        """This function with other `options`, e.g. `f.options(num_cpus=2).remote()` -> a new RemoteFunction.

        They are those of `shoal.remote` for functions; what is left out stays as it is. Raises TypeError, ValueError or
        UnsupportedOptionError for a bad one.
        """
        merged = merge_task(self._options, options)
        check_function(self.__wrapped__, merged)
        is_same_record = merged.name == self._options.name and merged.traits() == self._options.traits()
        return RemoteFunction(self.__wrapped__, merged, self._exported if is_same_record else None)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> NoReturn:
        name = self.__name__
        raise TypeError(f"{name} is a remote function: submit it with {name}.remote(...), or run it here with "
                        f"{name}.__wrapped__(...)")  # fmt: skip

    def __repr__(self) -> str:
        return f"<remote function {self.__module__}.{self.__qualname__}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteFunction, (self.__wrapped__, self._options, self._exported)

    def _bind(self) -> Submission:
        runtime = current()
        options = self._options
        return runtime.template(
            key=self._key(runtime),
            class_id=runtime.class_for(
                options.demands(),
                options.priority,
                runtime.environment_for(options.runtime_env),
                options.place(runtime.captured),
            ),
            priority=options.priority,
            **for_template(check_function(self.__wrapped__, options)),
            max_retries=MAX_RETRIES if options.max_retries < 0 else min(options.max_retries, MAX_RETRIES),
            timeout_ns=0 if options.timeout is None else max(1, int(options.timeout * 1e9)),
            retry_overdue=options.is_overdue_retried(),
        )

    def _key(self, runtime: Runtime) -> FunctionKey:
        if self._exported is None or self._exported[0] != runtime.job:
            name = self._options.name or short_name(self.__qualname__)
            self._exported = (runtime.job, runtime.functions.export(name, self.__wrapped__, self._options.traits()))
        return self._exported[1]


def check_function(function: Callable[..., Any], options: TaskOptions) -> int:
    """The code of what a task of this function returns (task/returns.py).

    Raises TypeError for coroutine functions, ValueError for a number of returns that a generator cannot have.
    """
    name = getattr(function, "__qualname__", repr(function))
    flags = code_flags(function)
    if flags & (COROUTINE | ASYNC_GENERATOR):
        raise TypeError(f"{name} is an async function: make it a method of an actor, or call asyncio.run inside a task")
    return options.returns().code(name, is_generator=bool(flags & GENERATOR))
