# SPDX-License-Identifier: Apache-2.0
"""Values as they lie between calls: pickled, with the refs that they name beside them.

The round trip is the point. A value that two calls share on a node is a copy in each, and read-only where it is an
array; one that cannot be pickled is refused. So it is here, or a program would work inline and fail on a node.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from shoal._core._node import ObjectRef, has_array_kept_inside, with_refs
from shoal.serialization import custom
from shoal.serialization.fallback import encode_fallback

PROTOCOL = 5


class Encoded(NamedTuple):
    """A value's pickle."""

    data: bytes
    buffers: list[bytes]  # out of band: of arrays
    refs: list[ObjectRef[Any]]  # held as long as the value is


def encode(value: object) -> Encoded:
    """Pickle a value. Raises SerializationError with the path to what cannot be pickled."""
    refs: list[ObjectRef[Any]] = []
    data, buffers = with_refs(refs, _dumps, value, refs)
    return Encoded(data, [bytes(buffer.raw()) for buffer in buffers], refs)


def decode(encoded: Encoded) -> Any:
    """A copy of the value. Its arrays are read-only and share their bytes with other copies."""
    loads: Callable[[], Any] = partial(pickle.loads, encoded.data, buffers=encoded.buffers)
    return with_refs(list(encoded.refs), loads)


def _dumps(value: object, refs: list[ObjectRef[Any]]) -> tuple[bytes, list[Any]]:
    buffers: list[pickle.PickleBuffer] = []
    failure: Exception | None = None
    dumps = custom.dumps if custom.is_any_registered() or has_array_kept_inside(value) else pickle.dumps
    try:
        data = dumps(value, PROTOCOL, buffer_callback=buffers.append)
    except Exception as error:
        failure = error
    else:
        if b"__main__" not in data:
            return data, buffers
    refs.clear()
    return encode_fallback(value, failure)
