# SPDX-License-Identifier: Apache-2.0
"""What kind of function a code object is of: its flags. `inspect` has them too, and costs 10 ms to import. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

GENERATOR = 0x20
COROUTINE = 0x80
ASYNC_GENERATOR = 0x200


def code_flags(function: Callable[..., Any]) -> int:
    """The flags of a Python function, 0 of any other callable."""
    code = getattr(function, "__code__", None)
    return 0 if code is None else int(code.co_flags)
