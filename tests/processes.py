# SPDX-License-Identifier: Apache-2.0
"""Processes of a test, told from everybody else's by an environment variable that each of them inherited.

Several test sessions may run on one machine, each with nodes of its own; so no test looks for processes by their name,
or takes a pid that it has kept for the process that had it.
"""

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

SEGMENT = "/memfd:shoal"  # what the kernel calls a mapping of a node's segment
SHARED_MEMORY = "/dev/shm/"  # where POSIX shared memory has names, which can be left behind; Shoal must have none


def marked(name: str, value: str) -> list[psutil.Process]:
    """The live processes whose environment has `name` set to `value`, without this one and zombies."""
    return _live(lambda process: process.environ().get(name) == value)


def descendants(name: str, value: str) -> list[psutil.Process]:
    """As `marked`, and the children of this process, whatever they did to their environment."""
    children = {child.pid for child in psutil.Process().children(recursive=True)}
    return _live(lambda process: process.pid in children or process.environ().get(name) == value)


def _live(is_wanted: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # gone meanwhile, or another user's
            if process.pid != os.getpid() and is_wanted(process) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def uses(process: psutil.Process, start: str) -> bool:
    """Whether the process maps or holds open a file whose path starts with `start`. False if it is gone."""
    folder = Path("/proc", str(process.pid))
    found = False
    with suppress(OSError):
        maps = (folder / "maps").read_text().splitlines()
        found = any(len(area := line.split(maxsplit=5)) == 6 and area[5].startswith(start) for line in maps)
        for fd in () if found else (folder / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                found = found or os.readlink(fd).startswith(start)
    return found and process.is_running()


def kill(pid: int) -> None:
    """SIGKILL, and wait for the end: on another CPU it goes on until that is told, and may answer meanwhile."""
    process = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    select.select([process], [], [])
    os.close(process)
