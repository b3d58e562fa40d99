# SPDX-License-Identifier: Apache-2.0
"""Tasks that run until the test lets them go, and waiting until a node is seen in a state."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

import shoal

LIMIT_S = 60.0
_pause = threading.Event()


class Gate:
    """A pipe that `hold` reads until `open`."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "gate")
        os.mkfifo(self.path)
        self._fd = os.open(self.path, os.O_RDWR)  # a reader finds a writer at once, and reads until there is something

    def open(self, times: int = 1) -> None:
        """Let so many holders go."""
        os.write(self._fd, b"." * times)

    def close(self) -> None:
        """Let everybody go."""
        self.open(100)
        os.close(self._fd)


@shoal.remote
def hold(path: str, *_: object) -> int:
    """Runs until the gate at `path` is opened -> pid."""
    with open(path, "rb", buffering=0) as pipe:
        pipe.read(1)
    return os.getpid()


@shoal.remote
class Holder:
    """An actor that does the same."""

    def hold(self, path: str, *_: object) -> int:
        with open(path, "rb", buffering=0) as pipe:
            pipe.read(1)
        return os.getpid()

    def get(self, refs: list[shoal.ObjectRef[int]]) -> list[int]:
        return shoal.get(refs)

    def pid(self) -> int:
        return os.getpid()


def eventually(is_true: Callable[[], object]) -> None:
    """Until the condition holds; fails after a minute."""
    for _ in range(int(LIMIT_S / 0.02)):
        if is_true():
            return
        _pause.wait(0.02)
    raise AssertionError(f"not so after {LIMIT_S:g} s")


def stop(pid: int) -> None:
    """Stop a process, and wait until it has: the signal takes effect when the process has a CPU again."""
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
