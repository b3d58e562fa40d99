# SPDX-License-Identifier: Apache-2.0
"""Arrays made inside the object store: written in place, then sealed without a copy.

    array = shoal.store.empty((1000, 1000), "float32")
    array[:] = ...
    ref = shoal.put(array)          # no copy: the array's own bytes become the object

After the seal the array is read-only, as every array that `get` returns. Views of it that were made before count too:
writing through one of those after the seal ends the process with a memory fault.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal
from weakref import finalize

from shoal.runtime import current

if TYPE_CHECKING:
    import numpy
    from numpy.typing import DTypeLike

    from shoal._core._node import ObjectRef

__all__ = ["empty"]

unsealed: dict[int, Any] = {}  # id of an array that `empty` made -> its buffer


def empty(
    shape: int | Sequence[int], dtype: DTypeLike = "float64", order: Literal["C", "F"] = "C"
) -> numpy.ndarray[Any, Any]:
    """An uninitialized array inside the object store, for `shoal.put` to seal without a copy.

    - `shape`: a length, or a sequence of one for each dimension.
    - `dtype`: what numpy takes for one; default "float64".
    - `order`: how it lies in memory, "C" for rows after one another, "F" for columns; default "C".

    Raises ValueError for a negative dimension, another order or a dtype of Python objects, ObjectStoreFullError if
    there is no room. An array that is dropped without being put gives its room back."""
    import numpy

    kind = numpy.dtype(dtype)
    dimensions = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    if kind.hasobject:
        raise ValueError(f"{kind} holds Python objects, which cannot live in shared memory")
    if any(n < 0 for n in dimensions):
        raise ValueError(f"a dimension is negative: {dimensions}")
    if order not in ("C", "F"):
        raise ValueError(f"order must be 'C' or 'F', not {order!r}")
    nbytes = min(math.prod(dimensions) * kind.itemsize, sys.maxsize)  # for which no store has room
    buffer = current().client.create(nbytes)
    array: numpy.ndarray[Any, Any] = numpy.ndarray(dimensions, kind, buffer.view, order=order)
    key = id(array)
    unsealed[key] = buffer
    finalize(array, unsealed.pop, key, None).atexit = False
    return array


def seal(array: object) -> ObjectRef[Any] | None:
    """Publish `array` -> its ref; None if `empty` did not make it, or it was sealed before. `put` calls this."""
    buffer = unsealed.pop(id(array), None)
    if buffer is None:
        return None
    import numpy

    assert isinstance(array, numpy.ndarray)
    order = "C" if array.flags.c_contiguous else "F"
    array.flags.writeable = False
    describe = (array.dtype.str if array.dtype.names is None else array.dtype.descr, array.shape, order)
    return current().client.seal_array(buffer, describe)
