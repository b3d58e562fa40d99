# SPDX-License-Identifier: Apache-2.0
"""Environments of installed packages, as the daemon sees them: asked for, being made by a process of its own, there.

    unknown --asked for--> being made --made--> there, until the node ends
       ^                       |
       `-------failed----------'          whoever asked is told why, and the next one who asks has it tried again

The daemon does not wait: `prepare` calls back. What needs no installer is there at once.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from shoal.config import node_environment
from shoal.node import boot
from shoal.node.newborn import SITE_NAMES
from shoal.node.package_folder import lock
from shoal.protocol.environment import Environment, Install, digest

FOLDER = "environments"
METADATA_ENDS = (".dist-info", ".egg-info", ".egg-link", ".pth")
TOLD_AFTER_S = 10.0


class Prepared(NamedTuple):
    """What came of it."""

    prefix: str = ""  # where packages are installed; empty: there are none
    error: str = ""  # why there is nothing
    lines: tuple[str, ...] = ()  # the installer's last


Then = Callable[[Prepared], None]


class Environments:
    """All that this node has used. Owns a lock on each."""

    def __init__(self, cache: str, limit_bytes: int) -> None:
        self._folder = os.path.join(cache, FOLDER)
        self._limit_bytes = limit_bytes
        self._there: dict[str, Prepared] = {}
        self._asked: dict[str, list[Then]] = {}
        self._making: set[asyncio.Task[None]] = set()
        self._locks: list[int] = []

    def prepared(self, environment: Environment | None, path: Sequence[str]) -> Prepared | None:
        """What is there of an environment for processes with this module path; None: nothing yet."""
        install = None if environment is None else environment.install
        return Prepared() if install is None else self._there.get(_key(install, path))

    def prepare(self, environment: Environment, path: Sequence[str], then: Then) -> None:
        """Make what is not there yet, and call back: at once if all is there, else later."""
        there = self.prepared(environment, path)
        if there is not None:
            then(there)
            return
        assert environment.install is not None
        key = _key(environment.install, path)
        if key in self._asked:
            self._asked[key].append(then)
            return
        self._asked[key] = [then]
        making = asyncio.ensure_future(self._make(key, environment.install, path))
        self._making.add(making)
        making.add_done_callback(self._making.discard)

    def close(self) -> None:
        """Break off what is being made and let go of the rest."""
        for making in self._making:
            making.cancel()
        for fd in self._locks:
            os.close(fd)
        self._locks.clear()

    async def _make(self, key: str, install: Install, path: Sequence[str]) -> None:
        request = {
            "folder": self._folder,
            "key": key,
            "installer": install.installer,
            "requirements": install.requirements,
            "options": install.options,
            "cwd": install.folder,
            "is_checked": install.is_checked,
            "timeout_s": install.timeout_s,
            "base": sites(path),
            "limit_bytes": self._limit_bytes,
        }
        try:
            result = await self._ask_maker(request)
        except Exception as error:  # whoever asked is to be answered
            result = Prepared(error=f"the installer could not be used: {type(error).__name__}: {error}")
        if not result.error:
            self._there[key] = result
        for then in self._asked.pop(key):
            then(result)

    async def _ask_maker(self, request: dict[str, Any]) -> Prepared:
        """Raises OSError."""
        import json  # few nodes install anything

        ours, theirs = socket.socketpair()
        with theirs:
            try:
                arguments = [str(os.getpid())]
                pid = boot.spawn(
                    "shoal.node.environment_maker", arguments, theirs.fileno(), sys.stderr.fileno(), node_environment()
                )
            except OSError:
                ours.close()
                raise
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                writer.write(json.dumps(request).encode() + b"\n")
                line = b""
                with suppress(ConnectionError):  # it was killed
                    line = await reader.readline()
                return self._result(line)
            finally:
                writer.close()  # it ends then
        finally:
            _reap_later(pid)

    def _result(self, line: bytes) -> Prepared:
        if not line:
            return Prepared(error="the process that installs died; was it killed?")
        import json

        answer = json.loads(line)
        if "error" in answer:
            return Prepared(error=answer["error"], lines=tuple(answer.get("lines", ())))
        self._locks.append(lock(os.path.dirname(answer["prefix"]), fcntl.LOCK_SH))
        return Prepared(prefix=answer["prefix"])


def sites(path: Sequence[str]) -> list[str]:
    """The folders of installed packages on a module path."""
    return [folder for folder in path if os.path.basename(folder) in SITE_NAMES]


def _key(install: Install, path: Sequence[str]) -> str:
    """What makes two environments the same: what is asked for, and what is there beside it already."""
    base = [(folder, _installed_in(folder)) for folder in sites(path)]
    python = [sys.version, os.path.realpath(sys.executable)]
    return digest([install.installer, install.requirements, install.options, install.local, python, base])


def _installed_in(folder: str) -> list[str]:
    with suppress(OSError):
        return sorted(name for name in os.listdir(folder) if name.endswith(METADATA_ENDS))
    return []


def _reap_later(pid: int) -> None:
    """The process has been told to end, or has: take its status when it does."""
    loop = asyncio.get_running_loop()
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return

    def reap() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        with suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)

    loop.add_reader(pidfd, reap)
