# SPDX-License-Identifier: Apache-2.0
"""Workers are killed at random under jobs with known answers: the answers are right and nothing of them is left."""

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from .census import Census, pause, workers
from .jobs import run_counters, run_shuffle, run_sums
from .tally import Tally

MEAN_GAP_S = 0.025


class Killer(threading.Thread):
    """Kills random workers and actors, `n_kills` of them."""

    def __init__(self, dice: random.Random, n_kills: int) -> None:
        super().__init__(daemon=True)
        self._dice = random.Random(dice.random())
        self._n_left = n_kills

    def run(self) -> None:
        while self._n_left > 0:
            pause(self._dice.expovariate(1 / MEAN_GAP_S))
            victims = workers()
            if victims:
                with suppress(psutil.Error):
                    self._dice.choice(victims).kill()
                    self._n_left -= 1

    @property
    def is_done(self) -> bool:
        return self._n_left == 0


def repeat(job: Callable[[random.Random], int | None], dice: random.Random, killer: Killer) -> tuple[int, int]:
    """Run a job again and again, the last time without kills -> how many runs, the sum of what they returned."""
    n_runs = total = 0
    is_last = False
    while not is_last:
        is_last = killer.is_done
        total += job(dice) or 0
        n_runs += 1
    return n_runs, total


def test_every_value_is_right_and_nothing_is_left(
    census: Census, seed: int, tally: Tally, pick: Callable[[int, int], int], tmp_path: Path
) -> None:
    for number in range(pick(1, 50)):
        dice = random.Random(seed + number)
        n_kills = pick(100, 200)
        killer = Killer(dice, n_kills)
        killer.start()
        jobs = [run_sums, run_shuffle, partial(run_counters, folder=tmp_path)]
        with ThreadPoolExecutor(len(jobs)) as threads:
            done = [threads.submit(repeat, job, random.Random(dice.random()), killer) for job in jobs]
            tally.count("jobs right", sum(each.result()[0] for each in done))
            tally.count("of them with dead actors", done[-1].result()[1])
        killer.join()
        tally.count("workers killed", n_kills)
        tally.count("seeds")
        census.assert_as_before()
    census.is_awaiting_spares = bool(pick(0, 1))  # those made for nested gets leave after ten idle seconds
