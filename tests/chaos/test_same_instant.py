# SPDX-License-Identifier: Apache-2.0
"""A kill and the end of what it is aimed at come in the same microsecond.

One of the two happened first, and all agree which."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import shoal

from .census import Census, workers
from .limits import within
from .tally import Tally

AHEAD_NS = 3_000_000  # enough for a call to arrive and begin to wait for its instant
SPREAD_NS = 150_000
ANSWER_S = 10.0


def spin_until(instant_ns: int) -> None:
    while time.monotonic_ns() < instant_ns:
        pass


def end_at(instant_ns: int, value: int) -> int:
    spin_until(instant_ns)
    return value


@shoal.remote
class Actor:
    def __init__(self, log: str) -> None:
        self.log_fd = os.open(log, os.O_WRONLY | os.O_CREAT, 0o600)

    def pid(self) -> int:
        return os.getpid()

    def end_at(self, instant_ns: int, value: int) -> int:
        spin_until(instant_ns)
        os.write(self.log_fd, b"%d\n" % value)
        return value


def aim(kill: Callable[[], None], instant_ns: int) -> threading.Thread:
    def wait_and_kill() -> None:
        spin_until(instant_ns)
        kill()

    thread = threading.Thread(target=wait_and_kill)
    thread.start()
    return thread


@pytest.mark.parametrize("way", ["kill", "SIGKILL"])
def test_an_actor_is_killed_as_its_call_ends(
    census: Census, dice: random.Random, tally: Tally, pick: Callable[[int, int], int], tmp_path: Path, way: str
) -> None:
    for n in range(pick(6, 500)):
        log = tmp_path / f"log{n}"
        actor = Actor.remote(str(log))
        pid = shoal.get(actor.pid.remote(), timeout=within(ANSWER_S))
        instant_ns = time.monotonic_ns() + AHEAD_NS
        calls = [actor.end_at.remote(instant_ns, n), actor.end_at.remote(0, n + 1), actor.end_at.remote(0, n + 2)]
        kill = (
            (lambda actor=actor: shoal.kill(actor)) if way == "kill" else (lambda pid=pid: os.kill(pid, signal.SIGKILL))
        )
        thread = aim(kill, instant_ns + dice.randrange(-SPREAD_NS, SPREAD_NS))
        answers = []
        for call in calls:
            with suppress(shoal.ActorDiedError):
                answers.append(shoal.get(call, timeout=within(ANSWER_S)))
        thread.join()
        applied = [int(line) for line in log.read_text().splitlines()]
        assert answers == [n, n + 1, n + 2][: len(answers)]
        assert applied == [n, n + 1, n + 2][: len(applied)]
        assert len(answers) <= len(applied)
        with pytest.raises(shoal.ActorDiedError):
            shoal.get(actor.pid.remote(), timeout=within(ANSWER_S))
        for i, call in enumerate(calls):  # the answer stays what it was
            if i < len(answers):
                assert shoal.get(call) == n + i
            else:
                with pytest.raises(shoal.ActorDiedError):
                    shoal.get(call)
        tally.count(f"{len(answers)} of 3 calls answered")


@pytest.mark.parametrize("max_retries", [0, 5])
def test_a_worker_is_killed_as_its_task_ends(
    census: Census, dice: random.Random, tally: Tally, pick: Callable[[int, int], int], max_retries: int
) -> None:
    end = shoal.remote(max_retries=max_retries)(lambda instant_ns, value: (end_at(instant_ns, value), os.getpid()))
    for n in range(pick(6, 500)):
        while not (victims := workers()):  # the last one was killed after its task: the next task makes another
            shoal.get(end.remote(0, 0), timeout=within(ANSWER_S))
        victim = dice.choice(victims)
        instant_ns = time.monotonic_ns() + AHEAD_NS
        refs = [end.remote(instant_ns, n + i) for i in range(2)]  # one on each worker

        def kill(victim: psutil.Process = victim) -> None:
            with suppress(psutil.Error):
                victim.kill()

        thread = aim(kill, instant_ns + dice.randrange(-SPREAD_NS, SPREAD_NS))
        for i, ref in enumerate(refs):
            try:
                value, _ = shoal.get(ref, timeout=within(ANSWER_S))
                assert value == n + i
                tally.count("values")
            except shoal.WorkerCrashedError:
                assert max_retries == 0
                tally.count("errors")
        thread.join()
        with suppress(shoal.WorkerCrashedError):
            assert shoal.get(refs[0])[0] == n
