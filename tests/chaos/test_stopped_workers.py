# SPDX-License-Identifier: Apache-2.0
"""A worker stopped at a random instant delays its own task and nothing else; continued, it delivers what it owes."""

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress

import psutil

import shoal

from .census import Census, pause, workers

PROGRESS_S = 20.0


@shoal.remote(max_retries=0)
def square(n: int) -> tuple[int, int]:
    return os.getpid(), n * n


@shoal.remote(max_retries=0)
def nested(n: int) -> int:
    return sum(value for _, value in shoal.get([square.remote(i) for i in range(n)]))


def test_others_go_on_and_the_stopped_one_delivers_later(
    census: Census, dice: random.Random, pick: Callable[[int, int], int]
) -> None:
    for _ in range(pick(15, 150)):
        refs = [square.remote(n) for n in range(2_000)]
        tree = nested.remote(30)
        pause(dice.random() * 0.02)
        victim = dice.choice(workers())
        with suppress(psutil.Error):
            victim.suspend()
        try:
            more = [square.remote(n) for n in range(500)]
            _, late = shoal.wait(refs + more, num_returns=len(refs + more) - 1, timeout=PROGRESS_S)
            assert len(late) <= 1, f"{len(late)} tasks wait for one stopped worker"
        finally:
            with suppress(psutil.Error):
                victim.resume()
        assert [value for _, value in shoal.get(refs, timeout=PROGRESS_S)] == [n * n for n in range(2_000)]
        assert [value for _, value in shoal.get(more, timeout=PROGRESS_S)] == [n * n for n in range(500)]
        assert shoal.get(tree, timeout=PROGRESS_S) == sum(n * n for n in range(30))


def test_an_actor_that_is_stopped_delays_its_own_calls_only(census: Census, dice: random.Random) -> None:
    @shoal.remote
    class Adder:
        def __init__(self) -> None:
            self.n = 0

        def add(self) -> int:
            self.n += 1
            return self.n

        def pid(self) -> int:
            return os.getpid()

    actors = [Adder.remote() for _ in range(3)]
    pids = shoal.get([actor.pid.remote() for actor in actors])
    for n in range(10):
        stopped = dice.randrange(3)
        calls = [[actor.add.remote() for _ in range(50)] for actor in actors]
        pause(dice.random() * 0.002)
        os.kill(pids[stopped], signal.SIGSTOP)
        try:
            for i, refs in enumerate(calls):
                if i != stopped:
                    assert shoal.get(refs, timeout=PROGRESS_S) == list(range(50 * n + 1, 50 * n + 51))
            assert shoal.get(square.remote(5), timeout=PROGRESS_S)[1] == 25
        finally:
            os.kill(pids[stopped], signal.SIGCONT)
        assert shoal.get(calls[stopped], timeout=PROGRESS_S) == list(range(50 * n + 1, 50 * n + 51))


def test_a_worker_killed_while_it_is_stopped_is_replaced(census: Census, dice: random.Random) -> None:
    for _ in range(10):
        refs = [square.options(max_retries=5).remote(n) for n in range(500)]
        pause(dice.random() * 0.01)
        for victim in workers()[: dice.randrange(3)]:  # new ones may still be on their way
            with suppress(psutil.Error):
                victim.suspend()
                victim.kill()
        assert [value for _, value in shoal.get(refs, timeout=PROGRESS_S)] == [n * n for n in range(500)]
