# SPDX-License-Identifier: Apache-2.0
"""A node's folder is private, found while its daemon lives, and swept after it."""

import os
from pathlib import Path

import pytest

from shoal.node import sessions
from shoal.node.sessions import (
    SOCKET_NAME,
    UnsafeFolderError,
    check_private,
    connect,
    create_session,
    live_sessions,
)


@pytest.fixture
def parent(tmp_path: Path) -> str:
    return str(tmp_path / "runtime")


def test_a_session_is_private_and_found(parent: str) -> None:
    session = create_session(parent)
    assert os.stat(session.path).st_mode & 0o777 == 0o700
    assert live_sessions(parent) == [session.path]
    session.remove()


def test_a_node_is_reached_in_a_folder_with_a_long_name(tmp_path: Path) -> None:
    session = create_session(str(tmp_path / ("long" * 50)))
    listener = session.listen(1)
    client = connect(os.path.join(session.path, SOCKET_NAME))
    server, _ = listener.accept()
    client.sendall(b"hello")
    assert server.recv(5) == b"hello"
    for sock in (client, server, listener):
        sock.close()
    session.remove()


def test_removing_the_last_session_leaves_nothing(parent: str) -> None:
    first, second = create_session(parent), create_session(parent)
    first.listen(1).close()
    first.remove()
    first.remove()
    assert live_sessions(parent) == [second.path]
    second.remove()
    assert not os.path.exists(parent)
    assert live_sessions(parent) == []


def test_what_a_killed_daemon_left_is_swept_by_the_next(parent: str) -> None:
    stale = create_session(parent)
    stale.listen(1).close()
    os.close(stale._lock_fd)  # as the kernel does with a killed process
    assert live_sessions(parent) == []
    fresh = create_session(parent)
    assert os.listdir(parent) == [fresh.name]
    fresh.remove()


def test_the_newest_session_comes_first(parent: str) -> None:
    sessions = [create_session(parent) for _ in range(3)]
    for age, session in enumerate(reversed(sessions)):
        os.utime(session.path, (1e9 - age, 1e9 - age))
    assert live_sessions(parent) == [session.path for session in reversed(sessions)]
    for session in sessions:
        session.remove()


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o777])
def test_a_folder_that_others_may_enter_is_refused(parent: str, mode: int) -> None:
    os.mkdir(parent)
    os.chmod(parent, mode)
    with pytest.raises(UnsafeFolderError, match="0700"):
        create_session(parent)
    assert os.listdir(parent) == []


def test_a_link_in_place_of_the_folder_is_refused(parent: str, tmp_path: Path) -> None:
    os.mkdir(tmp_path / "elsewhere", 0o700)
    os.symlink(tmp_path / "elsewhere", parent)
    with pytest.raises(UnsafeFolderError, match="not a folder"):
        create_session(parent)


def test_a_missing_folder_is_not_private(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_private(str(tmp_path / "missing"))


def test_a_forked_child_lets_go_of_its_parents_folder(parent: str) -> None:
    session = create_session(parent)
    pid = os.fork()
    if pid == 0:
        session.let_go()
        session.let_go()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert live_sessions(parent) == [session.path]
    session.remove()


def test_a_node_that_ends_meanwhile_hides_no_other(parent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ending, staying = create_session(parent), create_session(parent)
    is_locked = sessions._is_locked

    def end_behind(path: str) -> bool:
        found = is_locked(path)
        if path == ending.path:
            ending.remove()
        return found

    monkeypatch.setattr(sessions, "_is_locked", end_behind)
    assert live_sessions(parent) == [staying.path]
    staying.remove()


def test_a_parent_that_the_last_node_takes_away_meanwhile_is_made_again(
    parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_ended = 0

    def urandom(n: int) -> bytes:
        nonlocal n_ended
        n_ended += 1
        if n_ended == 1:
            os.rmdir(parent)  # as `remove_folder` does
        return bytes([n_ended] * n)

    monkeypatch.setattr(os, "urandom", urandom)
    session = sessions.create_session(parent)
    assert n_ended == 2
    assert sessions.live_sessions(parent) == [session.path]
    session.remove()
    assert not os.path.exists(parent)
