# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a socket, with and without a kernel that says so."""

import os
import select
import socket
from collections.abc import Iterator

import pytest

from shoal.node import peers
from shoal.node.peers import Peer, is_same, peer_of, start_time


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "SO_PEERPIDFD", 9999)


def sleeper() -> int:
    """A child that sleeps until it is killed."""
    pid = os.fork()
    if pid == 0:
        select.select([], [], [])
        os._exit(0)
    return pid


def end(pid: int) -> None:
    os.kill(pid, 9)
    os.waitpid(pid, 0)


def test_a_peer_is_who_made_the_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    peer = peer_of(pair[0])
    assert (peer.pid, peer.uid) == (os.getpid(), os.getuid())
    assert is_same(peer, start_time(os.getpid()))
    os.close(peer.pidfd)


def test_an_old_kernel_is_told_by_the_start_time(pair: tuple[socket.socket, socket.socket], old_kernel: None) -> None:
    peer = peer_of(pair[0])
    assert (peer.pid, peer.is_certain) == (os.getpid(), False)
    assert is_same(peer, start_time(os.getpid()))
    assert not is_same(peer, start_time(os.getpid()) - 1)  # who had the pid before
    assert not is_same(peer, 0)
    os.close(peer.pidfd)


def test_start_times_tell_processes_apart() -> None:
    pid = sleeper()
    assert start_time(pid) >= start_time(os.getpid()) > start_time(1) - 1
    end(pid)
    with pytest.raises(OSError, match=str(pid)):
        start_time(pid)


def test_the_dead_are_nobody() -> None:
    pid = sleeper()
    started, peer = start_time(pid), Peer(pid, os.getuid(), os.pidfd_open(pid), False)
    assert is_same(peer, started)
    os.kill(pid, 9)
    select.select([peer.pidfd], [], [])
    assert not is_same(peer, started)  # not reaped: its pid and its start time are still there
    os.waitpid(pid, 0)
    assert not is_same(peer, started)
    os.close(peer.pidfd)
