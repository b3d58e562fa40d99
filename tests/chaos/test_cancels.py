# SPDX-License-Identifier: Apache-2.0
"""Tasks and actors' calls are cancelled at random moments: each ref has its value or the error, and nothing is left."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import shoal

from .census import Census, pause
from .tally import Tally

AT_ONCE = 25
MEAN_GAP_S = 0.002
NAP_S = 0.004
nap_for = time.sleep  # what tasks do


@shoal.remote(max_retries=0)
def nap(number: int) -> int:
    nap_for(NAP_S * (number % 3))
    return number


@shoal.remote(max_retries=0)
def count(number: int) -> int:
    total = 0
    for _ in range(20_000):
        total += 1
    return number + total - 20_000


@shoal.remote(max_retries=0)
def plus(number: int, *others: int) -> int:
    return number + sum(others)


@shoal.remote(max_retries=0)
def tree(number: int, depth: int) -> int:
    if depth == 0:
        return number
    return sum(shoal.get([tree.remote(number, depth - 1), nap.remote(0)]))


@shoal.remote(max_retries=0)
def array(number: int) -> list[Any]:
    return [shoal.put(number), bytes(100_000)]


@shoal.remote
class Plain:
    """Counts its calls, one at a time."""

    def call(self, number: int, *others: int) -> int:
        nap_for(NAP_S * (number % 2))
        return number + sum(others)


@shoal.remote
class Loop:
    """Many calls at once."""

    async def call(self, number: int, *others: int) -> int:
        await asyncio.sleep(NAP_S * (number % 3))
        return number + sum(others)


class Calls:
    """Random calls with known answers."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.plain, self.loop = Plain.remote(), Loop.remote()

    def one(self, number: int) -> tuple[Any, bool]:
        """A ref to `number`, or to a list with a ref to it; and whether it may be cancelled by force."""
        inner = nap.remote(1)
        kinds: list[Callable[[], Any]] = [
            lambda: nap.remote(number),
            lambda: count.remote(number),
            lambda: plus.remote(number - 1, inner),
            lambda: tree.remote(number, 3),
            lambda: array.remote(number),
            lambda: self.plain.call.remote(number),
            lambda: self.plain.call.remote(number - 1, inner),
            lambda: self.loop.call.remote(number),
            lambda: self.loop.call.remote(number - 1, inner),
        ]
        which = self.dice.randrange(len(kinds))
        return kinds[which](), which < 5


def value_of(ref: Any) -> int | None:
    """What a call came to; None: it was cancelled. The second look sees the same."""
    seen = []
    for _ in range(2):
        try:
            value = shoal.get(ref, timeout=60)
            seen.append(shoal.get(value[0]) if isinstance(value, list) else value)
        except shoal.TaskCancelledError:
            seen.append(None)
    assert seen[0] == seen[1]
    return seen[0]


def test_each_ref_has_its_value_or_the_error_and_nothing_is_left(
    census: Census, seed: int, tally: Tally, pick: Callable[[int, int], int]
) -> None:
    dice = random.Random(seed)
    calls = Calls(dice)
    number = 0
    while tally.counts.get("cancelled", 0) + tally.counts.get("too late", 0) < pick(1_000, 20_000):
        made = []
        for _ in range(AT_ONCE):
            number += 1
            made.append((number, *calls.one(number)))
        dice.shuffle(made)
        told = set()
        for expected, ref, may_force in made:
            if dice.random() < 0.8:
                pause(dice.expovariate(1 / MEAN_GAP_S))
                told.add(expected)
                for _ in range(dice.choice((1, 1, 2))):
                    shoal.cancel(ref, force=may_force and dice.random() < 0.1, recursive=dice.random() < 0.7)
        for expected, ref, _ in made:
            value = value_of(ref)
            if expected not in told:
                assert value == expected
            else:
                assert value in (expected, None)
                tally.count("cancelled" if value is None else "too late")
        assert shoal.get([plus.remote(i, 1) for i in range(20)]) == list(range(1, 21))
        assert shoal.get([calls.plain.call.remote(2), calls.loop.call.remote(3)]) == [2, 3]
