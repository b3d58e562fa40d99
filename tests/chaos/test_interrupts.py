# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C at random instants of every call: KeyboardInterrupt soon, and the next call works."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

import shoal

from .census import Census, await_few, await_until, node_processes, pause
from .limits import within
from .tally import Tally

INTERRUPTED_S = 0.1  # a wait is cut into slices of half of it
ENDED_S = 2.0
TYPICAL_S = 0.06


@shoal.remote
def square(n: int) -> int:
    return n * n


@shoal.remote(num_cpus=0)
def later(delay_s: float) -> str:
    threading.Event().wait(delay_s)
    return "now"


@shoal.remote(num_cpus=0)
class Echo:
    def echo(self, value: int) -> int:
        return value


def get_forever() -> None:
    shoal.get(later.remote(3.0))


def get_many_forever() -> None:
    shoal.get([later.remote(3.0), *(square.remote(n) for n in range(10))])


def wait_forever() -> None:
    refs = [later.remote(3.0), later.remote(3.0)]
    shoal.wait(refs, num_returns=2)


def get_often() -> None:
    while True:
        assert shoal.get(square.remote(3)) == 9


def put_often() -> None:
    while True:
        assert shoal.get(shoal.put([1, 2])) == [1, 2]


def put_large() -> None:
    array = np.zeros(4 << 20)
    while True:
        shoal.put(array)


def submit_often() -> None:
    while True:
        refs = [square.remote(n) for n in range(100)]
        assert shoal.get(refs)[-1] == 99 * 99


def wait_often() -> None:
    while True:
        refs = [square.remote(n) for n in range(20)]
        while refs:
            _, refs = shoal.wait(refs)


def call_actor_often() -> None:
    echo = Echo.remote()
    while True:
        assert shoal.get(echo.echo.remote(7)) == 7


def make_actors_often() -> None:
    while True:
        assert shoal.get(Echo.remote().echo.remote(7)) == 7


CALLS = [
    get_forever,
    get_many_forever,
    wait_forever,
    get_often,
    put_often,
    put_large,
    submit_often,
    wait_often,
    call_actor_often,
    make_actors_often,
]


def interrupt(call: Callable[[], None], delay_s: float, begin: threading.Event | None = None) -> float:
    """Ctrl-C in the midst of an endless call, `delay_s` after `begin` -> seconds until KeyboardInterrupt was there."""
    sent_s: list[float] = []

    def send() -> None:
        if begin is not None:
            begin.wait()
        pause(delay_s)
        sent_s.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=send)
    try:
        thread.start()
        call()
    except KeyboardInterrupt:
        took_s = time.monotonic() - sent_s[0]
        thread.join()
        return took_s
    raise AssertionError("the call came to an end")


def test_ctrl_c_at_any_instant_of_a_call(
    census: Census, dice: random.Random, tally: Tally, pick: Callable[[int, int], int]
) -> None:
    for n in range(pick(60, 600)):
        call = CALLS[n % len(CALLS)]
        took_s = interrupt(call, dice.random() * 0.05)
        tally.count(call.__name__)
        assert shoal.get(square.remote(n)) == n * n, call.__name__
        assert shoal.get(shoal.put(n)) == n
        assert shoal.wait([square.remote(n)], timeout=10.0)[1] == []
        tally.took("until KeyboardInterrupt", took_s, limit_s=INTERRUPTED_S)
    assert tally.median_s("until KeyboardInterrupt") < within(TYPICAL_S)
    assert await_until(lambda: "shoal:Echo" not in node_processes(), within(ENDED_S)), "a creation left its actor"


# -- from init to shutdown


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield tmp_path
    shoal.shutdown()


PHASES_S = {"init": 0.3, "first calls": 0.1, "shutdown": 0.1}  # as long as each takes about


def live_from_start_to_end(begin: Callable[[str], None]) -> None:
    ballast = bytes(3 << 20)  # more than a socket takes at once
    while True:
        begin("init")
        shoal.init(num_cpus=1, object_store_memory=128 << 20)
        begin("first calls")
        assert shoal.get(shoal.remote(lambda: len(ballast)).remote()) == len(ballast)
        assert shoal.get(Echo.remote().echo.remote(7)) == 7
        begin("shutdown")
        shoal.shutdown()


def assert_all_gone(runtime: Path, tally: Tally) -> None:
    started_s = time.monotonic()
    while node_processes() or any(runtime.iterdir()):
        assert time.monotonic() - started_s < within(5 * ENDED_S), node_processes()
        pause(0.01)
    tally.took("until nothing was left", time.monotonic() - started_s, limit_s=ENDED_S)


def test_ctrl_c_at_any_instant_from_init_to_shutdown(
    runtime: Path, dice: random.Random, tally: Tally, pick: Callable[[int, int], int]
) -> None:
    me = psutil.Process()
    n_fds = n_threads = 0
    for n in range(pick(7, 400)):
        aim, phases = dice.choice(list(PHASES_S)), [""]
        is_there = threading.Event()

        def begin(phase: str, aim: str = aim, phases: list[str] = phases, is_there: threading.Event = is_there) -> None:
            phases.append(phase)
            if phase == aim:
                is_there.set()

        took_s = interrupt(partial(live_from_start_to_end, begin), dice.random() * PHASES_S[aim], is_there)
        tally.count(phases[-1])
        tally.took(f"until KeyboardInterrupt, {phases[-1]}", took_s, limit_s=INTERRUPTED_S)
        shoal.shutdown()
        with shoal.init(num_cpus=1, object_store_memory=128 << 20):
            assert shoal.get(square.remote(n)) == n * n
        assert_all_gone(runtime, tally)
        if n == 3:
            n_fds, n_threads = me.num_fds(), me.num_threads()
    await_few(me.num_fds, n_fds + 4)  # threads that wait for the end of a node have its processes gone, and go
    await_few(me.num_threads, n_threads)


def test_an_interrupted_creation_leaves_no_actor(census: Census, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the point at which it is broken off: before the daemon's answer, after it, before the registration."""
    from shoal import runtime as connection

    calls = connection.connected().calls
    for name in ("create_actor", "register_actor_handle"):
        for is_done in (False, True):
            original = getattr(calls, name)

            def broken(*args: object, is_done: bool = is_done, original: Callable[..., object] = original,
                       **kwargs: object) -> None:  # fmt: skip
                if is_done:
                    original(*args, **kwargs)
                raise KeyboardInterrupt

            monkeypatch.setattr(calls, name, broken)
            with pytest.raises(KeyboardInterrupt):
                Echo.options(name="broken off").remote()
            monkeypatch.undo()
            whole = Echo.options(name="broken off").remote()  # the name is free again
            assert shoal.get(whole.echo.remote(1)) == 1
            shoal.kill(whole)


def test_ctrl_c_at_a_terminal_interrupts_no_worker(census: Census) -> None:
    """A terminal sends it to the whole foreground process group of the driver."""
    refs = [later.remote(0.3) for _ in range(2)]
    group = os.getpgrp()
    for name, processes in node_processes().items():
        for process in processes:
            if os.getpgid(process.pid) == group:
                process.send_signal(signal.SIGINT)
                assert name == "shoal-daemon", name
    assert shoal.get(refs, timeout=10.0) == ["now", "now"]
