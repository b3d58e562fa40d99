# SPDX-License-Identifier: Apache-2.0
"""The daemon's end of a client's link: who is there, what it asks, what it is told.

A stranger is a driver that has not been welcomed, or an observer (`protocol.tables`): it may send one small `Hello` or
`Observe`, within ten seconds, and nothing else.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from shoal.node.refusal import Refusal
from shoal.protocol.framing import (
    LONG_BYTES,
    MAX_BODY_BYTES,
    PUSH_ID,
    FrameDecoder,
    FrameError,
    encode_frame,
    encode_header,
)
from shoal.protocol.messages import (
    ClientRequest,
    Hello,
    MessageError,
    Push,
    Refused,
    Reply,
    Welcome,
    decode_request,
    encode,
)
from shoal.protocol.tables import Observe, Observed

if TYPE_CHECKING:
    from shoal.node.jobs import Job

HELLO_TIMEOUT_S = 10.0
SLOW_BYTES = 1 << 20  # unsent; beyond it a client is not sent lines of output
UNREGISTERED = (0, 0)  # the daemon's own record: no client has it


def refuse(sock: socket.socket, kind: str, text: str) -> None:
    """Answer a stranger's first message before it is read, and hang up. Owns the socket."""
    with sock, suppress(OSError):  # it is gone already
        sock.setblocking(False)
        sock.send(encode_frame(PUSH_ID, encode(Refused(kind, text))))


class Connection(asyncio.Protocol):
    """One client. `answer` and `lost` are the daemon's; `job` is set when the client is registered."""

    def __init__(
        self,
        sock: socket.socket,
        pid: int,
        answer: Callable[[Connection, ClientRequest], Awaitable[Reply]],
        lost: Callable[[Connection], None],
        welcome: Callable[[Connection, Hello], None] | None = None,
        node_id: str = "",
    ) -> None:
        self.pid = pid
        self.is_observer = False
        self._node_id = node_id
        self.key = UNREGISTERED  # (client index, epoch)
        self.job: Job | None = None
        self._sock = sock
        self._answer = answer
        self._lost = lost
        self._welcome = welcome  # of a stranger; None once welcomed
        self._decoder = FrameDecoder()
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._hello_timer: asyncio.TimerHandle | None = None
        self._hello_id = PUSH_ID  # of the request that `send_welcome` answers; a worker's welcome answers none
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self) -> None:
        """Begin to read. Owns the socket from here on."""
        loop = asyncio.get_running_loop()
        if self._welcome is None:
            self._decoder.limit = MAX_BODY_BYTES
        else:
            self._hello_timer = loop.call_later(HELLO_TIMEOUT_S, self.close)
        await loop.connect_accepted_socket(lambda: self, self._sock)

    def send_welcome(self, welcome: Welcome, descriptors: list[int]) -> None:
        """The first message to this client. Nothing is waiting to be sent, so the socket takes it whole."""
        with suppress(OSError):  # the client is gone, which is noticed elsewhere
            socket.send_fds(self._sock, [encode_frame(self._hello_id, encode(welcome))], descriptors)
        self._be_known()

    def push(self, message: Push) -> None:
        """Say something unasked."""
        self._send(PUSH_ID, message)

    @property
    def is_slow(self) -> bool:
        """Whether the client leaves much unread."""
        return self._transport is not None and self._transport.get_write_buffer_size() > SLOW_BYTES

    def close(self) -> None:
        """Send what is waiting, then hang up."""
        if self._transport is not None:
            self._transport.close()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for request_id, body in self._decoder.feed(data):
                message = self._decode(request_id, body)
                if message is not None:
                    self._receive(request_id, message)
        except (FrameError, MessageError) as error:
            self._send(PUSH_ID, Refused(Refused.BAD_REQUEST, str(error)))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._hello_timer is not None:
            self._hello_timer.cancel()
        for task in self._tasks:
            task.cancel()
        self.closed.set_result(None)
        self._lost(self)

    # -- inside

    def _decode(self, request_id: int, body: bytes | memoryview) -> ClientRequest | None:
        """None if it is no message, which costs a stranger its connection. A client is told, and goes on: its frames
        are in step, and with the connection it would lose its job, or the node, for a value of a wrong type."""
        try:
            return decode_request(body)
        except MessageError as error:
            if self._welcome is not None:
                raise
            self._send(request_id, Refused(Refused.BAD_REQUEST, f"the node cannot read what it was asked: {error}"))
            return None

    def _receive(self, request_id: int, message: ClientRequest) -> None:
        if isinstance(message, Hello):
            self._greet(request_id, message)
            return
        if isinstance(message, Observe):
            self._observe(request_id)
            return
        if self._welcome is not None:
            raise MessageError("the first message must be Hello")
        task = asyncio.ensure_future(self._reply(request_id, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _greet(self, request_id: int, hello: Hello) -> None:
        welcome = self._welcome
        if welcome is None:
            raise MessageError("Hello was said before")
        self._hello_id = request_id
        try:
            welcome(self, hello)
        except Refusal as refusal:
            self._send(request_id, refusal.reply)
            self.close()

    def _observe(self, request_id: int) -> None:
        if self._welcome is None:
            raise MessageError("Observe is a first message")
        self.is_observer = True
        self._be_known()
        self._send(request_id, Observed(self._node_id))

    def _be_known(self) -> None:
        self._welcome = None
        self._decoder.limit = MAX_BODY_BYTES
        if self._hello_timer is not None:
            self._hello_timer.cancel()

    async def _reply(self, request_id: int, message: ClientRequest) -> None:
        try:
            reply: Reply = await self._answer(self, message)
        except Refusal as refusal:
            reply = refusal.reply
        except Exception as error:
            # The client must not wait for ever because of a defect here.
            self._send(request_id, Refused(Refused.BAD_REQUEST, f"the daemon failed: {type(error).__name__}: {error}"))
            raise
        self._send(request_id, reply)

    def _send(self, request_id: int, message: Reply | Push) -> None:
        if self._transport is not None and not self._transport.is_closing():
            body = encode(message)
            header = encode_header(request_id, body)
            if len(body) < LONG_BYTES:
                self._transport.write(header + body)
            else:
                self._transport.write(header)
                self._transport.write(body)
