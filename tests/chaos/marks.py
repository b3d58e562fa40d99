# SPDX-License-Identifier: Apache-2.0
"""Finding everything that a node or a driver started, orphans and their orphans too, by a word in the environment."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from .census import pause

VARIABLE = "SHOAL_CHAOS_MARK"
STEP_S = 0.005


class Mark:
    """A word that processes inherit. Those that were forked without exec by the one that set it do not show it."""

    def __init__(self) -> None:
        self.word = uuid.uuid4().hex
        self._seen: dict[int, psutil.Process] = {}

    def environment(self, runtime: Path | None = None) -> Mapping[str, str]:
        """This process's environment with the mark, and with a runtime folder of its own."""
        found = {**os.environ, VARIABLE: self.word, "PYTHONPATH": os.pathsep.join(sys.path)}
        return found if runtime is None else {**found, "XDG_RUNTIME_DIR": str(runtime)}

    def pids(self) -> list[int]:
        """The living processes that bear it, and those that did when this was last asked and have not quite ended."""
        word = self.word.encode()
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) not in self._seen and int(name) != os.getpid():
                with suppress(OSError, psutil.NoSuchProcess):  # gone meanwhile; of a zombie the environment is empty
                    if word in Path("/proc", name, "environ").read_bytes():
                        self._seen[int(name)] = psutil.Process(int(name))
        # A process that dies loses its environment first, and its locks and descriptors a moment later.
        self._seen = {pid: process for pid, process in self._seen.items() if _lives(process)}
        return list(self._seen)

    def kill_all(self, order: Callable[[list[int]], None] | None = None) -> int:
        """SIGKILL them all, `order`ed, until there is none -> how many there were at first."""
        first = pids = self.pids()
        while pids:
            if order is not None:
                order(pids)
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            pids = self.pids()
        return len(first)

    def await_none(self, limit_s: float) -> float:
        """Wait until there is none -> seconds it took. Fails after `limit_s` with what is left."""
        started_s = time.monotonic()
        while left := self.pids():
            took_s = time.monotonic() - started_s
            assert took_s < limit_s, f"left after {took_s:.1f} s: {[_name(pid) for pid in left]}"
            pause(STEP_S)
        return time.monotonic() - started_s


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _name(pid: int) -> str:
    with suppress(OSError):
        return f"{pid} {Path('/proc', str(pid), 'comm').read_text().strip()}"
    return str(pid)


class Program:
    """A driver in a process of its own, spoken with line by line."""

    def __init__(self, text: str, mark: Mark, runtime: Path | None = None, arguments: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", text, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=mark.environment(runtime),
            text=True,
        )

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def hear(self) -> str:
        """Its next line. Fails with what it said on stderr if it ends instead."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"it ended: {self.process.communicate()[1]}"
        return line.strip()

    def say(self, word: str = "") -> None:
        """One line to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
