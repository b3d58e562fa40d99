# SPDX-License-Identifier: Apache-2.0
"""Jobs with known answers for a node whose workers die: sums of trees, shuffles with checksums, counters with logs.

Tasks are retried as often as it takes. Actors are not: theirs is the promise that each call is applied at most once, in
order, and that whoever waits learns of the death.
"""

import os
import random
import zlib
from pathlib import Path

import numpy as np

import shoal

from .limits import within

MAX_RETRIES = 10_000
SIZES = (0, 1, 100, 1_000, 65_536, 1 << 20, 3 << 20)  # bytes
ANSWER_S = 30.0  # more is a hang

Filled = tuple[int, bytes]
Block = tuple[int, bytes]  # checksum, numbers


# -- sums


@shoal.remote(max_retries=MAX_RETRIES)
def leaf(n: int, size: int) -> Filled:
    return n, bytes([n % 251]) * size


@shoal.remote(max_retries=MAX_RETRIES)
def add(left: Filled, right: Filled) -> Filled:
    for total, filling in (left, right):
        assert filling == bytes([filling[0]]) * len(filling) if filling else total >= 0
    return left[0] + right[0], b""


@shoal.remote(max_retries=MAX_RETRIES)
def nested(first: int, n: int, sizes: list[int]) -> Filled:
    """Sum first..first+n-1 by a tree of tasks below this one."""
    if n == 1:
        return shoal.get(leaf.remote(first, sizes[first % len(sizes)]))
    half = n // 2
    return shoal.get(add.remote(nested.remote(first, half, sizes), nested.remote(first + half, n - half, sizes)))


@shoal.remote(max_retries=MAX_RETRIES)
def total_of(boxes: dict[str, list["shoal.ObjectRef[Filled]"]]) -> int:
    return sum(total for total, _ in shoal.get(boxes["refs"]))


@shoal.remote(max_retries=MAX_RETRIES)
def array_sum(array: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    return float(array.sum())


def run_sums(dice: random.Random) -> None:
    """Trees of tasks, refs in containers, a stored array read by many, a chain."""
    limit_s = within(ANSWER_S)
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
    assert shoal.get(tree, timeout=limit_s)[0] == n * (n - 1) // 2
    assert shoal.get(boxed, timeout=limit_s) == sum(range(len(leaves)))
    for i, (number, filling) in enumerate(shoal.get(leaves, timeout=limit_s)):
        assert number == i
        assert filling == bytes([i % 251]) * len(filling)
    assert shoal.get(sums, timeout=limit_s) == [array.sum()] * 5
    assert shoal.get(chain, timeout=limit_s)[0] == 0


# -- shuffle


def _block(numbers: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Block:
    content = numbers.tobytes()
    return zlib.crc32(content), content


def _numbers(block: Block) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    checksum, content = block
    assert zlib.crc32(content) == checksum
    return np.frombuffer(content, dtype=np.int64)


@shoal.remote(max_retries=MAX_RETRIES)
def split(first: int, n: int, n_parts: int) -> list[Block]:
    """The numbers first..first+n-1, scattered over the parts."""
    numbers = np.arange(first, first + n)
    return [_block(numbers[numbers * 7919 % n_parts == part]) for part in range(n_parts)]


@shoal.remote(max_retries=MAX_RETRIES)
def merge(part: int, n_parts: int, *blocks: Block) -> Block:
    """All numbers of one part, in order."""
    merged = np.sort(np.concatenate([_numbers(block) for block in blocks]))
    assert (merged * 7919 % n_parts == part).all()
    return _block(merged)


def run_shuffle(dice: random.Random) -> None:
    """Every number arrives once, in its part, with the checksum of its block."""
    n_maps, n_parts, n = dice.randrange(1, 8), dice.randrange(2, 8), dice.randrange(1, 40_000)
    rows = [split.options(num_returns=n_parts).remote(i * n, n, n_parts) for i in range(n_maps)]
    merged = [merge.remote(part, n_parts, *(row[part] for row in rows)) for part in range(n_parts)]
    del rows
    everything = np.concatenate([_numbers(block) for block in shoal.get(merged, timeout=within(ANSWER_S))])
    assert (np.sort(everything) == np.arange(n_maps * n)).all()


# -- counters


@shoal.remote
class Counter:
    """Writes each operation down before it is applied."""

    def __init__(self, log: str) -> None:
        self.total = 0
        self.log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def add(self, n: int) -> int:
        os.write(self.log_fd, b"%d\n" % n)
        self.total += n
        return self.total


def run_counters(dice: random.Random, folder: Path) -> int:
    """Operations are applied in order and at most once, and what was answered was applied -> how many counters died."""
    n_died = 0
    logs = [folder / os.urandom(8).hex() for _ in range(3)]
    counters = [Counter.remote(str(log)) for log in logs]
    n_calls = dice.randrange(1, 3_000)
    rows = [[counter.add.remote(n) for n in range(n_calls)] for counter in counters]
    for log, row in zip(logs, rows, strict=True):
        totals: list[int] = []
        for n, ref in enumerate(row):
            try:
                totals.append(shoal.get(ref, timeout=within(ANSWER_S)))
                assert len(totals) == n + 1, f"call {n} of {log} was answered, an earlier one was not"
            except shoal.ActorDiedError:
                continue
        n_died += len(totals) < n_calls
        assert totals == [n * (n + 1) // 2 for n in range(len(totals))]
        applied = [int(line) for line in log.read_text().splitlines()] if log.exists() else []
        assert applied == list(range(len(applied))), "an operation was applied twice, out of order or not at all"
        assert len(totals) <= len(applied)
        log.unlink(missing_ok=True)
    return n_died
