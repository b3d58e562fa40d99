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


def spawn(module: str, arguments: list[str], sock_fd: int, output_fd: int, env: Mapping[str, str]) -> int:
    """Execute `module.main(*arguments)` in a session of its own -> pid.

    The new process has none of the package's public names, until it calls `import_public_names`.

    The new process gets the socket as descriptor 3, `output_fd` as stdout and stderr, and /dev/null as stdin. Its
    module path is this process's, so that it finds what this process found. Raises OSError.
    """
    sock, output = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE_FD) for fd in (sock_fd, output_fd))
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, *_flags(), "-c", _program(module), PATH_SEPARATOR.join(sys.path), *arguments],
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


def _program(module: str) -> str:
    package = _package()
    return (
        f"import sys; path, *arguments = sys.argv[1:]; sys.path[:] = path.split({PATH_SEPARATOR!r}); "
        f"sys.modules[{package!r}] = bare = type(sys)({package!r}); "
        f"bare.__path__ = {list(sys.modules[package].__path__)}; "
        f"from {module} import main; main(*arguments)"
    )


def import_public_names() -> None:
    """Import the package as users do, in place of the bare one that `spawn` began with. Its modules stay."""
    bare = sys.modules.pop(_package())
    whole = __import__(_package())
    for name, part in vars(bare).items():
        if isinstance(part, type(sys)):
            vars(whole).setdefault(name, part)


def _package() -> str:
    return __name__.partition(".")[0]
