# SPDX-License-Identifier: Apache-2.0
"""An actor that is restarted without end is killed at random while three callers call it in order."""

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

import shoal

from .census import Census, await_until, pause, workers

ANSWER_S = 120.0
WINDOW = 40  # calls that a caller has in flight
SHORT_S = 0.02  # at most, between two kills; some hit the actor in its start, in its constructor or between calls


@shoal.remote(max_restarts=-1, max_task_retries=-1)
class Recorder:
    """Writes down what it is called with: its own state is lost with each process."""

    def __init__(self, folder: str) -> None:
        self.files = [open(os.path.join(folder, str(caller)), "a") for caller in range(3)]  # noqa: SIM115

    def note(self, caller: int, n: int, late: int) -> tuple[int, int, int]:
        print(n, file=self.files[caller], flush=True)
        return caller, n, late


@shoal.remote
def late(n: int) -> int:
    return n


@shoal.remote
class Caller:
    """Makes its calls in order, some with arguments that are not there yet, and checks every answer."""

    def call(self, recorder: list["shoal.ActorHandle[Recorder]"], caller: int, n_calls: int, stop: str) -> int:
        n, flying = 0, []
        while n < n_calls or not os.path.exists(stop):
            flying.append((n, recorder[0].note.remote(caller, n, late.remote(n) if n % 7 == caller else n)))
            n += 1
            if len(flying) == WINDOW:
                self.check(caller, *flying.pop(0))
        for call in flying:
            self.check(caller, *call)
        return n

    def check(self, caller: int, n: int, ref: "shoal.ObjectRef[tuple[int, int, int]]") -> None:
        answer = shoal.get(ref, timeout=ANSWER_S)
        assert answer == (caller, n, n), answer


def processes_of(name: str) -> list[psutil.Process]:
    found = []
    for process in workers():
        with suppress(psutil.Error):
            if process.name() == name:
                found.append(process)
    return found


def test_a_hundred_kills_lose_and_disorder_nothing(
    census: Census, dice: random.Random, pick: Callable[[int, int], int], tmp_path: Path
) -> None:
    recorder = Recorder.remote(str(tmp_path))
    callers = [Caller.remote() for _ in range(3)]
    stop = tmp_path / "stop"
    counts = [actor.call.remote([recorder], caller, 300, str(stop)) for caller, actor in enumerate(callers)]

    def progress() -> int:
        return sum(path.stat().st_size for path in tmp_path.iterdir())

    killed, n_kills = set(), pick(100, 1_000)
    while len(killed) < n_kills:
        before = progress()
        if dice.random() < 0.2:
            shoal.kill(recorder, no_restart=False)
        else:
            for process in processes_of("shoal:Recorder"):
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
                    killed.add(process.pid)
        if dice.random() < 0.7:  # the others come too early for the next process to get anywhere
            assert await_until(lambda: progress() > before)  # noqa: B023
        pause(dice.random() * SHORT_S)
        assert shoal.wait(counts, num_returns=3, timeout=0)[0] == []
    stop.touch()
    n_calls = shoal.get(counts, timeout=ANSWER_S)
    for caller in range(3):
        noted = [int(line) for line in (tmp_path / str(caller)).read_text().split()]
        assert noted == sorted(noted)  # a call that was repeated comes again at once, before any later one
        assert sorted(set(noted)) == list(range(n_calls[caller]))
    assert all(n >= 300 for n in n_calls)
    del recorder, callers
