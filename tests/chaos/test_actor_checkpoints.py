# SPDX-License-Identifier: Apache-2.0
"""An actor with checkpoints is killed at random while three callers call it: each call is applied once, none lost."""

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import shoal

from .census import Census, await_until, pause, workers
from .tally import Tally

ANSWER_S = 120.0
WINDOW = 30  # calls that a caller has in flight
SHORT_S = 0.02

Answers = list[tuple[int, int]]


@shoal.remote
class Witness:
    """Never killed: counts what it is really told, and answers with more than fits into an entry."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def note(self, caller: int, n: int) -> "np.ndarray[Any, Any]":
        self.seen.append((caller, n))
        return np.full(64, len(self.seen))

    def all(self) -> list[tuple[int, int]]:
        return self.seen


@shoal.remote(max_restarts=-1, max_task_retries=-1)
class Ledger:
    """Applies calls in some order, and says where in it each stands."""

    def __init__(self, witness: "list[shoal.ActorHandle[Witness]]", progress: str) -> None:
        self.witness = witness[0]
        self.progress = progress
        self.lines: list[tuple[int, int]] = []
        self.hash = 1
        self.array = np.zeros(20_000, dtype=np.int64)

    def checkpoint(self) -> Any:
        return self.lines, self.hash, self.array

    def restore(self, saved: Any) -> None:
        self.lines, self.hash, self.array = saved

    def apply(self, caller: int, n: int) -> tuple[int, int]:
        self.lines.append((caller, n))
        self.hash = (self.hash * 1_000_003 + caller * 7 + n) % (1 << 61)
        self.array[len(self.lines) % len(self.array)] += n
        if n % 5 == 0:
            shoal.get(self.witness.note.remote(caller, n))
        if not shoal.get_runtime_context().is_replaying:
            with open(self.progress, "a") as file:
                file.write(".")
        if n % 11 == 0:
            raise ValueError(len(self.lines), self.hash)
        return len(self.lines), self.hash

    def look(self) -> tuple[list[tuple[int, int]], int, int]:
        return self.lines, self.hash, int(self.array.sum())


@shoal.remote
class Caller:
    """Makes its calls in order, some with arguments that are not there yet, and keeps every answer."""

    def call(self, ledger: "list[shoal.ActorHandle[Ledger]]", caller: int, n_calls: int, stop: str) -> Answers:
        flying: list[Any] = []
        answers: Answers = []
        n = 0
        while n < n_calls or not os.path.exists(stop):
            flying.append(ledger[0].apply.remote(caller, late.remote(n) if n % 7 == caller else n))
            n += 1
            if len(flying) == WINDOW:
                answers.append(self.answer(flying.pop(0)))
        return answers + [self.answer(ref) for ref in flying]

    def answer(self, ref: Any) -> tuple[int, int]:
        try:
            value: tuple[int, int] = shoal.get(ref, timeout=ANSWER_S)
        except ValueError as error:
            return error.args[0], error.args[1]
        return value


@shoal.remote
def late(n: int) -> int:
    return n


@pytest.mark.parametrize("every", [1, 7, 1000])
def test_kills_lose_and_double_nothing(
    census: Census, dice: random.Random, pick: Callable[[int, int], int], tally: Tally, tmp_path: Path, every: int
) -> None:
    progress, stop = tmp_path / "progress", tmp_path / "stop"
    progress.touch()
    witness = Witness.remote()
    ledger = Ledger.options(checkpoint_every=every).remote([witness], str(progress))
    callers = [Caller.remote() for _ in range(3)]
    refs = [actor.call.remote([ledger], caller, 100, str(stop)) for caller, actor in enumerate(callers)]
    killed: set[int] = set()
    n_kills = pick(20, 400)
    while len(killed) < n_kills:
        before = progress.stat().st_size
        for process in workers():
            with suppress(psutil.Error):
                if process.name() == "shoal:Ledger":
                    process.send_signal(signal.SIGKILL)
                    killed.add(process.pid)
        if dice.random() < 0.7:  # the others come too early for the next process to get anywhere
            assert await_until(lambda: progress.stat().st_size > before)  # noqa: B023
        pause(dice.random() * SHORT_S)
        assert shoal.wait(refs, num_returns=3, timeout=0)[0] == []
    stop.touch()
    answers = shoal.get(refs, timeout=ANSWER_S)
    lines, last_hash, total = shoal.get(ledger.look.remote(), timeout=ANSWER_S)

    hashes, at = [], 1
    for caller, n in lines:
        at = (at * 1_000_003 + caller * 7 + n) % (1 << 61)
        hashes.append(at)
    assert (last_hash, total) == (hashes[-1], sum(n for _, n in lines))
    for caller in range(3):
        assert [n for who, n in lines if who == caller] == list(range(len(answers[caller])))  # once, and in order
        for n, (place, hash_then) in enumerate(answers[caller]):
            assert (lines[place - 1], hashes[place - 1]) == ((caller, n), hash_then)
    noted = shoal.get(witness.all.remote())
    assert sorted(noted) == sorted(line for line in lines if line[1] % 5 == 0)
    tally.count("processes killed", len(killed))
    tally.count("calls applied once", len(lines))
    del ledger, callers, witness
