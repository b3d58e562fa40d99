# SPDX-License-Identifier: Apache-2.0
"""The node's folder for copies of `working_dir` and `py_modules`: made when a client first asks, gone with the node.

`<cache>/packages/<session>/`, for this user alone. A lock on the folder itself says that its node lives; the folders of
nodes that were killed are deleted by the next node that makes one.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress

from shoal.node.sessions import check_private, is_same_folder

PARENT = "packages"
ADVICE = "remove it or set SHOAL_CACHE_DIR"


class PackageFolder:
    """One node's. Owns the folder and the lock."""

    def __init__(self, cache: str, session: str) -> None:
        self._parent = os.path.join(cache, PARENT)
        self._path = os.path.join(self._parent, session)
        self._lock_fd = -1

    def path(self) -> str:
        """The folder. Raises OSError; UnsafeFolderError if others may enter the cache."""
        if self._lock_fd < 0:
            make_private(os.path.dirname(self._parent))
            make_private(self._parent)
            self._sweep()
            self._lock_fd = make_locked(self._path, fcntl.LOCK_EX, ADVICE)
        return self._path

    def remove(self) -> None:
        """Delete the folder and what is in it. Repeating it has no effect."""
        if self._lock_fd >= 0:
            _delete(self._path)
            os.close(self._lock_fd)
            self._lock_fd = -1

    def _sweep(self) -> None:
        for name in os.listdir(self._parent):
            path = os.path.join(self._parent, name)
            with suppress(OSError):  # its node lives, or somebody else sweeps
                fd = lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _delete(path)
                os.close(fd)


def _delete(path: str) -> None:
    import shutil  # and with it three libraries that compress

    shutil.rmtree(path, ignore_errors=True)


def make_private(path: str) -> None:
    """A folder that only this user may enter, made if it is missing. Raises OSError, UnsafeFolderError."""
    with suppress(FileExistsError):
        os.makedirs(path, 0o700)
    check_private(path, ADVICE)


def make_locked(path: str, kind: int, advice: str) -> int:
    """Lock the private folder that has this name when it is locked, made if it is missing -> the lock's descriptor.

    Who deletes such folders locks them too: between any two steps here it may be another's, or gone. Raises OSError,
    UnsafeFolderError."""
    while True:
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        with suppress(FileNotFoundError):
            check_private(path, advice)
            fd = lock(path, kind)
            if is_same_folder(fd, path):
                return fd
            os.close(fd)


def lock(path: str, kind: int) -> int:
    """Lock a folder by itself -> the descriptor that holds the lock. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, kind)
    except BaseException:
        os.close(fd)
        raise
    return fd
