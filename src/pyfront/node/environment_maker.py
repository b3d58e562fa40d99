# SPDX-License-Identifier: Apache-2.0
"""The process that makes one environment of installed packages, for the daemon that executes it and waits for its word.

`<cache>/environments/<key>/`: `venv` is a virtual environment, `installed` says that it is whole, `install.log` is what
the installer printed. A lock on the folder orders those who would make it, on whatever node: the first makes it, the
others find it made. The installer inherits the lock, so nobody starts over while one that lost its maker still writes.
An environment without `installed` is what a death left, and is made anew. Nodes that use one hold a shared lock, so
that it is not deleted under them; what nobody uses goes, the longest unused first, when there is more than the limit.

The driver's own packages are visible behind the installed ones, and count as there for pip.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import Any

from shoal.node import boot, processes
from shoal.node.package_folder import lock, make_locked, make_private

VENV = "venv"
INSTALLED = "installed"
LOG = "install.log"
REQUIREMENTS = "requirements.txt"
BASE_FILE = "_shoal_base.pth"
SHOWN_LINES = 20
LINE_CHARACTERS = 500
CHECK_LIMIT_S = 60.0


class InstallError(Exception):
    """Why there is no environment. `lines`: the installer's last."""

    def __init__(self, text: str, lines: list[str] | None = None) -> None:
        super().__init__(text)
        self.lines = lines or []


class Maker:
    """One environment. `asked` is what the daemon sent: environments.py, `_request`."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self._asked = asked
        self.path = os.path.join(asked["folder"], asked["key"])
        self._venv = os.path.join(self.path, VENV)
        self._python = os.path.join(self._venv, "bin", "python")
        self._site = os.path.join(
            self._venv, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages"
        )
        self._lock_fd = -1

    def make(self) -> None:
        """Return when the environment is there, locked until `close`. Raises InstallError, OSError."""
        folder = self._asked["folder"]
        make_private(os.path.dirname(folder))
        make_private(folder)
        self._take_lock(fcntl.LOCK_SH)
        if not self._is_whole():
            self._take_lock(fcntl.LOCK_EX)
            if not self._is_whole():
                self._make()
        fcntl.flock(self._lock_fd, fcntl.LOCK_SH)
        os.utime(os.path.join(self.path, INSTALLED))  # used now
        evict(folder, self._asked["limit_bytes"])

    def close(self) -> None:
        """Let go of the lock. Repeating it has no effect."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _take_lock(self, kind: int) -> None:
        self.close()
        self._lock_fd = make_locked(self.path, kind, "remove it")

    def _is_whole(self) -> bool:
        return os.path.exists(os.path.join(self.path, INSTALLED)) and os.path.exists(self._python)

    def _make(self) -> None:
        import venv

        for name in os.listdir(self.path):  # of a maker that was killed
            found = os.path.join(self.path, name)
            if os.path.isdir(found):
                shutil.rmtree(found)
            else:
                os.unlink(found)
        venv.EnvBuilder(symlinks=True, with_pip=False).create(self._venv)
        with open(os.path.join(self._site, BASE_FILE), "w") as file:
            file.writelines(f"{folder}\n" for folder in self._asked["base"])
        with open(os.path.join(self.path, REQUIREMENTS), "w") as file:
            file.write(self._asked["requirements"])
        self._install()
        size = sum(os.lstat(os.path.join(at, name)).st_size for at, _, names in os.walk(self._venv) for name in names)
        draft = os.path.join(self.path, f".{INSTALLED}")
        with open(draft, "w") as file:
            json.dump({"bytes": size, "requirements": self._asked["requirements"]}, file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, os.path.join(self.path, INSTALLED))

    def _install(self) -> None:
        asked = self._asked
        arguments = ["-r", os.path.join(self.path, REQUIREMENTS), *asked["options"]]
        limit_s = asked["timeout_s"] if asked["timeout_s"] > 0 else None
        if asked["installer"] == "uv":
            command = [*find_uv(), "pip"]
            python = ["--python", self._python]
            self._run([*command, "install", *python, *arguments], limit_s)
            check = [*command, "check", *python]
        else:
            command = [self._python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
            if self._status([self._python, "-c", "import pip"], CHECK_LIMIT_S) != 0:  # the driver has none
                self._run([self._python, "-m", "ensurepip"], limit_s)
            self._run([*command, "install", *arguments], limit_s)
            check = [*command, "check"]
        if asked["is_checked"]:
            self._run(check, CHECK_LIMIT_S)

    def _run(self, command: list[str], limit_s: float | None) -> None:
        try:
            status = self._status(command, limit_s)
        except FileNotFoundError as error:
            raise InstallError(f"{command[0]} cannot be executed: {error}") from error
        except subprocess.TimeoutExpired:
            raise InstallError(
                f"{self._asked['installer']} took longer than {limit_s:g} s; give it more with "
                "config={'setup_timeout_seconds': ...}",
                self._last_lines(),
            ) from None
        if status:
            raise InstallError(f"{self._asked['installer']} exited with code {status}", self._last_lines())

    def _status(self, command: list[str], limit_s: float | None) -> int:
        with open(os.path.join(self.path, LOG), "ab") as log:
            folder = self._asked["cwd"]
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder if os.path.isdir(folder) else self.path,
                pass_fds=[self._lock_fd],
                start_new_session=True,
            )
        global _child
        _child = child.pid
        try:
            return child.wait(limit_s)
        finally:
            end_child()

    def _last_lines(self) -> list[str]:
        with open(os.path.join(self.path, LOG), errors="replace") as file:
            return [line.rstrip()[:LINE_CHARACTERS] for line in file if line.strip()][-SHOWN_LINES:]


_child = 0


def end_child() -> None:
    """Kill what the installer's process group has left."""
    global _child
    child, _child = _child, 0
    if child:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def find_uv() -> list[str]:
    """How to execute uv. Raises InstallError."""
    found = shutil.which("uv")
    if found is not None:
        return [found]
    from importlib.util import find_spec

    if find_spec("uv") is None:
        raise InstallError("uv was not found on PATH nor as a module; install uv where the node runs, or use pip")
    return [sys.executable, "-m", "uv"]


def evict(folder: str, limit_bytes: int) -> None:
    """Delete environments that no node uses, the longest unused first, until the rest is within the limit."""
    found = []
    for name in os.listdir(folder):
        with suppress(OSError, ValueError, KeyError):  # not made yet, or going
            mark = os.path.join(folder, name, INSTALLED)
            with open(mark) as file:
                found.append((os.stat(mark).st_mtime_ns, int(json.load(file)["bytes"]), os.path.join(folder, name)))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit_bytes:
            return
        with suppress(OSError):  # somebody uses it
            fd = lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(path, INSTALLED))  # first: what is left of an interrupted deletion is not whole
            shutil.rmtree(path, ignore_errors=True)
            os.close(fd)
            total -= size


def _end(*_: object) -> None:
    end_child()
    os._exit(1)


def main(daemon_pid: str) -> None:
    """Make what the daemon at the other end of descriptor 3 asks for, answer, and keep the lock until it hangs up."""
    boot.close_inherited()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _end)
    if not processes.die_with_parent(int(daemon_pid), signal.SIGTERM):
        return
    processes.set_name("shoal-installer")
    os.umask(0o077)
    sock = socket.socket(fileno=boot.INHERITED_FD)
    with sock.makefile("rb") as reader:
        maker = Maker(json.loads(reader.readline()))
        try:
            maker.make()
            answer: dict[str, Any] = {"prefix": os.path.join(maker.path, VENV)}
        except Exception as error:
            maker.close()  # others may try at once
            is_known = isinstance(error, InstallError)
            answer = {"error": str(error) if is_known else f"{type(error).__name__}: {error}"}
            answer["lines"] = error.lines if isinstance(error, InstallError) else []
        with suppress(OSError):  # the daemon is gone
            sock.sendall(json.dumps(answer).encode() + b"\n")
            reader.readline()  # it has taken a lock of its own, or given up
    maker.close()
