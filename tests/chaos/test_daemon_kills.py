# SPDX-License-Identifier: Apache-2.0
"""The daemon is killed under load: all processes of the node and below it end, and the driver gets a typed error."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import shoal

from .census import await_few, node_processes, pause
from .limits import within
from .marks import VARIABLE, Mark
from .tally import Tally

GONE_S = 2.0
TOLD_S = 5.0


@shoal.remote
def double(n: int) -> int:
    return 2 * n


@shoal.remote(num_cpus=0)
def breed() -> int:
    """A child that ignores signals, a grandchild in a session of its own, a program: none of them wants to end."""
    child = os.fork()
    if child == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            os.setsid()
        while True:
            signal.pause()
    return subprocess.Popen(["/bin/sleep", "1000"], start_new_session=True).pid


@shoal.remote(num_cpus=0)
def forever() -> None:
    while True:
        signal.pause()


@shoal.remote
def nested(n: int) -> int:
    return sum(shoal.get([double.remote(i) for i in range(n)]))


@shoal.remote
class Actor:
    def add(self, n: int) -> int:
        return n + 1


def get() -> None:
    shoal.get(forever.remote())


def wait() -> None:
    shoal.wait([forever.remote(), forever.remote()], num_returns=2)


def put() -> None:
    while True:
        shoal.put(bytes(100_000))


def submit() -> None:
    while True:
        refs = [double.remote(n) for n in range(200)]
        shoal.get(refs)


def nest() -> None:
    while True:
        shoal.get([nested.remote(20) for _ in range(4)])


def call_actor() -> None:
    actor = Actor.remote()
    while True:
        shoal.get(actor.add.remote(1))


def create_actors() -> None:
    while True:
        shoal.get(Actor.remote().add.remote(1))


def ask() -> None:
    while True:
        shoal.available_resources()


CALLS: list[Callable[[], None]] = [get, wait, put, submit, nest, call_actor, create_actors, ask]


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield tmp_path
    shoal.shutdown()


def test_nothing_survives_the_daemon_and_the_driver_is_told(
    runtime: Path,
    dice: random.Random,
    tally: Tally,
    pick: Callable[[int, int], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    me = psutil.Process()
    n_fds = n_threads = 0
    for n in range(pick(5, 500)):
        mark = Mark()
        monkeypatch.setenv(VARIABLE, mark.word)
        shoal.init(num_cpus=2, object_store_memory=256 << 20)
        shoal.get([breed.remote() for _ in range(dice.randrange(3))])
        call = CALLS[n % len(CALLS)]
        daemon = node_processes()["shoal-daemon"][0]
        killed_s: list[float] = []

        def kill(daemon: psutil.Process = daemon, killed_s: list[float] = killed_s,
                 delay_s: float = dice.random() * 0.05) -> None:  # fmt: skip
            pause(delay_s)
            killed_s.append(time.monotonic())
            daemon.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(shoal.NodeDiedError):
            call()
        told_s = time.monotonic()
        killer.join()
        mark.await_none(within(5 * GONE_S))
        tally.count("daemons killed")
        tally.took("until the driver was told", told_s - killed_s[0], limit_s=TOLD_S)
        tally.took("until all were gone", time.monotonic() - killed_s[0], limit_s=GONE_S)
        for later in (lambda: shoal.get(double.remote(1)), lambda: shoal.put(1), Actor.remote, ask):
            with pytest.raises(shoal.NodeDiedError):
                later()
        shoal.shutdown()
        assert not list(runtime.iterdir())
        if n == 3:
            n_fds, n_threads = me.num_fds(), me.num_threads()
    await_few(me.num_fds, n_fds)  # threads that waited for the end of a node leave when they get to run
    await_few(me.num_threads, n_threads)
    with shoal.init(num_cpus=2):
        assert shoal.get(double.remote(21)) == 42
