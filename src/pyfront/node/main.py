# SPDX-License-Identifier: Apache-2.0
"""Entry of the daemon. Its first act is to execute the zygote, which then does its imports beside the daemon's."""

from __future__ import annotations

import os
import socket
import sys

from shoal.config import runtime_parent, zygote_environment
from shoal.node import boot
from shoal.node.sessions import Session, create_session

HELLO_ID = 1  # of the request that a failed start answers


def main(settings_word: str) -> None:
    """Be the daemon of the driver at the other end of descriptor 3."""
    boot.close_inherited()
    starter = socket.socket(fileno=boot.INHERITED_FD)
    try:
        session = create_session(runtime_parent())
    except OSError as error:
        _refuse(starter, f"its folder below {runtime_parent()} could not be made: {error}")
        sys.exit(1)
    try:
        zygote_sock, zygote_pid = _start_zygote(session)
        _run(settings_word, session, zygote_sock, zygote_pid, starter)
    except Exception as error:
        _refuse(starter, f"{type(error).__name__}: {error}")
        raise
    finally:
        session.remove()


def _start_zygote(session: Session) -> tuple[socket.socket, int]:
    ours, theirs = socket.socketpair()
    arguments = [session.path, str(os.getpid())]
    pid = boot.spawn(
        "shoal.node.zygote", arguments, theirs.fileno(), sys.stderr.fileno(), zygote_environment(), is_bare=False
    )
    theirs.close()
    return ours, pid


def _run(settings_word: str, session: Session, zygote: socket.socket, zygote_pid: int, starter: socket.socket) -> None:
    import asyncio
    import gc

    from shoal.node import processes
    from shoal.node.daemon import Daemon
    from shoal.node.settings import from_argument

    processes.set_name("shoal-daemon")
    processes.adopt_orphans()
    _allow_many_descriptors()
    gc.freeze()

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
