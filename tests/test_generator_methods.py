# SPDX-License-Identifier: Apache-2.0
"""Generators as methods of actors, and in event loops."""

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from tests.streams import count, fail_after, meet, values

import shoal

pytestmark = pytest.mark.usefixtures("module_node")


@shoal.remote
class Plain:
    def count(self, n: int) -> Iterator[int]:
        yield from range(n)

    @shoal.method(max_items_ahead=1)
    def bounded(self, n: int) -> Iterator[int]:
        yield from range(n)

    @shoal.method(num_returns=2)
    def pair(self) -> Iterator[int]:
        yield 1
        yield 2

    def fail(self) -> Iterator[int]:
        yield 1
        raise ValueError("actor")

    def die(self) -> Iterator[int]:
        yield 1
        os.kill(os.getpid(), signal.SIGKILL)

    def ping(self) -> int:
        return 1


@shoal.remote
class Loop:
    def __init__(self) -> None:
        self.n_closed = 0

    async def count(self, n: int) -> Any:
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    @shoal.method(max_items_ahead=1)
    async def bounded(self, n: int) -> Any:
        for i in range(n):
            yield i

    def plain(self, n: int) -> Iterator[int]:
        yield from range(n)

    @shoal.method(num_returns="streaming")
    async def listed(self, n: int) -> Any:
        return list(range(n))

    async def fail(self) -> Any:
        yield 1
        raise ValueError("actor")

    async def endless(self) -> Any:
        try:
            while True:
                await asyncio.sleep(0)
                yield 1
        finally:
            self.n_closed += 1

    @shoal.method(num_returns="dynamic")
    async def gathered(self, n: int) -> Any:
        for i in range(n):
            yield i

    async def closed(self) -> int:
        return self.n_closed

    async def ping(self) -> int:
        return 1


@pytest.mark.parametrize("concurrency", [1, 4])
def test_methods_of_actors_stream(concurrency: int) -> None:
    actor = Plain.options(max_concurrency=concurrency).remote()
    assert values(actor.count.remote(1_000)) == list(range(1_000))
    assert values(actor.bounded.remote(10)) == list(range(10))
    assert values(actor.bounded.options(max_items_ahead=None).remote(10)) == list(range(10))
    assert shoal.get(actor.pair.remote()) == [1, 2]
    assert values(actor.pair.options(num_returns="streaming").remote()) == [1, 2]
    refs = list(actor.fail.remote())
    with pytest.raises(ValueError, match="actor") as caught:
        shoal.get(refs[1])
    assert str(caught.value).count("File ") == 1, str(caught.value)
    assert shoal.get(actor.ping.remote()) == 1


def test_threads_of_an_actor_stream_side_by_side() -> None:
    actor = Plain.options(max_concurrency=4).remote()
    streams = [actor.bounded.remote(10) for _ in range(4)]
    turns = [[shoal.get(next(stream)) for stream in streams] for _ in range(10)]
    assert turns == [[i] * 4 for i in range(10)]


def test_async_methods_stream_side_by_side() -> None:
    actor = Loop.remote()
    assert values(actor.count.remote(1_000)) == list(range(1_000))
    streams = [actor.bounded.remote(10), actor.bounded.remote(10), actor.plain.options(max_items_ahead=1).remote(10)]
    assert shoal.get(actor.ping.remote(), timeout=60) == 1  # the loop goes on while they wait
    turns = [[shoal.get(next(stream)) for stream in streams] for _ in range(10)]
    assert turns == [[i] * 3 for i in range(10)]
    assert values(actor.plain.remote(1_000)) == list(range(1_000))
    assert values(actor.listed.remote(3)) == [0, 1, 2]
    assert values(shoal.get(actor.gathered.remote(3))) == [0, 1, 2]
    refs = list(actor.fail.remote())
    with pytest.raises(ValueError, match="actor") as caught:
        shoal.get(refs[1])
    assert str(caught.value).count("File ") == 1, str(caught.value)


def test_an_async_generator_that_nobody_wants_is_closed() -> None:
    actor = Loop.remote()
    stream = actor.endless.remote()
    assert shoal.get(next(stream)) == 1
    stream.close()
    assert shoal.get(stream.completed(), timeout=60) is None
    assert shoal.get(actor.closed.remote()) == 1


def test_an_async_generator_is_cancelled() -> None:
    actor = Loop.remote()
    stream = actor.endless.remote()
    next(stream)
    shoal.cancel(stream)
    *_, last = stream
    with pytest.raises(shoal.TaskCancelledError):
        shoal.get(last)
    assert shoal.get(actor.closed.remote()) == 1
    blocked = actor.bounded.remote(10)
    shoal.cancel(blocked)
    *_, last = blocked
    with pytest.raises(shoal.TaskCancelledError):
        shoal.get(last)


def test_the_death_of_an_actor_is_the_last_item() -> None:
    refs = list(Plain.remote().die.remote())
    assert shoal.get(refs[0]) == 1
    with pytest.raises(shoal.ActorDiedError):
        shoal.get(refs[1])
    assert len(refs) == 2


def test_a_handle_given_to_others_streams() -> None:
    @shoal.remote
    def consume(actor: Any) -> list[int]:
        return values(actor.count.remote(10)) + values(actor.bounded.remote(3))

    assert shoal.get(consume.remote(Plain.remote())) == [*range(10), 0, 1, 2]


# -- event loops


def test_async_iteration() -> None:
    async def consume(n: int) -> list[int]:
        return [await ref async for ref in count.remote(n)]

    async def side_by_side() -> list[list[int]]:
        return await asyncio.gather(*(consume(n) for n in (0, 1, 500, 500)))

    assert asyncio.run(side_by_side()) == [list(range(n)) for n in (0, 1, 500, 500)]


def test_async_iteration_over_errors_and_after_the_end() -> None:
    async def consume() -> None:
        stream = fail_after.remote(1)
        assert await (await anext(stream)) == 0
        with pytest.raises(ValueError, match="no more"):
            await (await anext(stream))
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    asyncio.run(consume())


def test_a_cancelled_await_takes_nothing(pipe: str) -> None:
    @shoal.remote
    def gated(path: str) -> Iterator[int]:
        meet(path, writing=False)
        yield 1

    async def consume() -> int:
        stream = gated.remote(pipe)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(stream), timeout=0.01)
        await asyncio.to_thread(meet, pipe, writing=True)
        return await (await anext(stream))

    assert asyncio.run(consume()) == 1


def test_an_async_actor_consumes_streams() -> None:
    @shoal.remote
    class Consumer:
        async def total(self, n: int) -> int:
            return sum([await ref async for ref in count.options(max_items_ahead=5).remote(n)])

    consumer = Consumer.remote()
    assert shoal.get([consumer.total.remote(n) for n in (10, 100, 1_000)]) == [45, 4950, 499500]
