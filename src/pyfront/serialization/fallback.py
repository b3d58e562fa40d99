# SPDX-License-Identifier: Apache-2.0
"""The second pickler: by value, where the C pickler failed or its bytes name `__main__`.

The core calls `encode_fallback` while it collects the refs of one payload, so a ref or an actor handle met here
becomes a row of that payload's ref table as it does on the fast path."""

from __future__ import annotations

from pickle import PickleBuffer
from typing import Any

from shoal.serialization.blame import explain_call
from shoal.serialization.by_value import dumps


def encode_fallback(value: object, error: Exception | None) -> tuple[bytes, list[Any]]:
    """Pickle `value` by value where need be -> (pickle, its out-of-band buffers).

    `error` is what the C pickler raised, or None if it succeeded with bytes that name `__main__`.
    Raises SerializationError, naming the path to the part that cannot be pickled.
    """
    buffers: list[PickleBuffer] = []
    try:
        data = dumps(value, buffers.append)
    except Exception as failure:
        raise explain_call(value, failure) from (error or failure)
    return data, buffers
