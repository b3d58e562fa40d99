# SPDX-License-Identifier: Apache-2.0
"""The driver's side of a node: start one, or find one that runs, and be connected to it."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import sys
import threading
from contextlib import suppress

from msgspec.structs import replace

from shoal._core._node import Client
from shoal.config import daemon_environment, is_library_threaded, runtime_parent
from shoal.errors import NodeNotFoundError, NodeStartError, ShoalError
from shoal.link import Link
from shoal.node import boot
from shoal.node.peers import start_time
from shoal.node.sessions import SOCKET_NAME, connect, live_sessions
from shoal.node.settings import NodeSettings, to_argument
from shoal.protocol.messages import Hello, Shutdown, Welcome

WELCOME_TIMEOUT_S = 60.0  # a node starts within 0.3 s; a machine that swaps may take its time
ANSWER_TIMEOUT_S = 3.0  # a daemon that does not answer at all for so long is stopped or stuck
END_TIMEOUT_S = 8.0  # beyond the daemon's own limits
KILL_TIMEOUT_S = 3.0
OUTPUT_TAIL_BYTES = 4096
PRELOADABLE = ("numpy",)  # imported by the zygote if the driver uses it, so that workers share its pages


class DaemonProcess:
    """A daemon that this process started. Owns the descriptors."""

    def __init__(self, pid: int, output_fd: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._output_fd = output_fd
        self._starter = os.getpid()

    def output(self) -> str:
        """The end of what it printed before it served."""
        size = os.fstat(self._output_fd).st_size
        return os.pread(self._output_fd, OUTPUT_TAIL_BYTES, max(0, size - OUTPUT_TAIL_BYTES)).decode("utf-8", "replace")

    def kill(self) -> None:
        """End the process now; its zygote then ends everything below it."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def wait_gone(self) -> None:
        """Until the process has ended; kills it when it takes too long. In the process that started it."""
        if not self._wait(END_TIMEOUT_S):
            self.kill()
            self._wait(KILL_TIMEOUT_S)
        with suppress(ChildProcessError):  # the program reaps all its children itself
            os.waitpid(self.pid, os.WNOHANG)
        for name in ("_pidfd", "_output_fd"):
            fd = getattr(self, name)
            setattr(self, name, -1)
            if fd >= 0:
                os.close(fd)

    def wait_gone_later(self) -> None:
        """`wait_gone` on a thread, for a caller in a hurry: the node ends because its starter has hung up."""
        with suppress(RuntimeError):  # no more threads: the interpreter is about to exit
            threading.Thread(target=self.wait_gone, name="shoal-reaper", daemon=True).start()

    def _wait(self, limit_s: float) -> bool:
        poll = select.poll()
        if self._pidfd >= 0:
            poll.register(self._pidfd, select.POLLIN)
        return self._pidfd < 0 or bool(poll.poll(limit_s * 1000))


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
            daemon.kill()
        except ShoalError:
            return  # it is gone already


def start_node(hello: Hello, settings: NodeSettings) -> Connection:
    """Start a node that ends with this driver.

    Raises NodeStartError.
    """
    try:
        ours, daemon = _execute_daemon(settings)
    except OSError as error:
        raise NodeStartError(f"the node's daemon ({sys.executable}) could not be executed: {error}") from error
    try:
        return _connect(ours, hello, daemon)
    except NodeStartError as error:
        ours.close()
        daemon_output = daemon.output()
        daemon.wait_gone()
        if daemon_output:
            raise NodeStartError(f"{error}\nThe daemon's last output:\n{daemon_output}") from error
        raise
    except BaseException:  # a signal's handler: whoever presses Ctrl-C does not want to wait for the node's end
        ours.close()
        daemon.wait_gone_later()
        raise


def _execute_daemon(settings: NodeSettings) -> tuple[socket.socket, DaemonProcess]:
    """Execute the daemon -> this driver's end of its socket, its process. Raises OSError."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            output_fd = os.memfd_create("shoal-daemon-output", os.MFD_CLOEXEC)
        except OSError:
            ours.close()
            raise
        try:
            pid = boot.spawn(
                "shoal.node.main",
                [to_argument(settings)],
                theirs.fileno(),
                output_fd,
                daemon_environment(),
                is_bare=True,
            )
            return ours, DaemonProcess(pid, output_fd)
        except OSError:  # a daemon that runs already ends, because its starter has hung up
            ours.close()
            os.close(output_fd)
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
