# SPDX-License-Identifier: Apache-2.0
"""A client's link: replies reach those who asked, pushes the callback, and the end of either side everybody."""

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from shoal.errors import ForkedProcessError, NodeDiedError, NodeStartError, NotConnectedError
from shoal.link import Link, RequestRefused
from shoal.node.connections import refuse
from shoal.protocol.framing import HEADER, MAX_BODY_BYTES, PUSH_ID, FrameDecoder, encode_frame
from shoal.protocol.messages import (
    Amounts,
    ClientRequest,
    ClusterResources,
    FlushReferences,
    FunctionBlob,
    GetFunction,
    Hello,
    NodeConfig,
    Push,
    PutFunction,
    Refused,
    Reply,
    Warn,
    Welcome,
    decode_request,
    encode,
)

TIMEOUT_S = 10.0
HELLO = Hello(pid=os.getpid(), python="3", cwd=b"/", sys_path=[], argv0="")
WELCOME = Welcome(3, 1, 2, "job-2", NodeConfig("node", "session", "/run", 1, {"CPU": 2.0}, 1 << 20))


class FakeDaemon:
    """The other end of the socket, played by the test."""

    def __init__(self) -> None:
        self.sock, self.theirs = socket.socketpair()
        self.sock.settimeout(TIMEOUT_S)
        self._frames: list[tuple[int, bytes]] = []
        self._decoder = FrameDecoder(MAX_BODY_BYTES)

    def hear(self) -> tuple[int, ClientRequest]:
        while not self._frames:
            self._frames += self._decoder.feed(self.sock.recv(65536))
        request_id, body = self._frames.pop(0)
        return request_id, decode_request(body)

    def say(self, request_id: int, message: Reply | Push) -> None:
        self.sock.sendall(encode_frame(request_id, encode(message)))


@pytest.fixture
def daemon() -> Iterator[FakeDaemon]:
    daemon = FakeDaemon()
    yield daemon
    daemon.sock.close()


@pytest.fixture
def link(daemon: FakeDaemon) -> Iterator[Link]:
    link = Link(daemon.theirs)
    yield link
    link.close()


class Asking(threading.Thread):
    """A request on its way."""

    def __init__(self, link: Link, key: bytes = b"") -> None:
        super().__init__(daemon=True)
        self.outcome: object = None
        self._link, self._key = link, key
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._link.request(GetFunction(self._key))
        except Exception as error:
            self.outcome = error

    def result(self) -> object:
        self.join(TIMEOUT_S)
        return self.outcome


def test_a_welcome_brings_two_descriptors(daemon: FakeDaemon, link: Link) -> None:
    segment, poke = os.memfd_create("segment"), os.eventfd(0)
    socket.send_fds(daemon.sock, [encode_frame(PUSH_ID, encode(WELCOME))], [segment, poke])
    welcome, segment_fd, poke_fd = link.receive_welcome(TIMEOUT_S)
    assert welcome == WELCOME
    assert os.path.samestat(os.fstat(segment_fd), os.fstat(segment))
    assert not os.get_inheritable(segment_fd)
    for fd in (segment, poke, segment_fd, poke_fd):
        os.close(fd)


def test_a_refused_hello_says_why(daemon: FakeDaemon, link: Link) -> None:
    daemon.say(1, Refused(Refused.NOT_WELCOME, "other Python"))
    with pytest.raises(NodeStartError, match="other Python"):
        link.hello(HELLO, TIMEOUT_S)
    assert daemon.hear() == (1, HELLO)


def test_a_daemon_that_dies_before_the_welcome_is_noticed(daemon: FakeDaemon, link: Link) -> None:
    daemon.sock.close()
    with pytest.raises(NodeStartError):
        link.receive_welcome(TIMEOUT_S)


def test_a_welcome_without_descriptors_is_none(daemon: FakeDaemon, link: Link) -> None:
    daemon.say(PUSH_ID, WELCOME)
    with pytest.raises(NodeStartError):
        link.receive_welcome(TIMEOUT_S)


def test_a_silent_daemon_is_given_up(link: Link) -> None:
    with pytest.raises(NodeStartError, match="within"):
        link.receive_welcome(timeout_s=0.01)


def test_replies_reach_who_asked_in_whatever_order_they_come(daemon: FakeDaemon, link: Link) -> None:
    asking = {key: Asking(link, key) for key in (b"a", b"b", b"c")}
    heard = [daemon.hear() for _ in asking]
    for request_id, request in reversed(heard):
        assert isinstance(request, GetFunction)
        daemon.say(request_id, FunctionBlob(request.key * 3, "f"))
    assert {key: thread.result() for key, thread in asking.items()} == {
        key: FunctionBlob(key * 3, "f") for key in asking
    }


def test_a_refusal_is_raised_with_its_kind(daemon: FakeDaemon, link: Link) -> None:
    asking = Asking(link)
    daemon.say(daemon.hear()[0], Refused(Refused.NOT_FOUND, "no such function"))
    refusal = asking.result()
    assert isinstance(refusal, RequestRefused)
    assert refusal.kind == Refused.NOT_FOUND
    assert "no such function" in str(refusal)


def test_pushes_go_to_the_callback_also_between_replies(daemon: FakeDaemon, link: Link) -> None:
    pushed: list[Push] = []
    link.on_push = pushed.append
    asking = Asking(link)
    request_id, _ = daemon.hear()
    daemon.say(PUSH_ID, Warn("mind the gap"))
    daemon.say(request_id, FunctionBlob(b"", "f"))
    asking.result()
    assert pushed == [Warn("mind the gap")]


def test_pushes_arrive_without_any_request_once_started(daemon: FakeDaemon, link: Link) -> None:
    arrived = threading.Event()
    link.on_push = lambda push: arrived.set()
    link.start()
    daemon.say(PUSH_ID, Warn("early"))
    assert arrived.wait(TIMEOUT_S)


def test_a_request_to_flush_goes_to_its_own_callback(daemon: FakeDaemon, link: Link) -> None:
    flushed = threading.Event()
    link.on_flush = flushed.set
    link.on_push = lambda push: pytest.fail("not a push to print")
    link.start()
    daemon.say(PUSH_ID, FlushReferences())
    assert flushed.wait(TIMEOUT_S)


def test_a_reply_that_nobody_waits_for_is_dropped(daemon: FakeDaemon, link: Link) -> None:
    asking = Asking(link)
    request_id, _ = daemon.hear()
    daemon.say(request_id + 1, Amounts({}))
    daemon.say(request_id, FunctionBlob(b"", "f"))
    assert asking.result() == FunctionBlob(b"", "f")


@pytest.mark.parametrize("garbage", [b"", b"\xff" * HEADER.size, encode_frame(1, b"garbage")])
def test_the_daemons_end_or_madness_ends_what_waits(daemon: FakeDaemon, link: Link, garbage: bytes) -> None:
    lost = threading.Event()
    link.on_lost = lost.set
    asking = Asking(link)
    daemon.hear()
    daemon.sock.sendall(garbage)
    daemon.sock.close()
    assert isinstance(asking.result(), NodeDiedError)
    assert lost.wait(TIMEOUT_S)
    assert not link.is_usable
    with pytest.raises(NodeDiedError):
        link.request(ClusterResources())


def test_a_callback_that_raises_lets_nobody_wait_for_ever(
    daemon: FakeDaemon, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_it(push: Push) -> None:
        raise LookupError("a defect")

    lost, told = threading.Event(), SimpleQueue[object]()
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: told.put(unraisable.exc_value))
    link.on_push, link.on_lost = raise_it, lost.set
    asking = Asking(link)
    daemon.hear()
    daemon.say(PUSH_ID, Warn("mind the gap"))
    assert isinstance(asking.result(), NodeDiedError)
    assert lost.wait(TIMEOUT_S)
    assert not link.is_usable
    assert isinstance(told.get(timeout=TIMEOUT_S), LookupError)


def test_a_daemon_that_does_not_answer_is_not_waited_for_longer_than_asked(daemon: FakeDaemon, link: Link) -> None:
    with pytest.raises(TimeoutError):
        link.request(ClusterResources(), timeout_s=0.01)
    daemon.say(daemon.hear()[0], Amounts({}))
    asking = Asking(link)
    daemon.say(daemon.hear()[0], FunctionBlob(b"", "f"))
    assert asking.result() == FunctionBlob(b"", "f")


def test_the_last_pushes_arrive_before_the_end(daemon: FakeDaemon, link: Link) -> None:
    pushed: list[Push] = []
    link.on_push = pushed.append
    link.start()
    assert not link.wait_lost(timeout_s=0.01)
    daemon.say(PUSH_ID, Warn("goodbye"))
    daemon.sock.close()
    assert link.wait_lost(TIMEOUT_S)
    assert pushed == [Warn("goodbye")]


def test_closing_ends_what_waits(daemon: FakeDaemon, link: Link) -> None:
    lost = threading.Event()
    link.on_lost = lost.set
    asking = Asking(link)
    daemon.hear()
    link.close()
    link.close()
    assert isinstance(asking.result(), NotConnectedError)
    assert not lost.is_set()
    with pytest.raises(NotConnectedError):
        link.request(ClusterResources())


def test_a_forked_child_has_no_link_and_takes_none_away(daemon: FakeDaemon, link: Link) -> None:
    link.start()
    child = os.fork()
    if child == 0:
        try:
            link.request(ClusterResources())
        except ForkedProcessError:
            link.close()
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asking = Asking(link)
    daemon.say(daemon.hear()[0], FunctionBlob(b"", "f"))
    assert asking.result() == FunctionBlob(b"", "f")


def test_an_interrupted_request_leaves_the_stream_in_step(daemon: FakeDaemon, link: Link) -> None:
    """However long the message, and however much of it the daemon has taken when the signal comes."""

    def interrupt() -> None:
        assert select.select([daemon.sock], [], [], TIMEOUT_S)[0]  # it is on its way
        os.kill(os.getpid(), signal.SIGINT)

    link.start()
    for size in (10, 5 << 20):
        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        with pytest.raises(KeyboardInterrupt):
            link.request(PutFunction(key=b"k", blob=bytes(size), name="f"))
        interrupter.join()
        request_id, heard = daemon.hear()
        assert isinstance(heard, PutFunction)
        assert len(heard.blob) == size
        daemon.say(request_id, Amounts({"late": 1.0}))  # nobody waits for it
        asking = Asking(link, b"next")
        request_id, heard = daemon.hear()
        assert heard == GetFunction(b"next")
        daemon.say(request_id, FunctionBlob(b"blob", "f"))
        assert asking.result() == FunctionBlob(b"blob", "f")
    assert not link._waiting


def test_what_is_told_waits_for_no_reply(daemon: FakeDaemon, link: Link) -> None:
    link.tell(ClusterResources())
    request_id, heard = daemon.hear()
    assert heard == ClusterResources()
    daemon.say(request_id, Amounts({"CPU": 2.0}))
    asking = Asking(link)
    request_id, _ = daemon.hear()
    daemon.say(request_id, FunctionBlob(b"blob", "f"))
    assert asking.result() == FunctionBlob(b"blob", "f")
    daemon.sock.close()
    link.wait_lost(TIMEOUT_S)
    link.tell(ClusterResources())


def test_a_daemon_that_refuses_before_it_listens_is_heard(daemon: FakeDaemon, link: Link) -> None:
    refuse(daemon.sock, Refused.FULL, "no room")
    with pytest.raises(NodeStartError, match="no room"):
        link.hello(HELLO, TIMEOUT_S)


def test_a_reader_that_finds_its_descriptor_closed_does_not_blame_the_daemon(daemon: FakeDaemon, link: Link) -> None:
    lost, broken = threading.Event(), []

    def close_it(push: Push) -> None:  # between two messages, as a task may that was just given its function
        os.close(daemon.theirs.fileno())

    link.on_push, link.on_lost, link.on_broken = close_it, lost.set, lambda: broken.append(1)
    link.start()
    daemon.say(PUSH_ID, Warn("now"))
    assert lost.wait(TIMEOUT_S)
    assert broken == []
    with pytest.raises(NotConnectedError, match="closed by somebody else"):
        link.request(GetFunction(b""))
    assert broken == [1]
