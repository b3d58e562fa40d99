# SPDX-License-Identifier: Apache-2.0
"""Serializers that this process has registered for classes of its own choice.

Both picklers look their reductions up: the C pickler in a table that it is given while anything is registered, the
second one (`by_value`) in the table that it has anyway. Nothing is registered in `copyreg`: `copy` and the program's
own pickles are as before. The deserializer travels with each pickle, once, as a pickle of its own, so that whoever
cannot load it gets an error that says so.
"""

from __future__ import annotations

import copyreg
import io
import os
import pickle
from collections.abc import Callable
from pickle import PickleBuffer
from typing import Any

from shoal._core._node import use_dumps
from shoal.errors import SerializationError
from shoal.serialization import arrays, by_value


class _Reductions(dict[type, Callable[[Any], Any]]):
    """What the C pickler looks up: those registered, that of arrays, those of `copyreg`, which may grow any time."""

    def __missing__(self, cls: type) -> Callable[[Any], Any]:
        return arrays.reduce if arrays.is_class_of_arrays(cls) else copyreg.dispatch_table[cls]


_reductions = _Reductions()
_deserializers: dict[bytes, Callable[[Any], Any]] = {}  # those that were loaded here, by their pickle


def register(cls: type, serializer: Callable[[Any], Any], deserializer: Callable[[Any], Any]) -> None:
    """From now on instances of exactly `cls` are pickled as what `serializer` makes of them.

    Raises SerializationError if the deserializer cannot be pickled."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    try:
        blob = by_value.dumps(deserializer)
    except Exception as error:
        raise SerializationError(
            f"the deserializer of {name} travels with every value, and cannot be pickled: {error}; use a function that "
            "refers to nothing but what can be pickled"
        ) from error

    def reduction(value: Any) -> tuple[Any, ...]:
        return restore, (name, blob, serializer(value))

    _reductions[cls] = by_value.own_reductions[cls] = reduction
    use_dumps(dumps)


def deregister(cls: type) -> None:
    """Instances of `cls` are pickled as any other again. No effect if nothing is registered for it."""
    if _reductions.pop(cls, None) is not None:
        del by_value.own_reductions[cls]
    if not _reductions:
        use_dumps(None)


def is_any_registered() -> bool:
    """Whether the C pickler needs our table for more than arrays."""
    return bool(_reductions)


def restore(name: str, blob: bytes, data: Any) -> Any:
    """The instance of the class of this name that `data` was made of. Called by pickles.

    Raises SerializationError if its deserializer cannot be loaded here, and what the deserializer raises."""
    deserializer = _deserializers.get(blob)
    if deserializer is None:
        try:
            deserializer = _deserializers[blob] = pickle.loads(blob)
        except Exception as error:
            raise SerializationError(
                f"a value of class {name} was pickled by a registered serializer, and its deserializer cannot be "
                f"loaded in process {os.getpid()}: {type(error).__name__}: {error}; put the deserializer's module "
                "where this process can import it, or define the deserializer in the main program, from where it "
                "travels by value"
            ) from error
    return deserializer(data)


def dumps(value: object, protocol: int, buffer_callback: Callable[[PickleBuffer], object] | None = None) -> bytes:
    """`pickle.dumps` with our table: what is registered, and arrays of every layout out of band."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, protocol, buffer_callback=buffer_callback)
    pickler.dispatch_table = _reductions
    pickler.dump(value)
    return file.getvalue()
