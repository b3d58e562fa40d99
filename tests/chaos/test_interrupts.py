# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C at random instants of every call: KeyboardInterrupt soon, and the next call works."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

import shoal

from .census import Census, node_processes, pause

SOON_S = 1.0  # a wait is cut into slices of 50 ms; the rest is for a loaded machine
TYPICAL_S = 0.15


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


def run_interrupted(thread: threading.Thread, call: Callable[[], None]) -> None:
    thread.start()
    call()


def interrupter(delay_s: float, sent_s: list[float]) -> threading.Thread:
    def send() -> None:
        pause(delay_s)
        sent_s.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    return threading.Thread(target=send)


def test_ctrl_c_at_any_instant(census: Census, dice: random.Random, pick: Callable[[int, int], int]) -> None:
    delays_s = []
    for n in range(pick(100, 1_000)):
        call = CALLS[n % len(CALLS)]
        sent_s: list[float] = []
        thread = interrupter(dice.random() * 0.05, sent_s)
        with pytest.raises(KeyboardInterrupt):
            run_interrupted(thread, call)
        delays_s.append(time.monotonic() - sent_s[0])
        thread.join()
        assert delays_s[-1] < SOON_S, f"{call.__name__}: {delays_s[-1]:.3f} s"
        assert shoal.get(square.remote(n)) == n * n, call.__name__
        assert shoal.get(shoal.put(n)) == n
        assert shoal.wait([square.remote(n)], timeout=10.0)[1] == []
    delays_s.sort()
    print(f"median {delays_s[len(delays_s) // 2] * 1e3:.1f} ms, worst {delays_s[-1] * 1e3:.0f} ms")
    assert delays_s[len(delays_s) // 2] < TYPICAL_S


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
