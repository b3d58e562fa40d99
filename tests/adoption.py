# SPDX-License-Identifier: Apache-2.0
"""Calls of tasks that are run again: they leave marks, count, and end their callers."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import shoal


class TransientError(Exception):
    """Goes away when tried again."""


def marks(folder: Path, name: str) -> int:
    """How often `mark` was called."""
    return len(list(folder.glob(f"{name}-*")))


def mark(folder: Path, name: str) -> int:
    """One more -> how many there were before."""
    n = 0
    while True:
        try:
            (folder / f"{name}-{n}").touch(exist_ok=False)
        except FileExistsError:
            n += 1
        else:
            return n


def array(n: int, value: float = 0.0) -> Any:
    import numpy as np  # here: no worker that is about to run out of time should import it

    return np.full(n, value)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise TransientError


@shoal.remote
def child(folder: Path, value: Any) -> Any:
    mark(folder, "child")
    return value


@shoal.remote
class Counter:
    """Counts, and can kill who calls it."""

    def __init__(self) -> None:
        self.n = 0

    def add(self, by: int = 1) -> int:
        self.n += by
        return self.n

    def add_large(self) -> Any:
        self.n += 1
        return array((1 << 21) + 1, self.n)  # just too large to be kept

    def add_pair(self) -> tuple[int, int]:
        self.n += 1
        return self.n, -self.n

    def add_then_raise(self) -> None:
        self.n += 1
        raise KeyError(self.n)

    def add_and_kill(self, pid: int, at: tuple[int, ...]) -> int:
        self.n += 1
        if self.n in at:
            os.kill(pid, signal.SIGKILL)
        return self.n

    def items(self) -> Any:
        self.n += 1
        yield self.n

    def pid(self) -> int:
        return os.getpid()


@shoal.remote
class Empty:
    def pid(self) -> int:
        return os.getpid()


def repeated(**options: Any) -> Callable[[Any], Any]:
    return shoal.remote(retry_exceptions=[TransientError], **options)
