# SPDX-License-Identifier: Apache-2.0
"""Items of generators: taken, left, cut short by an error or a death; nothing of them stays."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import shoal

from .conftest import Driver, await_held, held

pytestmark = pytest.mark.usefixtures("before")

LARGE = 10_000  # elements of an array that the store holds apart


@shoal.remote
def arrays(n: int, fails: bool = False) -> Iterator[Any]:
    for i in range(n):
        yield np.full(LARGE, i)
    if fails:
        raise ValueError("no more")


@shoal.remote
def boxes(n: int) -> Iterator[Any]:
    for i in range(n):
        yield {"small": shoal.put(i), "large": shoal.put(np.full(LARGE, i))}


@shoal.remote(max_retries=0)
def dying(n: int) -> Iterator[Any]:
    yield from ([shoal.put(i)] for i in range(n))
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("ahead", [None, 2])
@pytest.mark.parametrize("n_taken", [0, 1, 20])
@pytest.mark.parametrize("fails", [False, True])
def test_items_that_were_taken_and_items_that_were_not(ahead: int | None, n_taken: int, fails: bool) -> None:
    stream = arrays.options(max_items_ahead=ahead).remote(20, fails)
    refs = [next(stream) for _ in range(n_taken)]
    assert [int(value[0]) for value in shoal.get(refs)] == list(range(n_taken))


def test_items_that_hold_refs(before: dict[str, float]) -> None:
    stream = boxes.remote(50)
    taken = [next(stream) for _ in range(10)]
    del stream  # forty boxes lie there, or will
    inner = shoal.get(taken[3])["large"]
    del taken
    assert int(shoal.get(inner)[0]) == 3
    del inner
    await_held(before)


def test_a_stream_that_nobody_began(before: dict[str, float]) -> None:
    for _ in range(100):
        arrays.remote(3)
    await_held(before)


def test_a_producer_that_dies(before: dict[str, float]) -> None:
    refs = list(dying.remote(30))
    assert [shoal.get(shoal.get(ref)[0]) for ref in refs[:30]] == list(range(30))
    with pytest.raises(shoal.WorkerCrashedError):
        shoal.get(refs[30])
    del refs
    await_held(before)
    stream = dying.remote(30)
    next(stream)
    del stream
    await_held(before)


def test_a_consumer_that_dies(driver: Driver, before: dict[str, float]) -> None:
    process = driver("""
        @shoal.remote(max_items_ahead=5)
        def count():
            n = 0
            while True:
                yield [n, shoal.put(n)]
                n += 1

        streams = [count.remote() for _ in range(2)]
        for _ in range(10):
            for stream in streams: shoal.get(next(stream))
        say("ready")
        hear()
        """)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    assert held()["live_entries"] > before["live_entries"]
    process.kill()
    process.wait()
    await_held(before)


def test_a_consumer_inside_a_task_that_dies(before: dict[str, float]) -> None:
    @shoal.remote(max_retries=0)
    def consume() -> None:
        stream = boxes.options(max_items_ahead=3).remote(10_000)
        for _ in range(10):
            shoal.get(next(stream))
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(shoal.WorkerCrashedError):
        shoal.get(consume.remote())
    await_held(before)


def test_streams_of_an_actor_that_ends(before: dict[str, float]) -> None:
    @shoal.remote(max_concurrency=4)
    class Source:
        @shoal.method(max_items_ahead=2)
        def boxes(self, n: int) -> Iterator[Any]:
            for i in range(n):
                yield [shoal.put(i)]

        def ping(self) -> int:
            return 1

    actor = Source.remote()
    streams = [actor.boxes.remote(100) for _ in range(3)]
    for stream in streams:
        assert shoal.get(shoal.get(next(stream))[0]) == 0
    shoal.kill(actor)
    for stream in streams:
        with pytest.raises(shoal.ActorDiedError):
            shoal.get(list(stream)[-1])
    del actor, streams, stream
    await_held(before)


def test_dynamic_returns(before: dict[str, float]) -> None:
    refs = shoal.get(arrays.options(num_returns="dynamic").remote(20, fails=True))
    assert [int(shoal.get(ref)[0]) for ref in list(refs)[:20]] == list(range(20))
    ref = boxes.options(num_returns="dynamic").remote(20)
    del refs
    shoal.wait([ref])
    del ref
    await_held(before)


def test_a_long_stream_that_nobody_takes(before: dict[str, float]) -> None:
    @shoal.remote
    def numbers(n: int) -> Iterator[int]:
        yield from range(n)

    stream = numbers.remote(200_000)
    shoal.get(stream.completed())
    assert held()["live_entries"] > 200_000
    stream.close()
    assert held()["live_entries"] <= before["live_entries"] + 1  # its end: the rest went at once, without the daemon
