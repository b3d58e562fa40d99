# SPDX-License-Identifier: Apache-2.0
"""Tensors of users as numpy arrays: what is taken, what is refused, and how arrays are reduced."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.util.collective.types import ReduceOp

Array = NDArray[Any]

UFUNCS = {
    ReduceOp.SUM: np.add,
    ReduceOp.PRODUCT: np.multiply,
    ReduceOp.MIN: np.minimum,
    ReduceOp.MAX: np.maximum,
    ReduceOp.AVERAGE: np.add,
}


def as_array(tensor: Any, *, is_written: bool) -> Array:
    """The array that a tensor is, sharing its memory.

    Raises TypeError for what is neither a numpy array nor a torch tensor in memory, or holds Python objects; ValueError
    for one that cannot be written to if it must be."""
    array = tensor if isinstance(tensor, np.ndarray) else _of_torch(tensor)
    if array.dtype.hasobject or array.dtype.itemsize == 0:
        raise TypeError(f"an array of {array.dtype} cannot be shared between processes: use a type of fixed size")
    if is_written and not array.flags.writeable:
        raise ValueError("the tensor is read-only, as arrays from shoal.get() are, and takes the result: pass a copy")
    return array


def _of_torch(tensor: Any) -> Array:
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(tensor, torch.Tensor):
        raise TypeError(f"a tensor is a numpy array or a torch tensor in memory, not {type(tensor).__name__}")
    if tensor.device.type != "cpu":
        raise TypeError(f"the tensor is on {tensor.device}; only tensors in memory are taken: pass tensor.cpu()")
    try:
        array: Array = tensor.detach().numpy()
    except (TypeError, RuntimeError) as error:
        raise TypeError(f"numpy has no form of this tensor ({error}); convert it first, e.g. with .float()") from error
    return array


def as_arrays(tensors: Any, count: int, like: Array, *, is_written: bool) -> list[Array]:
    """A list of `count` tensors of the shape and type of `like`. Raises as `as_array`."""
    if not isinstance(tensors, Sequence) or isinstance(tensors, (str, bytes)):
        raise TypeError(f"a list of {count} tensors is needed, one for each rank, not {type(tensors).__name__}")
    arrays = [as_array(tensor, is_written=is_written) for tensor in tensors]
    if len(arrays) != count:
        raise ValueError(f"the group has {count} ranks, and the list {len(arrays)} tensors")
    for at, array in enumerate(arrays):
        if (array.shape, array.dtype) != (like.shape, like.dtype):
            raise ValueError(f"tensor {at} of the list is {describe(array)}, and the tensor is {describe(like)}")
    return arrays


def describe(array: Array) -> str:
    """Type and shape, e.g. `float32[1000, 10]`."""
    kind = array.dtype.name if array.dtype.isbuiltin else str(array.dtype)
    return f"{kind}{list(array.shape)}"


def check_reducible(array: Array, op: ReduceOp) -> None:
    """Raises TypeError if `op` makes no values of the array's own type."""
    if op is ReduceOp.AVERAGE and array.dtype.kind not in "fc":
        raise TypeError(f"the average of {array.dtype} is not of that type: use SUM, or floating-point numbers")
    some = np.empty(0, array.dtype)
    try:
        UFUNCS[op](some, some, out=some, casting="equiv")
    except TypeError as error:
        raise TypeError(f"{op.name} makes no {array.dtype} of {array.dtype}") from error


@contextmanager
def flat(array: Array, *, is_read: bool = True, is_written: bool = False) -> Iterator[Array]:
    """The elements in a row, in C order, without a copy where memory has them so; put back at the end if written."""
    if array.flags.c_contiguous:
        yield array.reshape(-1)
        return
    row = np.ascontiguousarray(array).reshape(-1) if is_read else np.empty(array.size, array.dtype)
    yield row
    if is_written:
        array[...] = row.reshape(array.shape)
