# SPDX-License-Identifier: Apache-2.0
"""The daemon's end of a link: strangers may say one small thing, and nobody's mistake hurts anybody else."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from shoal.node.connections import Connection
from shoal.node.refusal import Refusal
from shoal.protocol.framing import HEADER, MAX_BODY_BYTES, FrameDecoder, encode_frame
from shoal.protocol.messages import (
    ClusterResources,
    GetFunction,
    Hello,
    ListNodes,
    NodeConfig,
    Ok,
    PutFunction,
    Refused,
    Reply,
    Welcome,
    decode_daemon,
    encode,
)

TIMEOUT_S = 10.0
HELLO = Hello(pid=os.getpid(), python="3", cwd=b"/", sys_path=[], argv0="")
WELCOME = Welcome(3, 1, 2, "job-2", NodeConfig("node", "session", "/run", 1, {"CPU": 2.0}, 1 << 20))


class Scene:
    """A connection with the client at the other end played by the test."""

    def __init__(self, is_stranger: bool) -> None:
        self.client, theirs = socket.socketpair()
        self.client.setblocking(False)
        self.asked: list[object] = []
        self.is_lost = False
        self.loop = asyncio.get_running_loop()
        self.connection = Connection(theirs, os.getpid(), self.answer, self.lost, self.welcome if is_stranger else None)
        self._decoder = FrameDecoder(MAX_BODY_BYTES)
        self._heard: list[tuple[int, Any]] = []

    async def answer(self, asker: Connection, message: object) -> Reply:
        self.asked.append(message)
        if isinstance(message, GetFunction):
            raise Refusal(Refused.NOT_FOUND, "never heard of it")
        if isinstance(message, ListNodes):
            raise RuntimeError("a defect")
        return Ok()

    def lost(self, connection: Connection) -> None:
        self.is_lost = True

    def welcome(self, connection: Connection, hello: Hello) -> None:
        if hello.python != "3":
            raise Refusal(Refused.NOT_WELCOME, "other Python")
        null = os.open(os.devnull, os.O_RDONLY)
        connection.send_welcome(WELCOME, [null, null])
        os.close(null)

    async def say(self, *frames: bytes) -> None:
        await self.loop.sock_sendall(self.client, b"".join(frames))

    async def hear(self) -> tuple[int, Any]:
        while not self._heard:
            data = await asyncio.wait_for(self.loop.sock_recv(self.client, 65536), TIMEOUT_S)
            if not data:
                raise EOFError
            self._heard += [(number, decode_daemon(body)) for number, body in self._decoder.feed(data)]
        return self._heard.pop(0)

    async def is_hung_up_on(self) -> bool:
        try:
            while True:
                await self.hear()
        except (EOFError, ConnectionError):
            return True


def ask(number: int, message: Any) -> bytes:
    return encode_frame(number, encode(message))


def play(is_stranger: bool, act: Callable[[Scene], Awaitable[None]]) -> Scene:
    """Run one act -> the scene after it."""

    async def scenario() -> Scene:
        scene = Scene(is_stranger)
        await scene.connection.open()
        try:
            await act(scene)
        finally:
            scene.client.close()
            await asyncio.wait_for(asyncio.shield(scene.connection.closed), TIMEOUT_S)
        return scene

    return asyncio.run(scenario())


def test_requests_are_answered_under_their_numbers() -> None:
    async def act(scene: Scene) -> None:
        await scene.say(ask(7, ClusterResources()), ask(8, GetFunction(b"key")))
        assert await scene.hear() == (7, Ok())
        assert await scene.hear() == (8, Refused(Refused.NOT_FOUND, "never heard of it"))

    assert play(False, act).is_lost


def test_a_stranger_is_welcomed_before_it_may_ask() -> None:
    async def act(scene: Scene) -> None:
        await scene.say(ask(1, HELLO))
        assert await scene.hear() == (1, WELCOME)
        await scene.say(ask(2, PutFunction(b"key", bytes(1 << 20), "f")))
        assert await scene.hear() == (2, Ok())

    play(True, act)


STRANGE = {
    "asks before Hello": ask(1, ClusterResources()),
    "announces much": HEADER.pack(1 << 20, 1),
    "says nothing known": encode_frame(1, b"GET / HTTP/1.1"),
    "says Hello twice": ask(1, HELLO) + ask(2, HELLO),
    "is not welcome": ask(1, Hello(pid=1, python="2.7", cwd=b"/", sys_path=[], argv0="")),
}


@pytest.mark.parametrize("said", STRANGE.values(), ids=STRANGE.keys())
def test_a_stranger_that_misbehaves_is_hung_up_on(said: bytes) -> None:
    async def act(scene: Scene) -> None:
        await scene.say(said)
        assert await scene.is_hung_up_on()

    assert play(True, act).asked == []


def test_a_client_that_asks_nonsense_is_told_and_stays() -> None:
    async def act(scene: Scene) -> None:
        body = encode(GetFunction(b"key")).replace(b"GetFunction", b"GetFanction")
        await scene.say(encode_frame(5, body), ask(6, ClusterResources()))
        number, reply = await scene.hear()
        assert (number, reply.kind) == (5, Refused.BAD_REQUEST)
        assert "GetFanction" in reply.text
        assert await scene.hear() == (6, Ok())

    play(False, act)


def test_a_defect_is_answered_too(caplog: pytest.LogCaptureFixture) -> None:
    async def act(scene: Scene) -> None:
        await scene.say(ask(3, ListNodes()))
        number, reply = await scene.hear()
        assert number == 3
        assert "a defect" in reply.text
        await scene.say(ask(4, ClusterResources()))
        assert await scene.hear() == (4, Ok())

    play(False, act)


def test_a_client_that_reads_nothing_is_slow() -> None:
    async def act(scene: Scene) -> None:
        scene.connection._decoder.limit = MAX_BODY_BYTES
        assert not scene.connection.is_slow
        for _ in range(40):
            scene.connection._send(0, Refused("", "x" * (1 << 16)))
        assert scene.connection.is_slow

    play(False, act)
