# SPDX-License-Identifier: Apache-2.0
"""Workers are killed at random under a job with a known answer: the answer is right and nothing of them is left."""

import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import psutil

import shoal

from .census import Census, pause, workers

MAX_RETRIES = 10_000
SIZES = (0, 1, 100, 1_000, 65_536, 1 << 20, 3 << 20)  # bytes


@shoal.remote(max_retries=MAX_RETRIES)
def leaf(n: int, size: int) -> tuple[int, bytes]:
    return n, bytes([n % 251]) * size


@shoal.remote(max_retries=MAX_RETRIES)
def add(left: tuple[int, bytes], right: tuple[int, bytes]) -> tuple[int, bytes]:
    for total, filling in (left, right):
        assert filling == bytes([filling[0]]) * len(filling) if filling else total >= 0
    return left[0] + right[0], b""


@shoal.remote(max_retries=MAX_RETRIES)
def nested(first: int, n: int, sizes: list[int]) -> tuple[int, bytes]:
    """Sum first..first+n-1 by a tree of tasks below this one."""
    if n == 1:
        return shoal.get(leaf.remote(first, sizes[first % len(sizes)]))
    half = n // 2
    return shoal.get(add.remote(nested.remote(first, half, sizes), nested.remote(first + half, n - half, sizes)))


@shoal.remote(max_retries=MAX_RETRIES)
def total_of(boxes: dict[str, list["shoal.ObjectRef[tuple[int, bytes]]"]]) -> int:
    return sum(total for total, _ in shoal.get(boxes["refs"]))


@shoal.remote(max_retries=MAX_RETRIES)
def array_sum(array: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    return float(array.sum())


class Killer(threading.Thread):
    """Sends `signal` to random workers until told to stop."""

    def __init__(self, dice: random.Random, n_kills: int, mean_s: float) -> None:
        super().__init__(daemon=True)
        self._dice = random.Random(dice.random())
        self._n_left = n_kills
        self._mean_s = mean_s
        self.n_kills = 0

    def run(self) -> None:
        while self._n_left > 0:
            pause(self._dice.expovariate(1 / self._mean_s))
            victims = workers()
            if victims:
                with suppress(psutil.Error):
                    self._dice.choice(victims).kill()
                    self.n_kills += 1
                    self._n_left -= 1

    @property
    def is_done(self) -> bool:
        return self._n_left == 0


def run_round(dice: random.Random) -> None:
    """One job: every value of it is checked."""
    sizes = [dice.choice(SIZES) for _ in range(dice.randrange(1, 8))]
    n = dice.randrange(1, 12)
    tree = nested.remote(0, n, sizes)
    leaves = [leaf.remote(i, dice.choice(sizes)) for i in range(dice.randrange(1, 40))]
    boxed = total_of.remote({"refs": leaves})
    array = np.arange(float(dice.randrange(1, 300_000)))
    stored = shoal.put(array)
    sums = [array_sum.remote(stored) for _ in range(5)]
    chain = leaf.remote(0, 10)
    for _ in range(10):
        chain = add.remote(chain, leaves[0])
    assert shoal.get(tree)[0] == n * (n - 1) // 2
    assert shoal.get(boxed) == sum(range(len(leaves)))
    for i, (number, filling) in enumerate(shoal.get(leaves)):
        assert number == i
        assert filling == bytes([i % 251]) * len(filling)
    assert shoal.get(sums) == [array.sum()] * 5
    assert shoal.get(chain)[0] == 0


def test_every_value_is_right_and_nothing_is_left(
    census: Census, dice: random.Random, pick: Callable[[int, int], int]
) -> None:
    census.is_awaiting_spares = True
    killer = Killer(dice, pick(150, 1_000), mean_s=0.04)
    killer.start()
    n_rounds = 0
    started_s = time.monotonic()
    while not killer.is_done:
        run_round(dice)
        n_rounds += 1
    killer.join()
    run_round(dice)
    print(f"{killer.n_kills} kills over {n_rounds} rounds in {time.monotonic() - started_s:.1f} s")
