# SPDX-License-Identifier: Apache-2.0
"""The first and the last moments of a worker: from the fork to its main function, and out of the process."""

from __future__ import annotations

import atexit
import gc
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol, TypeVar

from shoal.node import processes
from shoal.protocol.messages import Welcome
from shoal.protocol.orders import StartOrder

if TYPE_CHECKING:
    from shoal.link import Link
    from shoal.protocol.environment import Environment

SITE_NAMES = ("site-packages", "dist-packages")
BROKEN = 71  # exit code of a process whose user code closed what is not its own (EX_OSERR)
STILLBORN = 70  # exit code of a process that never got as far as its main function (EX_SOFTWARE)


class Flushable(Protocol):
    """A client, as far as its link is concerned."""

    def flush(self) -> None:
        """Let go of references that were dropped."""


C = TypeVar("C", bound=Flushable)


class Birth(NamedTuple):
    """What a forked child was made for."""

    order: StartOrder
    descriptors: list[int]  # link, stdout, stderr
    is_fresh: bool = False  # it has executed an interpreter of its own (fresh.py), which set its module path


def live(birth: Birth) -> NoReturn:
    """Run the worker in this forked child, from its welcome to its exit."""
    order, (link_fd, stdout_fd, stderr_fd), is_fresh = birth
    code = STILLBORN
    try:
        take_streams(stdout_fd, stderr_fd)
        processes.set_name(f"shoal:{order.actor.class_name}" if order.actor else "shoal-worker")
        _enter(order.cwd)
        if order.environment is not None and order.environment.working_dir:
            os.chdir(order.environment.working_dir)
        if order.environment is None:
            sys.path[:] = map(os.fsdecode, order.sys_path)
        elif not is_fresh:
            sys.path[:] = [entry for half in halves(order) for entry in half]
        _reseed()
        gc.enable()

        from shoal._core._node import Client
        from shoal.worker.main import run

        link, client, welcome = attach(link_fd, Client)
        link.on_broken = _end_broken
        link.start()
        code = 1
        run(link, client, welcome, order)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    _exit(code)


def halves(order: StartOrder) -> tuple[list[str], list[str]]:
    """The module path of an order's process: up to where installed packages begin, and from there on.

    First what the environment brings, then the driver's path. What of that lies in the original of the working
    directory is looked for in its copy, or an edit of the original would be seen.
    """
    path, environment = list(map(os.fsdecode, order.sys_path)), order.environment
    if environment is None:
        return path, []
    first = next((at for at, entry in enumerate(path) if os.path.basename(entry) in SITE_NAMES), len(path))
    own = [folder for folder in (environment.working_dir, *environment.py_modules) if folder]
    before = [*own, *(_in_copy(entry, environment) for entry in path[:first])]
    return list(dict.fromkeys(before)), path[first:]


def _in_copy(entry: str, environment: Environment) -> str:
    source = environment.source_dir
    if source and (entry == source or entry.startswith(source + os.sep)):
        copy = environment.working_dir + entry[len(source) :]
        return copy if os.path.isdir(copy) else entry
    return entry


def attach(link_fd: int, open_client: Callable[[int, int, int, int], C]) -> tuple[Link, C, Welcome]:
    """Wait for the daemon's welcome and become the client that it names. Owns the socket."""
    from shoal.link import Link

    # Without the family and the type the socket would be asked for them.
    link = Link(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, link_fd))
    welcome, segment_fd, poke_fd = link.receive_welcome()
    client = open_client(segment_fd, poke_fd, welcome.index, welcome.epoch)
    os.close(segment_fd)
    os.close(poke_fd)
    link.on_flush = client.flush
    return link, client, welcome


def _end_broken() -> None:
    """The task in hand is retried elsewhere, or fails with these words."""
    with suppress(Exception):
        sys.stderr.write(
            "shoal: the descriptors of this worker's connection to its node were closed by somebody else\n"
        )
        sys.stderr.flush()
    os._exit(BROKEN)


def take_streams(stdout_fd: int, stderr_fd: int) -> None:
    """Make the given pipes this process's output."""
    for given, standard in ((stdout_fd, 1), (stderr_fd, 2)):
        os.dup2(given, standard)
        os.close(given)


def _enter(folder: bytes) -> None:
    try:
        os.chdir(folder)
    except OSError:  # a driver whose folder was deleted under it has none either
        return


def _reseed() -> None:
    """numpy's global generator, unlike Python's, would go on alike in every fork."""
    random = sys.modules.get("numpy.random")
    if random is not None:
        random.seed()


def _exit(code: int) -> NoReturn:
    """End the process: what users registered runs; what belongs to the interpreter need not."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # what user code has put in its place may be no stream at all
            stream.flush()
    os._exit(code & 0xFF)
