# SPDX-License-Identifier: Apache-2.0
"""`shoal.Executor`, without the 8 ms that importing `concurrent.futures` costs, until it is used.

A module's `__getattr__` could do this too, but then CPython does not specialise attributes of the module, and every
`shoal.get` costs a fifth more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.util.executor import Executor as Executor
else:

    class _Later(type):
        """Of a class that stands for another one, which is imported when it is asked for."""

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return _real()(*args, **kwargs)

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, _real())

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, _real())

    class Executor(metaclass=_Later):
        """A `concurrent.futures.Executor` that runs calls as tasks: makes a `shoal.util.executor.Executor`.

        Its parameters are `max_workers`, `initializer` and `initargs`, and options of the tasks, as that one says."""

        def __init_subclass__(cls, **kwargs: Any) -> None:
            raise TypeError("derive from shoal.util.executor.Executor")

    def _real() -> type:
        from shoal.util import executor

        return executor.Executor
