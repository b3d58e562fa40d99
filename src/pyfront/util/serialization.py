# SPDX-License-Identifier: Apache-2.0
"""`register_serializer`: how this process ships instances of a class that cannot be pickled, or should not be."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, NoneType
from typing import Any, TypeVar

from shoal._core._node import ObjectRef
from shoal.serialization import custom

T = TypeVar("T")

BY_THE_PICKLER = frozenset(
    {NoneType, bool, int, float, str, bytes, bytearray, dict, set, frozenset, list, tuple, FunctionType, ObjectRef}
)
"""Classes whose instances no pickler asks anybody about. Their subclasses can be registered."""


def register_serializer(cls: type[T], *, serializer: Callable[[T], Any], deserializer: Callable[[Any], T]) -> None:
    """Ship instances of `cls` as what `serializer` makes of them; `deserializer` makes them again.

    It holds in the process that calls it: for what it puts, passes and returns, at any depth. Whoever reads such values
    need not call it, for the deserializer travels with them. Instances of subclasses are not covered. Registering a
    class again replaces what was there. Pickles that the program makes itself, and `copy`, are not affected.

    Raises TypeError for what is no class or cannot be called, and for classes that pickle knows itself (`int`, `list`,
    functions, ...); SerializationError for a deserializer that cannot be pickled."""
    _check_class(cls)
    for name, function in (("serializer", serializer), ("deserializer", deserializer)):
        if not callable(function):
            raise TypeError(f"{name} must be a function of one argument, not {type(function).__name__}")
    custom.register(cls, serializer, deserializer)


def deregister_serializer(cls: type) -> None:
    """Ship instances of `cls` in the usual way again. No effect if nothing is registered for it.

    Raises TypeError for what is no class."""
    _check_class(cls)
    custom.deregister(cls)


def _check_class(cls: object) -> None:
    if not isinstance(cls, type):
        raise TypeError(f"a serializer is for a class, not for {cls!r}")
    if cls in BY_THE_PICKLER or issubclass(cls, type):
        raise TypeError(
            f"{cls.__name__} cannot have a serializer: pickle writes its instances without asking; wrap them in a "
            "class of your own"
        )
