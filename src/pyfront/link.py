# SPDX-License-Identifier: Apache-2.0
"""A client's conversation with its node's daemon: blocking requests from any thread over one Unix socket.

Shared by drivers and workers, below both. A reader thread, started with the first request (or by `start`), hands
replies to the threads that wait for them and pushes to a callback. Nothing of a call or a result passes here.

After `os.fork` the child's copy is closed at once: the connection stays the parent's.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import threading
from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TypeVar, cast
from weakref import ref

from shoal.errors import ForkedProcessError, NodeDiedError, NodeStartError, NotConnectedError, ShoalError
from shoal.protocol.framing import HEADER, MAX_REQUEST_ID, FrameError, decode_header, encode_frame, encode_header
from shoal.protocol.messages import (
    DaemonMessage,
    FlushReferences,
    Hello,
    MessageError,
    Push,
    Refused,
    Reply,
    Request,
    Retire,
    Welcome,
    decode_daemon,
    encode,
)
from shoal.protocol.metrics import CollectMetrics
from shoal.protocol.tables import DumpStacks, StacksDumped
from shoal.stacks import dump_stacks

R = TypeVar("R", bound=Reply)

HELLO_ID = 1
WELCOME_DESCRIPTORS = 2
WHOLE_BYTES = 16384  # the kernel takes a message up to here at once or, if a signal comes first, not at all
READER_END_S = 1.0  # it ends at once
DESCRIPTOR_BYTES = array.array("i").itemsize

_links: dict[int, ref[Link]] = {}  # those that are not closed, for a forked child to let go of


class RequestRefused(ShoalError):
    """The daemon did not do what was asked. `kind` is a constant of `messages.Refused`."""

    kind: str = ""


class Link:
    """One client's connection. Owns the socket.

    A `DumpStacks` is answered by the reader thread. `on_push` gets every `LogLines` and `Warn`, `on_flush` is called
    for a `FlushReferences`, and `on_lost` once if the daemon goes away by itself; all run on the reader thread and must
    not raise.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_push: Callable[[Push], None] | None = None,
        on_flush: Callable[[], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._sock = sock
        self._identity = _identity(sock.fileno())
        self.on_push = on_push
        self.on_flush = on_flush
        self.on_lost = on_lost
        self.tell_lines: Callable[[], str] | None = None  # which line made which object, if that is recorded
        self.on_retire: Callable[[], None] | None = None  # on the reader thread: a worker is to leave
        self.on_collect: Callable[[int], None] | None = None  # for a `CollectMetrics`, on the reader thread
        self.on_broken: Callable[[], None] | None = None  # before `on_lost`, when user code has closed our descriptor
        self._pid = os.getpid()
        self._lock = threading.Lock()  # of sending, and of everything that `request` and `start` change
        self._last_id = HELLO_ID
        self._waiting: dict[int, SimpleQueue[DaemonMessage | None]] = {}
        self._reader = 0  # ident of the thread; 0: not started
        self._reading = threading.Lock()  # held while it runs
        self._has_read = False  # it has ended: a joiner that a signal interrupts may leave the lock taken
        self._is_closed = False
        self._is_lost = False
        self._is_broken = False  # somebody closed our descriptor; its number may be another file's by now
        number = id(self)
        _links[number] = ref(self, lambda _: _links.pop(number, None))

    def hello(self, message: Hello, timeout_s: float) -> tuple[Welcome, int, int]:
        """Introduce a driver -> (welcome, segment fd, poke fd). Raises NodeStartError."""
        self._sock.settimeout(timeout_s)
        with suppress(OSError):  # it has hung up, and may have said why
            self._sock.sendall(encode_frame(HELLO_ID, encode(message)))
        return self.receive_welcome(timeout_s)

    def receive_welcome(self, timeout_s: float | None = None) -> tuple[Welcome, int, int]:
        """Wait for the daemon's first message -> (welcome, segment fd, poke fd). Call it once, before any request.

        The caller owns the descriptors. Raises NodeStartError if the daemon goes away, refuses or takes longer than
        `timeout_s` (None: no limit).
        """
        descriptors: list[int] = []
        try:
            self._sock.settimeout(timeout_s)
            header, descriptors = receive_descriptors(self._sock, HEADER.size, WELCOME_DESCRIPTORS)
            header += self._receive(HEADER.size - len(header)) if header else b""
            size, _ = decode_header(header) if header else (0, 0)
            message = decode_daemon(self._receive(size)) if header else None
            self._sock.settimeout(None)
        except (OSError, EOFError, FrameError, MessageError) as error:
            _close_all(descriptors)
            text = f"the daemon did not answer within {timeout_s} s" if isinstance(error, TimeoutError) else str(error)
            raise NodeStartError(f"the node did not take this process: {text}") from error
        if isinstance(message, Welcome) and len(descriptors) == WELCOME_DESCRIPTORS:
            return message, descriptors[0], descriptors[1]
        _close_all(descriptors)
        if isinstance(message, Welcome):
            said = "this process may open no more files: close some, or raise its limit (ulimit -n)"
        else:
            said = message.text if isinstance(message, Refused) else "the daemon went away before it answered"
        raise NodeStartError(f"the node did not take this process: {said}")

    def start(self) -> None:
        """Start reading now, so that pushes arrive before the first request. Repeating it has no effect."""
        self._check_usable()
        with self._lock:
            self._start_reader()

    def request(self, message: Request[R], timeout_s: float | None = None) -> R:
        """Ask and wait for the reply, at most `timeout_s` (None: no limit). Any thread; signals interrupt the wait.

        Raises RequestRefused, NodeDiedError if the daemon is gone, NotConnectedError after `close`,
        ForkedProcessError in a forked child, FrameError for a message over 512 MiB, TimeoutError.
        """
        self._check_usable()
        body = encode(message)
        box: SimpleQueue[DaemonMessage | None] = SimpleQueue()
        try:
            self._post(body, box)
            reply = None if self._is_lost else box.get(timeout=timeout_s)
        except OSError as error:
            raise self._gone() from error
        except Empty:
            raise TimeoutError(f"the node's daemon did not answer within {timeout_s} s") from None
        if reply is None:
            raise self._gone()
        if isinstance(reply, Refused):
            refusal = RequestRefused(reply.text)
            refusal.kind = reply.kind
            raise refusal
        return cast(R, reply)  # the daemon answers a request with the reply that its type names

    def tell(self, message: Request[R]) -> None:
        """Ask for something and do not wait for the reply. Of a connection that has ended: no effect."""
        if self.is_usable:
            with suppress(OSError):  # the daemon is gone, and what it was to be told with it
                self._post(encode(message), None)

    def wait_lost(self, timeout_s: float) -> bool:
        """Read on until the daemon hangs up, so that its last pushes arrive. False if it does not in time."""
        if self._reader == 0 or not self.is_usable:
            return True
        return self._join_reader(timeout_s)

    def close(self) -> None:
        """End the connection. Waiting requests raise NotConnectedError. Any thread; repeating it has no effect."""
        if os.getpid() != self._pid:
            return
        self._is_closed = True  # and each step again, should a signal have interrupted an earlier attempt
        if self._is_broken or _identity(self._sock.fileno()) != self._identity:
            self._sock.detach()  # the reader sleeps in the kernel, on the file that has no number any more
            _links.pop(id(self), None)
            return
        with suppress(OSError):  # the daemon was faster
            self._sock.shutdown(socket.SHUT_RDWR)  # wakes the reader, which a mere close would not
        if self._reader not in (0, threading.get_ident()):
            self._join_reader(READER_END_S)
        self._sock.close()
        _links.pop(id(self), None)

    @property
    def is_usable(self) -> bool:
        """Whether a request could be sent from this process."""
        return not (self._is_closed or self._is_lost) and os.getpid() == self._pid

    # -- inside

    def _check_usable(self) -> None:
        if os.getpid() != self._pid:
            raise ForkedProcessError(
                "this process was forked from one that uses Shoal; the connection stayed with the parent: "
                "call shoal.init() here for a node of its own"
            )
        if self._is_closed or self._is_lost:
            if self._is_broken and not self._is_closed and self.on_broken is not None:
                self.on_broken()
            raise self._gone()

    def _gone(self) -> ShoalError:
        if self._is_broken:
            return NotConnectedError(
                "the descriptors of this process's connection were closed by somebody else (os.closerange? a library "
                "that makes daemons?); call shoal.shutdown() and shoal.init() again"
            )
        if self._is_closed:
            return NotConnectedError("the connection to the node was closed; call shoal.init() again")
        return NodeDiedError("the node's daemon is gone, and its workers and objects with it; call shoal.init() again")

    def _post(self, body: bytes, box: SimpleQueue[DaemonMessage | None] | None) -> None:
        """Send one frame whole. A signal's handler may raise at any point of it, and the stream stays in step."""
        with self._lock:
            self._start_reader()
            request_id = self._take_id()
            if box is not None:
                self._waiting[request_id] = box  # taken out by the reply, which comes even if nobody waits any more
            if self._is_lost:  # set before the reader answers what waits, so either it or this sees the other
                return
            if _identity(self._sock.fileno()) != self._identity:
                self._break()
                raise OSError(errno.EBADF, "the descriptor is not ours any more")
            header = encode_header(request_id, body)
            if HEADER.size + len(body) <= WHOLE_BYTES:
                self._sock.sendall(header + body)
                return
        threading.Thread(target=self._send_long, args=(header, body), name="shoal-send", daemon=True).start()

    def _send_long(self, header: bytes, body: bytes) -> None:
        """On a thread of its own, where no signal interrupts."""
        with suppress(OSError), self._lock:  # if the daemon is gone, the reader tells who waits
            self._sock.sendall(header)
            self._sock.sendall(body)

    def _take_id(self) -> int:
        self._last_id = self._last_id % MAX_REQUEST_ID + 1
        return self._last_id

    def _start_reader(self) -> None:
        # A bare thread: `threading.Thread` waits until the thread runs, which costs a new process two context switches.
        if self._reader == 0:
            self._reading.acquire()
            try:
                self._reader = start_new_thread(self._read_all, ())
            except BaseException:
                self._reading.release()
                raise

    def _join_reader(self, timeout_s: float) -> bool:
        if self._has_read:
            return True
        if not self._reading.acquire(timeout=timeout_s):
            return self._has_read
        self._reading.release()
        return True

    def _break(self) -> None:
        self._is_broken = self._is_lost = True
        for callback in (self.on_broken, self.on_lost):
            if callback is not None:
                callback()

    def _read_all(self) -> None:
        try:
            self._read_until_lost()
        finally:
            self._has_read = True
            self._reading.release()

    def _read_until_lost(self) -> None:
        try:
            while True:
                size, request_id = decode_header(self._receive(HEADER.size))
                self._dispatch(request_id, decode_daemon(self._receive(size)))
        except (OSError, EOFError, FrameError, MessageError):
            if not self._is_closed and _identity(self._sock.fileno()) != self._identity:
                self._is_broken = True  # `on_broken` is for the next who asks: what runs now may not need us
        finally:  # of a callback's error too: nobody would hand on a reply any more
            self._is_lost = True
            for box in list(self._waiting.values()):
                box.put(None)
            if self.on_lost is not None and not self._is_closed:
                self.on_lost()

    def _dispatch(self, request_id: int, message: DaemonMessage) -> None:
        if isinstance(message, FlushReferences):
            if self.on_flush is not None:
                self.on_flush()
            return
        if isinstance(message, Retire):
            if self.on_retire is not None:
                self.on_retire()
            return
        if isinstance(message, DumpStacks):
            text = dump_stacks() if not message.is_of_lines else "" if self.tell_lines is None else self.tell_lines()
            self.tell(StacksDumped(message.number, text))
            return
        if isinstance(message, CollectMetrics):
            if self.on_collect is not None:
                self.on_collect(message.number)
            return
        if isinstance(message, Push):
            if self.on_push is not None:
                self.on_push(message)
            return
        box = self._waiting.pop(request_id, None)
        if box is not None:  # None: nobody waits for this reply
            box.put(message)

    def _receive(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = self._sock.recv_into(view)
            if count == 0:
                raise EOFError("the daemon closed the connection")
            view = view[count:]
        return data

    def _abandon(self) -> None:
        self._is_closed = True
        self._reader = 0
        self._sock.close()


def _identity(fd: int) -> tuple[int, int] | None:
    """What a descriptor stands for; None: nothing."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def receive_descriptors(sock: socket.socket, size: int, max_descriptors: int) -> tuple[bytes, list[int]]:
    """Up to `size` bytes and the descriptors that came with them, closed on exec from the start.

    `socket.recv_fds` leaves them inheritable for a moment on some versions of Python, and for good on others.
    Raises OSError.
    """
    data, ancillary, _, _ = sock.recvmsg(
        size, socket.CMSG_LEN(max_descriptors * DESCRIPTOR_BYTES), socket.MSG_CMSG_CLOEXEC
    )
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(content[: len(content) - len(content) % DESCRIPTOR_BYTES])
    return data, list(descriptors)


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _abandon_all() -> None:
    if not _links:
        return
    for found in list(_links.values()):
        link = found()
        if link is not None:
            link._abandon()
    _links.clear()


os.register_at_fork(after_in_child=_abandon_all)
