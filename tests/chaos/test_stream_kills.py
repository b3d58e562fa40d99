# SPDX-License-Identifier: Apache-2.0
"""Producers of streams are killed again and again: every item arrives once, in its order, and nothing is left."""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import psutil

import shoal

from .census import Census, workers
from .tally import Tally

KINDS = ("small", "large", "box")
N_STREAMS = 4
MEAN_ITEMS_PER_KILL = 150


@shoal.remote(max_retries=-1)
def numbers(n: int, kind: str) -> Iterator[Any]:
    pid = os.getpid()
    for i in range(n):
        number: Any = i
        if kind == "large":
            number = np.full(10_000, i)
        elif kind == "box":
            number = [shoal.put(i)]
        yield number, pid


def plain(number: Any) -> int:
    if isinstance(number, list):
        return int(shoal.get(number[0]))
    return int(number[0]) if isinstance(number, np.ndarray) else int(number)


def run_streams(dice: random.Random, n_items: int) -> int:
    """Consume several streams side by side, killing whoever made an item now and then; one is dropped -> kills."""
    n_kills = 0
    options = [{"max_items_ahead": dice.choice((None, 1, 2, 50))} for _ in range(N_STREAMS)]
    streams = [numbers.options(**given).remote(n_items, dice.choice(KINDS)) for given in options]
    taken = [0] * N_STREAMS
    dropped_at = dice.randrange(n_items)
    while any(stream is not None for stream in streams):
        at = dice.randrange(N_STREAMS)
        stream = streams[at]
        if stream is None:
            continue
        ref = next(stream, None)
        if ref is None:
            assert taken[at] == n_items
            streams[at] = None  # type: ignore[call-overload]
            continue
        number, pid = shoal.get(ref)
        assert plain(number) == taken[at]
        taken[at] += 1
        if dice.random() < 1 / MEAN_ITEMS_PER_KILL:
            for maker in [process for process in workers() if process.pid == pid]:
                with suppress(psutil.Error):
                    maker.kill()
                    n_kills += 1
        if at == 0 and taken[at] == dropped_at:
            streams[at] = None  # type: ignore[call-overload]
    return n_kills


def test_items_arrive_once_and_in_order(
    census: Census, seed: int, tally: Tally, pick: Callable[[int, int], int]
) -> None:
    for number in range(pick(1, 30)):
        dice = random.Random(seed + number)
        n_kills = run_streams(dice, 1_000)
        tally.count("producers killed", n_kills)
        tally.count("seeds")
        census.assert_as_before()
