# SPDX-License-Identifier: Apache-2.0
"""How one process of a node executes the next: the same interpreter, the same module path, nothing else inherited.

Imports as little as it can, because everything here runs before a node's first useful instruction.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Mapping

INHERITED_FD = 3  # where the new process finds its socket
FIRST_FREE_FD = 10  # above every descriptor that the new process is given
PATH_SEPARATOR = "\n"


def spawn(
    module: str, arguments: list[str], sock_fd: int, output_fd: int, env: Mapping[str, str], *, is_bare: bool
) -> int:
    """Execute `module.main(*arguments)` in a session of its own -> pid.

    With `is_bare` the new process does not import the package's public names, which would cost it 50 ms.

    The new process gets the socket as descriptor 3, `output_fd` as stdout and stderr, and /dev/null as stdin. Its
    module path is this process's, so that it finds what this process found. Raises OSError.
    """
    sock, output = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE_FD) for fd in (sock_fd, output_fd))
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, *_flags(), "-c", _program(module, is_bare), PATH_SEPARATOR.join(sys.path), *arguments],
            env,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output, 1),
                (os.POSIX_SPAWN_DUP2, output, 2),
                (os.POSIX_SPAWN_DUP2, sock, INHERITED_FD),
            ],
            setsid=True,  # no signal of the terminal reaches it
            setsigmask=[],
            setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP],
        )
    finally:
        os.close(sock)
        os.close(output)


def close_inherited() -> None:
    """Close every descriptor but the four given: the starter may have left some open for its children."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > INHERITED_FD:
            try:
                os.close(int(name))
            except OSError:
                continue  # the one that listed the folder
    os.set_inheritable(INHERITED_FD, False)


def _flags() -> list[str]:
    """Options of this interpreter that change what code means."""
    return ["-O"] * sys.flags.optimize + ["-B"] * sys.flags.dont_write_bytecode


def _program(module: str, is_bare: bool) -> str:
    package, folders = module.partition(".")[0], list(sys.modules[__package__.partition(".")[0]].__path__)
    bare = f"sys.modules[{package!r}] = bare = type(sys)({package!r}); bare.__path__ = {folders}; " if is_bare else ""
    return (
        f"import sys; path, *arguments = sys.argv[1:]; sys.path[:] = path.split({PATH_SEPARATOR!r}); "
        f"{bare}from {module} import main; main(*arguments)"
    )
