# SPDX-License-Identifier: Apache-2.0
"""Pickling by value: cloudpickle, with the file name of every code object.

cloudpickle 3.1.3 puts "<dynamic-code>" in the place of file names. A traceback of a function that was shipped would
name no file and show no line of it, so here the name travels beside the code. The bytes depend on the value alone:
equal functions have equal keys (`shoal.task.function_table`)."""

from __future__ import annotations

import io
from collections import ChainMap
from collections.abc import Callable, Mapping
from functools import cache
from pickle import PickleBuffer
from types import CodeType
from typing import Any

import cloudpickle

from shoal.serialization import arrays

PROTOCOL = 5

_reduce_code: Callable[[CodeType], tuple[Any, ...]] = cloudpickle.Pickler.dispatch_table[CodeType]


def dumps(value: object, buffer_callback: Callable[[PickleBuffer], object] | None = None) -> bytes:
    """The pickle of `value`; what no other process can import goes by value. Raises whatever pickling it raises.

    `buffer_callback`: takes each buffer that then stays out of the pickle; None keeps all of them in it.
    """
    file = io.BytesIO()
    if buffer_callback is None:
        Pickler(file).dump(value)
    else:
        _OutOfBandPickler(file, buffer_callback).dump(value)
    return file.getvalue()


def code_in_file(make: Callable[..., CodeType], parts: tuple[Any, ...], file_name: str) -> CodeType:
    """The code object that `make` makes of `parts`, as it was compiled from `file_name`. Called by pickles."""
    return make(*parts).replace(co_filename=file_name)


def _reduce(code: CodeType) -> tuple[Any, ...]:
    make, parts, *_ = _reduce_code(code.replace(co_filename=""))  # older cloudpickles write the name, each time anew
    return code_in_file, (make, parts, _own_copy(code.co_filename))


@cache
def _own_copy(file_name: str) -> str:
    """One str for each file name, which nothing else is: what a pickle writes once is decided by identity."""
    return "".join(list(file_name))


own_reductions: dict[type, Callable[[Any], Any]] = {CodeType: _reduce}
"""Reductions that go before cloudpickle's: ours, and those that users registered (`custom`)."""


class Pickler(cloudpickle.Pickler):  # type: ignore[misc] # cloudpickle has no types
    """Writes one value to `file`, an object with `write`."""

    dispatch_table: Mapping[type, Callable[[Any], Any]] = ChainMap(own_reductions, cloudpickle.Pickler.dispatch_table)

    def __init__(self, file: Any, buffer_callback: Callable[[PickleBuffer], object] | None = None) -> None:
        super().__init__(file, protocol=PROTOCOL, buffer_callback=buffer_callback)


class _WithArrays(ChainMap[type, Callable[[Any], Any]]):
    def __missing__(self, cls: type) -> Callable[[Any], Any]:
        if arrays.is_class_of_arrays(cls):
            return arrays.reduce
        raise KeyError(cls)


class _OutOfBandPickler(Pickler):
    """Keeps the bytes of arrays of every layout out of the pickle."""

    dispatch_table = _WithArrays(own_reductions, cloudpickle.Pickler.dispatch_table)
