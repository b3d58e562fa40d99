# SPDX-License-Identifier: Apache-2.0
"""The zygote: a process with the imports done that forks workers when the daemon says so.

Single-threaded, maps no segment, runs no user code; so a fork is safe and takes a millisecond. It is the parent of
every worker and, as subreaper, of what workers leave behind: it reaps, reports, and, once the daemon's socket ends,
kills everything below itself, deletes the session's folder and exits. If it dies, the kernel kills the workers.

A worker leads a session of its own. When it dies, the rest of its process group is killed with it.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
from _signal import pthread_sigmask, set_wakeup_fd  # type: ignore[import-not-found]
from _signal import signal as set_handler
from array import array
from contextlib import suppress
from importlib import import_module

from shoal.link import receive_descriptors
from shoal.node import boot, fresh, newborn, processes
from shoal.node.newborn import Birth
from shoal.node.rehearsal import rehearse
from shoal.node.sessions import remove_folder
from shoal.protocol.framing import MAX_BODY_BYTES, FrameDecoder, encode_frame
from shoal.protocol.messages import decode_daemon, encode
from shoal.protocol.orders import Exited, NotStarted, Preload, Ready, Started, ZygoteReport, decode_order
from shoal.worker.streams import open_streams

GRACE_S = 0.5  # between SIGTERM and SIGKILL when the node stops
LIMIT_S = 30.0  # then what is left is beyond SIGKILL: nobody else would end it
ORDER_DESCRIPTORS = 3
RECEIVE_BYTES = 65536
# Plain numbers and the functions below the module `signal`: its own turn numbers into members of enumerations and back,
# and in a fork every further function that runs is several pages copied.
HANDLED = (int(signal.SIGCHLD), int(signal.SIGTERM), int(signal.SIGINT), int(signal.SIGHUP))
DEFAULTS = tuple(
    (number, signal.default_int_handler if number == signal.SIGINT else int(signal.SIG_DFL)) for number in HANDLED
)
SOL_SOCKET, SCM_RIGHTS = int(socket.SOL_SOCKET), int(socket.SCM_RIGHTS)
# What every worker needs.
MODULES = (
    "shoal.worker.main",
    "shoal.worker.sync_host",
    "shoal._core._node",
    "shoal.link",
    "shoal.serialization.by_value",
    "pickle",
)


class Zygote:
    """The loop of the process. `serve` returns in every forked child, and in the parent when the daemon is gone."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._decoder = FrameDecoder(MAX_BODY_BYTES)
        self._descriptors: list[int] = []  # received, not yet given to an order
        self._pid = os.getpid()
        self._is_ended = False
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        for number in HANDLED:
            set_handler(number, _ignore if number == signal.SIGCHLD else self._end)
        pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    def serve(self) -> Birth | None:
        """Execute orders. None in the zygote, at its end."""
        self._report(Ready(self._pid))
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        poll.register(self._wake_reader, select.POLLIN)
        while not self._is_ended:
            ready = {fd for fd, _ in poll.poll()}
            if self._wake_reader in ready:
                with suppress(BlockingIOError):
                    os.read(self._wake_reader, RECEIVE_BYTES)
                self._reap()
            if self._sock.fileno() in ready:
                birth = self._receive()
                if birth is not None:
                    return birth
        return None

    def _end(self, *_: object) -> None:
        self._is_ended = True

    def _receive(self) -> Birth | None:
        try:
            data, descriptors = receive_descriptors(self._sock, RECEIVE_BYTES, 16 * ORDER_DESCRIPTORS)
        except ConnectionResetError:  # the daemon died and left reports of ours unread
            data, descriptors = b"", []
        if not data:
            self._is_ended = True
        self._descriptors += descriptors
        for _, body in self._decoder.feed(data):
            order = decode_order(body)
            if isinstance(order, Preload):
                _preload(order.modules)
                continue
            given, self._descriptors = self._descriptors[:ORDER_DESCRIPTORS], self._descriptors[ORDER_DESCRIPTORS:]
            if self._fork(order.number) == 0:
                self._leave()
                return Birth(order, given)
            for fd in given:
                os.close(fd)
        return None

    def _fork(self, number: int) -> int:
        pthread_sigmask(signal.SIG_BLOCK, HANDLED)  # or the child might swallow one with the zygote's handler
        try:
            return self._fork_blocked(number)
        finally:
            if os.getpid() == self._pid:
                pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)

    def _fork_blocked(self, number: int) -> int:
        try:
            pid = os.fork()
        except OSError as error:
            self._report(NotStarted(number, f"cannot start another process: {error}"))
            return -1
        if pid:
            # Nobody else reaps, so the pid cannot have changed hands yet.
            pidfd = os.pidfd_open(pid)
            self._report(Started(number, pid), [pidfd])
            os.close(pidfd)
        return pid

    def _leave(self) -> None:
        """In a child: drop everything that is the zygote's."""
        os.setsid()
        processes.be_the_kernels_first_choice()
        if not processes.die_with_parent(self._pid, signal.SIGKILL):
            os._exit(1)
        set_wakeup_fd(-1)
        for number, handler in DEFAULTS:
            set_handler(number, handler)
        pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        for fd in (self._sock.detach(), self._wake_reader, self._wake_writer, *self._descriptors):
            os.close(fd)

    def _reap(self) -> None:
        while True:
            try:
                seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if seen is None:
                return
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(seen.si_pid, signal.SIGKILL)  # before the reaping: the number may have a new meaning after it
            _, status = os.waitpid(seen.si_pid, 0)
            self._report(Exited(seen.si_pid, status))

    def _report(self, report: ZygoteReport, descriptors: list[int] | None = None) -> None:
        frame = encode_frame(0, encode(report))
        ancillary = [(SOL_SOCKET, SCM_RIGHTS, array("i", descriptors))] if descriptors else []
        try:
            sent = self._sock.sendmsg([frame], ancillary)
            self._sock.sendall(frame[sent:])
        except OSError:
            self._is_ended = True


def _ignore(*_: object) -> None:
    """A handler must exist for the wake-up descriptor to be written."""


def _preload(modules: list[str]) -> None:
    gc.unfreeze()
    for name in modules:
        with suppress(Exception):
            import_module(name)
    rehearse()
    gc.collect()
    gc.freeze()


def main(sock: socket.socket, session_path: str, daemon_pid: int) -> None:
    """Be the zygote of the daemon at the other end of the socket."""
    processes.adopt_orphans()
    # From here to the handlers a signal waits: the folder would outlive a zygote that dies while it imports.
    pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    if not processes.die_with_parent(daemon_pid, signal.SIGTERM):
        remove_folder(session_path)
        return
    processes.set_name("shoal-zygote")
    boot.import_public_names()
    for module in MODULES:
        import_module(module)
    decode_order.prepare()
    decode_daemon.prepare()  # what every worker reads by
    open_streams()
    gc.disable()
    gc.freeze()  # what the imports have left behind is collected with the first modules that are loaded ahead of need
    birth = Zygote(sock).serve()
    if birth is not None:
        if not fresh.is_forkable(birth.order):
            fresh.execute(birth)
        newborn.live(birth)
    processes.end_descendants(GRACE_S, LIMIT_S)
    remove_folder(session_path)
