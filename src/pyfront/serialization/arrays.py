# SPDX-License-Identifier: Apache-2.0
"""Arrays whose bytes numpy keeps in the pickle: gathered into one piece that stays out of it, as those of others do.

numpy hands the buffer of an array to a pickler if it is one piece and the buffer protocol has a word for its type. The
rest, arrays with gaps and those that hold dates, it copies into the pickle, which the reader must copy again. Here one
copy closes the gaps, and the reader looks at the bytes where they lie. Arrays of objects, of strings of any length and
of subclasses stay as their classes pickle them: their bytes are not their value.
"""

from __future__ import annotations

from pickle import PickleBuffer
from typing import TYPE_CHECKING, Any

from shoal._core._node import has_array_kept_inside

if TYPE_CHECKING:
    import numpy

PROTOCOL = 5


def reduce(array: numpy.ndarray[Any, Any]) -> tuple[Any, ...] | str:
    """What a pickler with a buffer callback writes for an array: its bytes out of band wherever that is possible."""
    if array.dtype.hasobject or not array.dtype.itemsize or not has_array_kept_inside(array):
        return array.__reduce_ex__(PROTOCOL)
    axes = sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))  # as they lie in memory
    laid_out: Any = array.transpose(axes)  # numpy's types say that it has a buffer from Python 3.12 on only
    back = sorted(range(array.ndim), key=lambda axis: axes[axis])
    return restore, (PickleBuffer(laid_out.ravel().view("u1")), array.dtype, laid_out.shape, back)


def restore(buffer: Any, dtype: numpy.dtype[Any], shape: tuple[int, ...], axes: list[int]) -> numpy.ndarray[Any, Any]:
    """A view of `buffer`, which holds an array in C's order, with its axes in this order; read-only if the buffer is.

    Called by pickles."""
    import numpy

    array: numpy.ndarray[Any, Any] = numpy.ndarray(shape, dtype, buffer).transpose(axes)
    return array


def is_class_of_arrays(cls: type) -> bool:
    """Whether instances of exactly `cls` are for `reduce`. Does not import numpy, which takes 100 ms."""
    return cls.__name__ == "ndarray" and cls.__module__ == "numpy"
