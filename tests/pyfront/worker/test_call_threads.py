# SPDX-License-Identifier: Apache-2.0
"""Threads that start as they are needed, and never more than may overlap."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from tests.leftovers import threads

from shoal._core._node import Task
from shoal.worker.call_threads import CallThreads

LIMIT = 3


def some_task() -> Task:
    return cast(Task, cast(Any, object()))


END = some_task()


class Calls:
    """Calls that stand at a gate until the test opens it, and say who ran them."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.n_begun = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.n_ended = threading.Semaphore(0)

    def run(self, task: Task) -> None:
        if task is END:
            raise SystemExit
        self.threads.add(threading.get_ident())
        self.n_begun.release()
        assert self.gate.acquire(timeout=60)
        self.n_ended.release()


def wait_for(what: threading.Semaphore, times: int) -> None:
    for _ in range(times):
        assert what.acquire(timeout=60)


Make = Callable[[int, Calls], CallThreads]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes CallThreads, whose threads end with the test: in an actor they live as long as the process."""
    made: list[tuple[CallThreads, int]] = []
    before = threads()

    def one(limit: int, calls: Calls) -> CallThreads:
        made.append((CallThreads(limit, calls.run), limit))
        return made[-1][0]

    yield one
    monkeypatch.setattr(threading, "excepthook", lambda _: None)  # pytest's would warn of the exits
    for pool, limit in made:
        for _ in range(limit):  # as many as there can be threads, each of which takes one
            pool.hand_over(END)
    for thread in threads() - before:
        thread.join()


def test_calls_overlap_up_to_the_limit(make: Make) -> None:
    calls = Calls()
    pool = make(LIMIT, calls)
    for _ in range(LIMIT):
        pool.hand_over(some_task())
    wait_for(calls.n_begun, LIMIT)  # all at once: none has passed the gate
    assert len(calls.threads) == LIMIT
    for _ in range(LIMIT):
        calls.gate.release()
    wait_for(calls.n_ended, LIMIT)


def test_a_thread_serves_many_calls(make: Make) -> None:
    calls = Calls()
    pool = make(LIMIT, calls)
    for _ in range(100):
        pool.hand_over(some_task())
        wait_for(calls.n_begun, 1)
        calls.gate.release()
        wait_for(calls.n_ended, 1)
    assert len(calls.threads) <= LIMIT


def test_a_call_that_comes_as_the_last_thread_ends_another_is_run(make: Make) -> None:
    calls = Calls()
    pool = make(1, calls)
    for _ in range(1000):
        pool.hand_over(some_task())
        calls.gate.release()
        wait_for(calls.n_ended, 1)  # handed over before the thread counts as idle, now and then
    assert len(calls.threads) == 1
