# SPDX-License-Identifier: Apache-2.0
"""The daemon's end of the zygote's socket: orders with descriptors out, reports with descriptors in."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable

from shoal.link import receive_descriptors
from shoal.protocol.framing import MAX_BODY_BYTES, FrameDecoder, encode_frame
from shoal.protocol.messages import encode
from shoal.protocol.orders import Started, ZygoteOrder, ZygoteReport, decode_report

RECEIVE_BYTES = 65536
MAX_DESCRIPTORS = 64  # in one receive; more than the frames of pidfds that fit into it would be cut off


class ZygotePort:
    """Owns the socket. `take` gets each report, with a pidfd that is its to close or None; `lost` the zygote's end."""

    def __init__(
        self, sock: socket.socket, take: Callable[[ZygoteReport, int | None], None], lost: Callable[[], None]
    ) -> None:
        self._sock = sock
        self._take = take
        self._lost = lost
        self._decoder = FrameDecoder(MAX_BODY_BYTES)
        self._pidfds: deque[int] = deque()
        self._unsent: deque[tuple[bytes, list[int]]] = deque()

    def open(self) -> None:
        """Begin to read."""
        self._sock.setblocking(False)
        asyncio.get_running_loop().add_reader(self._sock, self._receive)

    def send(self, order: ZygoteOrder, descriptors: list[int]) -> None:
        """Send an order. Takes the descriptors over and closes them once sent."""
        self._unsent.append((encode_frame(0, encode(order)), descriptors))
        self._flush()

    def close(self) -> None:
        """Hang up: the zygote then ends everything below it. Repeating it has no effect."""
        if self._sock.fileno() < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sock)
        loop.remove_writer(self._sock)
        self._sock.close()
        for _, descriptors in self._unsent:
            _close_all(descriptors)
        self._unsent.clear()

    def _flush(self) -> None:
        while self._unsent:
            frame, descriptors = self._unsent[0]
            try:
                sent = socket.send_fds(self._sock, [frame], descriptors)
            except BlockingIOError:
                asyncio.get_running_loop().add_writer(self._sock, self._flush)
                return
            except OSError:
                return  # the reader notices the zygote's end
            _close_all(descriptors)
            if sent < len(frame):
                self._unsent[0] = (frame[sent:], [])  # the descriptors went with the first byte
            else:
                self._unsent.popleft()
        asyncio.get_running_loop().remove_writer(self._sock)

    def _receive(self) -> None:
        try:
            data, pidfds = receive_descriptors(self._sock, RECEIVE_BYTES, MAX_DESCRIPTORS)
        except BlockingIOError:
            return
        except OSError:
            data, pidfds = b"", []
        if not data:
            self.close()
            self._lost()
            return
        self._pidfds += pidfds
        for _, body in self._decoder.feed(data):
            report = decode_report(body)
            self._take(report, self._pidfds.popleft() if isinstance(report, Started) else None)


def _close_all(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)
