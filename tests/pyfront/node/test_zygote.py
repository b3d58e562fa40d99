# SPDX-License-Identifier: Apache-2.0
"""The zygote with real processes: forks, reports, reaps, and leaves nothing below it alive."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import pytest

from shoal.node.processes import descendants
from shoal.protocol.framing import MAX_BODY_BYTES, FrameDecoder, encode_frame
from shoal.protocol.messages import encode
from shoal.protocol.orders import Exited, Ready, Started, StartOrder, ZygoteReport, decode_report

TIMEOUT_S = 60.0

# A zygote whose workers execute the program that they find in place of their folder's name.
PROGRAM = """
import os, signal, socket, sys, time
from shoal.node import processes
from shoal.node.zygote import Zygote
processes.adopt_orphans()
birth = Zygote(socket.socket(fileno=int(sys.argv[1]))).serve()
if birth is None:
    sys.exit(0 if processes.end_descendants(0.2, 60.0) else 1)
os.dup2(birth.descriptors[1], 1)
exec(birth.order.cwd)
os._exit(0)
"""
FOREVER = "signal.pause()"


class ZygoteUnderTest:
    """The daemon's end, played by the test."""

    def __init__(self) -> None:
        self.sock, theirs = socket.socketpair()
        self.sock.settimeout(TIMEOUT_S)
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        theirs.close()
        self.reports: deque[ZygoteReport] = deque()
        self.pidfds: list[int] = []
        self._decoder = FrameDecoder(MAX_BODY_BYTES)
        self.n_orders = 0
        self.read, self.write = os.pipe()

    def next(self) -> ZygoteReport:
        while not self.reports:
            data, pidfds, _, _ = socket.recv_fds(self.sock, 65536, 64)
            assert data, "the zygote hung up"
            self.pidfds += pidfds
            self.reports += [decode_report(body) for _, body in self._decoder.feed(data)]
        return self.reports.popleft()

    def start(self, program: str) -> int:
        """Fork a worker that executes this -> pid."""
        self.n_orders += 1
        ours, theirs = socket.socketpair()
        frame = encode_frame(0, encode(StartOrder(self.n_orders, 1, program.encode(), [])))
        socket.send_fds(self.sock, [frame], [theirs.fileno(), self.write, self.write])
        for end in (ours, theirs):
            end.close()
        others = []
        while not isinstance(report := self.next(), Started):
            others.append(report)
        self.reports.extendleft(reversed(others))
        assert report.number == self.n_orders
        return report.pid

    def output(self, size: int) -> bytes:
        return os.read(self.read, size)

    def close(self) -> None:
        self.sock.close()
        for fd in (self.read, self.write, *self.pidfds):
            os.close(fd)
        self.process.kill()
        self.process.wait()


@pytest.fixture
def zygote() -> Iterator[ZygoteUnderTest]:
    zygote = ZygoteUnderTest()
    assert zygote.next() == Ready(zygote.process.pid)
    yield zygote
    zygote.close()


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_dead(pid: int) -> None:
    with suppress(ProcessLookupError):
        pidfd = os.pidfd_open(pid)
        assert select.select([pidfd], [], [], TIMEOUT_S)[0], f"process {pid} lives on"
        os.close(pidfd)


@pytest.mark.parametrize(
    ("program", "code"), [("os._exit(7)", 7), ("os.kill(os.getpid(), signal.SIGKILL)", -9), ("os.abort()", -6)]
)
def test_how_a_worker_ended_is_reported(zygote: ZygoteUnderTest, program: str, code: int) -> None:
    pid = zygote.start(program)
    report = zygote.next()
    assert isinstance(report, Exited)
    assert report.pid == pid
    assert os.waitstatus_to_exitcode(report.status) == code


def test_many_orders_at_once_are_all_executed(zygote: ZygoteUnderTest) -> None:
    pids = {zygote.start("pass") for _ in range(30)}
    exited = set()
    while len(exited) < len(pids):
        report = zygote.next()
        assert isinstance(report, Exited)
        exited.add(report.pid)
    assert exited == pids


def test_the_pidfd_names_the_worker(zygote: ZygoteUnderTest) -> None:
    pid = zygote.start(FOREVER)
    signal.pidfd_send_signal(zygote.pidfds[-1], signal.SIGTERM)
    assert zygote.next() == Exited(pid, signal.SIGTERM)


def test_a_worker_leads_its_own_session_and_has_no_signal_handler_of_the_zygote(zygote: ZygoteUnderTest) -> None:
    pid = zygote.start("os.write(1, str((os.getsid(0), signal.getsignal(signal.SIGTERM))).encode())")
    assert zygote.output(200) == str((pid, signal.SIG_DFL)).encode()


def test_what_a_dead_worker_leaves_of_its_group_dies_with_it(zygote: ZygoteUnderTest) -> None:
    zygote.start(f"child = os.fork() or exec({FOREVER!r}); os.write(1, str(child).encode()); os._exit(0)")
    child = int(zygote.output(20))
    assert isinstance(zygote.next(), Exited)
    wait_dead(child)


def test_workers_die_when_the_zygote_is_killed(zygote: ZygoteUnderTest) -> None:
    pid = zygote.start(FOREVER)
    zygote.process.kill()
    wait_dead(pid)


@pytest.mark.parametrize("end", ["hang up", "hang up without a look at its reports", "SIGTERM", "SIGINT"])
def test_at_the_end_nothing_below_the_zygote_lives(zygote: ZygoteUnderTest, end: str) -> None:
    stubborn = zygote.start("signal.signal(signal.SIGTERM, signal.SIG_IGN); " + FOREVER)
    stopped = zygote.start("os.kill(os.getpid(), signal.SIGSTOP)")
    zygote.start(f"child = os.fork() or (os.setsid(), exec({FOREVER!r})); os.write(1, str(child).encode()); {FOREVER}")
    runaway = int(zygote.output(20))
    if end.startswith("hang up"):
        if "without" in end:
            zygote.start("pass")
            assert select.select([zygote.sock], [], [], TIMEOUT_S)[0]
        zygote.sock.close()
    else:
        zygote.process.send_signal(getattr(signal, end))
    assert zygote.process.wait(TIMEOUT_S) == 0
    assert not any(map(is_alive, (stubborn, stopped, runaway)))
    assert descendants(zygote.process.pid) == []
