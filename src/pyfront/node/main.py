# SPDX-License-Identifier: Apache-2.0
"""Entry of the daemon. It imports what its zygote needs too, and forks that; the rest each does beside the other."""

from __future__ import annotations

import gc
import os
import socket
import sys
from typing import NoReturn

from shoal.config import runtime_parent
from shoal.node import boot, processes
from shoal.node.sessions import Session, UnsafeFolderError, create_session

HELLO_ID = 1  # of the request that a failed start answers


def main(settings_word: str) -> None:
    """Be the daemon of the driver at the other end of descriptor 3."""
    gc.disable()  # until everything is imported, which stays
    boot.close_inherited()
    starter = socket.socket(fileno=boot.INHERITED_FD)
    _import_what_both_need()
    try:
        session = create_session(runtime_parent())
    except OSError as error:
        advice = "" if isinstance(error, UnsafeFolderError) else "; set XDG_RUNTIME_DIR to a folder that is yours"
        _refuse(starter, f"its folder below {runtime_parent()} could not be made: {error}{advice}")
        sys.exit(1)
    try:
        zygote_sock, zygote_pid = _fork_zygote(session, starter)
        _run(settings_word, session, zygote_sock, zygote_pid, starter)
    except Exception as error:
        _refuse(starter, f"{type(error).__name__}: {error}")
        raise
    finally:
        session.remove()


def _import_what_both_need() -> None:
    import shoal.link
    import shoal.protocol.orders  # noqa: F401


def _fork_zygote(session: Session, starter: socket.socket) -> tuple[socket.socket, int]:
    """The daemon's end of the zygote's socket, its pid. This process has one thread and maps nothing yet."""
    ours, theirs = socket.socketpair()
    daemon_pid = os.getpid()
    pid = os.fork()
    if pid == 0:
        ours.close()
        starter.close()
        session.let_go()
        _be_zygote(theirs, session.path, daemon_pid)
    theirs.close()
    return ours, pid


def _be_zygote(sock: socket.socket, session_path: str, daemon_pid: int) -> NoReturn:
    code = 1
    try:
        os.setsid()
        from shoal.node import zygote

        zygote.main(sock, session_path, daemon_pid)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    os._exit(code)  # what the daemon does at its end is not this process's


def _run(settings_word: str, session: Session, zygote: socket.socket, zygote_pid: int, starter: socket.socket) -> None:
    sys.modules["ssl"] = None  # type: ignore[assignment]  # asyncio does without, and nobody here waits for OpenSSL
    import asyncio

    del sys.modules["ssl"]
    from shoal.node.daemon import Daemon
    from shoal.node.settings import from_argument

    processes.set_name("shoal-daemon")
    processes.adopt_orphans()
    _allow_many_descriptors()
    gc.freeze()
    gc.enable()

    async def live() -> None:
        daemon = Daemon(from_argument(settings_word), session, zygote, zygote_pid)
        await daemon.run(starter)

    asyncio.run(live())


def _allow_many_descriptors() -> None:
    """Each worker costs the daemon five; the usual soft limit of 1,024 is for programs that use `select`."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _refuse(starter: socket.socket, text: str) -> None:
    from shoal.protocol.framing import encode_frame
    from shoal.protocol.messages import Refused, encode

    try:
        starter.sendall(encode_frame(HELLO_ID, encode(Refused(Refused.NOT_WELCOME, text))))
    except OSError:
        return  # it was connected already, or is gone
