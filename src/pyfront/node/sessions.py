# SPDX-License-Identifier: Apache-2.0
"""The folder of a running node: `<parent>/<session>/daemon.sock`, for this user alone.

A lock on the folder itself, held as long as the daemon lives, says that the folder is in use; so no file is needed to
say it, and the kernel takes the lock back from a killed daemon. A lock on the parent orders those who create and sweep.

Guarantees: a folder that belongs to another user, or that others may enter, is refused, never repaired.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

SOCKET_NAME = "daemon.sock"


class UnsafeFolderError(OSError):
    """The runtime folder could be written by someone else."""


class Session:
    """A node's folder. Owned by its daemon; `remove` takes it away."""

    def __init__(self, path: str, lock_fd: int) -> None:
        self.path = path
        self._lock_fd = lock_fd

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    def listen(self, backlog: int) -> socket.socket:
        """The node's listening socket, in the folder. Raises OSError."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.bind(_short_path(self._lock_fd, SOCKET_NAME))
        sock.listen(backlog)
        return sock

    def let_go(self) -> None:
        """In a forked child: the folder and its lock are the parent's. Repeating it has no effect."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def remove(self) -> None:
        """Delete the folder and unlock it. Repeating it has no effect."""
        remove_folder(self.path)
        self.let_go()


def connect(path: str, *, is_patient: bool = True) -> socket.socket:
    """Connect to a node's socket; `is_patient`: wait for a daemon that accepts nobody just now. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(is_patient)
        fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            sock.connect(_short_path(fd, os.path.basename(path)))
        finally:
            os.close(fd)
        sock.setblocking(True)
    except BaseException:
        sock.close()
        raise
    return sock


def _short_path(folder_fd: int, name: str) -> str:
    """A path of a few bytes: the address of a Unix socket has room for 107, and folders may be longer than that."""
    return f"/proc/self/fd/{folder_fd}/{name}"


def create_session(parent: str) -> Session:
    """A new folder below `parent`, which is made if missing; folders that dead daemons left behind are deleted.

    Raises UnsafeFolderError if `parent` is not private to this user, OSError if it cannot be written.
    """
    while True:
        # The last node of before takes the parent away, lock or not, as long as it is empty: then once more.
        with _parent_lock(parent) as fd, suppress(FileNotFoundError):
            for name in os.listdir(fd):
                _remove_if_stale(os.path.join(parent, name))
            name = os.urandom(6).hex()
            os.mkdir(name, 0o700, dir_fd=fd)
            path = os.path.join(parent, name)
            return Session(path, _lock(path))


def live_sessions(parent: str) -> list[str]:
    """Folders of running nodes, newest first."""
    paths: list[str] = []
    with suppress(FileNotFoundError):  # none has ever run, or the last one has just ended
        check_private(parent)
        paths = [os.path.join(parent, name) for name in os.listdir(parent)]
    born: dict[str, int] = {}
    for path in filter(_is_locked, paths):
        with suppress(FileNotFoundError):  # this one has just ended; others run on
            born[path] = os.stat(path).st_mtime_ns
    return sorted(born, key=born.__getitem__, reverse=True)


def remove_folder(path: str) -> None:
    """Delete a session's folder, and the parent if that was the last one. Never raises for what is gone already."""
    _remove_files(path)
    with suppress(OSError):  # other nodes are running
        os.rmdir(os.path.dirname(path))


def check_private(path: str, advice: str = "remove it or set XDG_RUNTIME_DIR") -> None:
    """Raises UnsafeFolderError unless `path` is a real folder of this user that nobody else may enter."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise UnsafeFolderError(f"{path} is not a folder; {advice}")
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise UnsafeFolderError(
            f"{path} must belong to user {os.getuid()} with mode 0700, but belongs to {status.st_uid} with mode "
            f"{stat.S_IMODE(status.st_mode):04o}; {advice}"
        )


@contextmanager
def _parent_lock(parent: str) -> Iterator[int]:
    while True:
        with suppress(FileExistsError):
            os.makedirs(parent, 0o700)
        try:
            check_private(parent)
            fd = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # the last node of before has just taken it away
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if not is_same_folder(fd, parent):
                continue
            yield fd
            return
        finally:
            os.close(fd)


def is_same_folder(fd: int, path: str) -> bool:
    """Whether the folder that was opened still has this name."""
    try:
        return os.path.samestat(os.fstat(fd), os.lstat(path))
    except FileNotFoundError:
        return False


def _lock(path: str) -> int:
    """Lock a folder that nobody else can have locked yet."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    fcntl.flock(fd, fcntl.LOCK_EX)  # waits at most for someone who looks whether it is locked
    return fd


def _is_locked(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def _remove_if_stale(path: str) -> None:
    if not _is_locked(path):
        _remove_files(path)


def _remove_files(path: str) -> None:
    with suppress(OSError):
        for name in os.listdir(path):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)
