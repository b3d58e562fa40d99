# SPDX-License-Identifier: Apache-2.0
"""Chaos from outside: random faults under load, each run replayable from the seed that it prints.

`SHOAL_SEED=n` repeats a run. `SHOAL_LONG=1`, which `make chaos` sets, makes the runs as long as the claims they hold:
minutes, not seconds, with lines of progress. A table at the end says how often each fault struck, and how long its
consequences took.
"""

import os
import random
import time
from collections.abc import Callable, Iterator

import pytest

import shoal

from .census import Census
from .tally import Tally

IS_LONG = os.environ.get("SHOAL_LONG", "0") not in ("", "0")
LONG_TIMEOUT_S = 900.0
LONG_BUDGET_S = 3600.0  # of a whole run; on two idle cores it takes about half of that
MAX_SEED = 1 << 32

Pick = Callable[[int, int], int]

_tallies: list[Tally] = []
_began_s = time.monotonic()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if IS_LONG:
        for item in items:
            if item.path.parent.name == "chaos":
                item.add_marker(pytest.mark.timeout(LONG_TIMEOUT_S))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if IS_LONG and item.path.parent.name == "chaos" and time.monotonic() - _began_s > LONG_BUDGET_S:
        pytest.fail(
            f"the run has used its {LONG_BUDGET_S:g} s: run this one alone, on a machine with less to do", False
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _tallies:
        terminalreporter.section("what chaos did")
        for tally in _tallies:
            for line in tally.lines():
                terminalreporter.write_line(line)
        slowest = max(_tallies, key=lambda tally: tally.lasted_s)
        terminalreporter.write_line(f"slowest: {slowest.name}, {slowest.lasted_s:.1f} s")


@pytest.fixture
def seed() -> int:
    """What repeats this run. A test of many rounds seeds round i with `seed + i`, so that each can be run alone."""
    seed = int(os.environ.get("SHOAL_SEED") or random.SystemRandom().randrange(MAX_SEED))
    print(f"SHOAL_SEED={seed}")
    return seed


@pytest.fixture
def dice(seed: int) -> random.Random:
    """Every random choice of a test comes from here, so that its seed repeats it."""
    return random.Random(seed)


@pytest.fixture
def pick() -> Pick:
    """pick(short, long): how many of something, in an ordinary run and in a long one."""
    return lambda short, long: long if IS_LONG else short


@pytest.fixture
def tally(request: pytest.FixtureRequest, seed: int, capfd: pytest.CaptureFixture[str]) -> Iterator[Tally]:
    """This test's account, part of the table at the end."""

    def show(line: str) -> None:
        if IS_LONG:
            with capfd.disabled():
                print(f"\n{line}", end="", flush=True)

    tally = Tally(request.node.name, seed, show)
    _tallies.append(tally)
    yield tally
    tally.finish()


def counted(store_bytes: int) -> Iterator[Census]:
    """A node with two CPUs and the count of what it holds; behind it everything must be as before."""
    shoal.init(num_cpus=2, object_store_memory=store_bytes)
    try:
        taken = Census()
        yield taken
        taken.assert_as_before()
    finally:
        shoal.shutdown()


@pytest.fixture
def census() -> Iterator[Census]:
    """A fresh node for one test."""
    yield from counted(512 << 20)


@pytest.fixture(scope="module")
def shared_node() -> Iterator[Census]:
    """One node for all tests of a module."""
    yield from counted(1 << 30)
