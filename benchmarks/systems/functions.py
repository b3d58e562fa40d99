# SPDX-License-Identifier: Apache-2.0
"""What the executors call. A module of its own without imports of the harness: their workers import it by name."""

from __future__ import annotations

import os
import time
from typing import Any


def small_value() -> bytes:
    """The small task of all rows."""
    return b"ok"


def small_value_of(_: Any) -> bytes:
    """The small task for systems that can only map a function over arguments."""
    return b"ok"


def increment(x: int) -> int:
    """One hop of the chain."""
    return x + 1


def identity(x: Any) -> Any:
    """One leaf of the fan-out."""
    return x


def total(*xs: int) -> int:
    """The root of the fan-in."""
    return sum(xs)


def count(*xs: Any) -> int:
    """The task of many arguments."""
    return len(xs)


def pid(_: int = 0) -> int:
    """The worker's process; slow enough that the next task goes to another worker."""
    time.sleep(0.001)
    return os.getpid()


def hold(path: str) -> None:
    """Sleep in the kernel until the fifo `path` is opened for writing."""
    os.close(os.open(path, os.O_RDONLY))
