# SPDX-License-Identifier: Apache-2.0
"""The driver's side of a node: be connected to one that was begun here, or find one that runs."""

from __future__ import annotations

import errno
import os
import socket
import sys

from msgspec.structs import replace

from shoal._core._node import Client
from shoal.config import is_library_threaded, runtime_parent
from shoal.errors import NodeNotFoundError, NodeStartError, ShoalError
from shoal.link import Link
from shoal.node.daemon_process import END_TIMEOUT_S, DaemonProcess
from shoal.node.peers import start_time
from shoal.node.processes import is_stopped
from shoal.node.sessions import SOCKET_NAME, connect, live_sessions
from shoal.protocol.messages import Hello, Shutdown, Welcome

WELCOME_TIMEOUT_S = 60.0  # a node starts within 0.3 s; a machine that swaps may take its time
ANSWER_TIMEOUT_S = 3.0  # a daemon that does not answer at all for so long may be stopped
PRELOADABLE = ("numpy",)  # imported by the zygote if the driver uses it, so that workers share its pages


class Connection:
    """A driver's connection: `link` for requests, `client` for the rest. Owns both, and the daemon it started."""

    def __init__(self, link: Link, welcome: Welcome, client: Client, daemon: DaemonProcess | None) -> None:
        self.link = link
        self.welcome = welcome
        self.client = client
        self._daemon = daemon
        self._owner = os.getpid()
        self._is_closed = False

    @property
    def is_starter(self) -> bool:
        """Whether the node ends with this connection."""
        return self._daemon is not None

    def close(self) -> None:
        """Disconnect; stop the node and wait for its end if it was started here. Repeating it has no effect.

        In a forked child nothing happens: the connection is the parent's. When a signal's handler raises meanwhile, the
        connection is given up at once, and the node ends without being waited for.
        """
        if self._is_closed or os.getpid() != self._owner:
            return
        try:
            if self._daemon is not None:
                self.link.on_lost = None  # it is meant to go
                self._ask_to_stop(self._daemon)
                self.client.node_lost()  # nothing of it needs to be let go of
            self.client.close()
            if self._daemon is not None:
                self.link.wait_lost(END_TIMEOUT_S)  # what the workers printed last is on its way
            self.link.close()
            if self._daemon is not None:
                self._daemon.wait_gone()
        except BaseException:
            self.give_up()
            raise
        self._is_closed = True

    def give_up(self) -> None:
        """Hang up and wait for nothing. A node that was started here ends by itself, because its starter is gone."""
        self.link.on_lost = None
        self.client.close()
        self.link.close()
        if self._daemon is not None:
            self._daemon.wait_gone_later()
        self._is_closed = True

    def _ask_to_stop(self, daemon: DaemonProcess) -> None:
        try:
            self.link.request(Shutdown(), ANSWER_TIMEOUT_S)
        except TimeoutError:
            if is_stopped(daemon.pid):  # else it has no CPU now, and ends when it has; `wait_gone` has a limit for that
                daemon.kill()
        except ShoalError:
            return  # it is gone already


def start_node(hello: Hello, daemon: DaemonProcess) -> Connection:
    """Connect to a node that was begun here and ends with this driver. Takes the process over.

    Raises NodeStartError.
    """
    try:
        return _connect(daemon.sock, hello, daemon)
    except NodeStartError as error:
        daemon.sock.close()
        daemon_output = daemon.output()
        daemon.wait_gone()
        if daemon_output:
            raise NodeStartError(f"{error}\nThe daemon's last output:\n{daemon_output}") from error
        raise
    except BaseException:  # a signal's handler: whoever presses Ctrl-C does not want to wait for the node's end
        daemon.give_up()
        raise


def attach_node(hello: Hello, address: str) -> Connection:
    """Connect to a running node: `auto` for this user's newest, or the path of its folder or socket.

    Raises NodeNotFoundError, NodeStartError if the node refuses.
    """
    sock, _ = connect_node(address)
    try:
        return _connect(sock, hello, None)
    except BaseException:
        sock.close()
        raise


def connect_node(address: str, *, is_patient: bool = True) -> tuple[socket.socket, str]:
    """A connection to a running node's daemon, with nothing said yet, and the path of its socket.

    `is_patient`: wait for a daemon that accepts nobody just now. Raises as `attach_node`.
    """
    path = _socket_path(address)
    try:
        return connect(path, is_patient=is_patient), path
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise NodeStartError(f"this process cannot be connected: {error}") from error
        raise NodeNotFoundError(f"no node answers at {path}: {error}; start one with shoal.init()") from error


def _socket_path(address: str) -> str:
    if address != "auto":
        return os.path.join(address, SOCKET_NAME) if os.path.isdir(address) else address
    sessions = live_sessions(runtime_parent())
    if not sessions:
        raise NodeNotFoundError(
            f"no node of this user runs here (looked in {runtime_parent()}); start one with shoal.init() without an "
            "address"
        )
    return os.path.join(sessions[0], SOCKET_NAME)


def _connect(sock: socket.socket, hello: Hello, daemon: DaemonProcess | None) -> Connection:
    if not hello.preload and not is_library_threaded():
        hello = replace(hello, preload=[name for name in PRELOADABLE if name in sys.modules])
    hello = replace(hello, started=start_time(hello.pid))
    link = Link(sock)
    welcome, segment_fd, poke_fd = link.hello(hello, WELCOME_TIMEOUT_S)
    try:
        client = Client(segment_fd, poke_fd, welcome.index, welcome.epoch)
    except OSError as error:
        raise NodeStartError(f"this process cannot be connected: {error}") from error
    finally:  # it has mapped the one and duplicated the other
        os.close(segment_fd)
        os.close(poke_fd)
    link.on_flush = client.flush
    link.on_lost = client.node_lost
    return Connection(link, welcome, client, daemon)
