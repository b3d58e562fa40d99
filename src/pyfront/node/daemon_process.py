# SPDX-License-Identifier: Apache-2.0
"""The daemon as a process of the driver that starts it.

Imports little: the sooner the daemon is executed, the more of the driver's own imports are done beside it.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from contextlib import suppress

from shoal.config import node_environment
from shoal.errors import NodeStartError
from shoal.node import boot
from shoal.node.settings import NodeSettings, to_argument

END_TIMEOUT_S = 8.0  # beyond the daemon's own limits
KILL_TIMEOUT_S = 3.0
OUTPUT_TAIL_BYTES = 4096


class DaemonProcess:
    """A daemon that this process started. Owns the descriptors.

    `sock`: this driver's end of its socket. Whoever makes a connection of it owns it from then on; the node ends when
    it is closed."""

    def __init__(self, sock: socket.socket, pid: int, output_fd: int) -> None:
        self.sock = sock
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
        import threading

        with suppress(RuntimeError):  # no more threads: the interpreter is about to exit
            threading.Thread(target=self.wait_gone, name="shoal-reaper", daemon=True).start()

    def give_up(self) -> None:
        """Let a node end that nobody is connected to yet, without waiting for it."""
        self.sock.close()
        self.wait_gone_later()

    def _wait(self, limit_s: float) -> bool:
        poll = select.poll()
        if self._pidfd >= 0:
            poll.register(self._pidfd, select.POLLIN)
        return self._pidfd < 0 or bool(poll.poll(limit_s * 1000))


def execute_daemon(settings: NodeSettings) -> DaemonProcess:
    """Execute the daemon of a new node. Raises NodeStartError."""
    try:
        return _execute(settings)
    except OSError as error:
        raise NodeStartError(f"the node's daemon ({sys.executable}) could not be executed: {error}") from error


def _execute(settings: NodeSettings) -> DaemonProcess:
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            output_fd = os.memfd_create("shoal-daemon-output", os.MFD_CLOEXEC)
        except OSError:
            ours.close()
            raise
        try:
            pid = boot.spawn("shoal.node.main", [to_argument(settings)], theirs.fileno(), output_fd, node_environment())
            return DaemonProcess(ours, pid, output_fd)
        except OSError:  # a daemon that runs already ends, because its starter has hung up
            ours.close()
            os.close(output_fd)
            raise
