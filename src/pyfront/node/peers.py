# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a Unix socket, held by a pidfd so that nobody else can be taken for it later.

From Linux 6.5 on the kernel gives the pidfd of who connected. Before, it is opened by the number that the socket names,
and that number may be another process's by then: the one that connected has died, and a child of it kept the socket.
So a driver says when it started, which with the pid names one process for ever, and `is_same` compares it with who the
pidfd is of."""

from __future__ import annotations

import os
import select
import socket
import struct
from typing import NamedTuple

SO_PEERPIDFD = 77
STARTED_FIELD = 19  # in /proc/<pid>/stat, counted from behind the name


class Peer(NamedTuple):
    """One process, as the kernel says. `pidfd` is the caller's to close."""

    pid: int
    uid: int
    pidfd: int
    is_certain: bool  # the pidfd is of who connected; else only of who has its pid now


def peer_of(sock: socket.socket) -> Peer:
    """The process that connected, or made the pair. Raises OSError if it is gone."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", credentials)
    try:
        return Peer(pid, uid, sock.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD), True)
    except OSError:  # before Linux 6.5
        return Peer(pid, uid, os.pidfd_open(pid), False)


def is_same(peer: Peer, started: int) -> bool:
    """Whether the pidfd is of the process that started at `started` (see `start_time`) and lives."""
    if peer.is_certain:
        return True
    try:
        found = start_time(peer.pid)
    except OSError:
        return False
    # Looked at last: if it lives, then the pid was its own all the time, and what we read was of it.
    return found == started and not select.select([peer.pidfd], [], [], 0)[0]


def start_time(pid: int) -> int:
    """When a process started, in clock ticks since the machine did. Raises OSError if it is gone."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[STARTED_FIELD])
