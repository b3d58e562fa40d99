# SPDX-License-Identifier: Apache-2.0
"""Refs in event loops, over a client whose news a test decides."""

import asyncio
import os
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from shoal.asyncio_bridge import Bridge, _wake


class FakeClient:
    """Refs are strings; `resolve` makes news as the core does."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0)
        self.values: dict[str, Any] = {}
        self.watched: set[str] = set()
        self.fired: list[str] = []
        self.should_exit = False

    def wake_fd(self) -> int:
        return self.fd

    def watch(self, ref: str) -> bool:
        if ref in self.values:
            return True
        self.watched.add(ref)
        return False

    def drain_watched(self) -> list[str]:
        fired, self.fired = self.fired, []
        return fired

    def rearm(self, want_calls: bool = True) -> bool:
        return bool(self.fired)

    def get(self, ref: str) -> Any:
        if isinstance(self.values[ref], Exception):
            raise self.values[ref]
        return self.values[ref]

    def resolve(self, ref: str, value: Any) -> None:
        self.values[ref] = value
        if ref in self.watched:
            self.fired.append(ref)
            os.eventfd_write(self.fd, 1)


@pytest.fixture
def client() -> Iterator[FakeClient]:
    made = FakeClient()
    yield made
    os.close(made.fd)


@pytest.fixture
def bridge(client: FakeClient) -> Bridge:
    return Bridge(client)  # type: ignore[arg-type]


def test_a_future_of_a_resolved_ref_is_done(client: FakeClient, bridge: Bridge) -> None:
    client.resolve("r", 1)
    assert bridge.future("r").result(0) == 1  # type: ignore[arg-type]


def test_a_future_gets_value_or_error_when_the_ref_resolves(client: FakeClient, bridge: Bridge) -> None:
    good, bad = bridge.future("good"), bridge.future("bad")  # type: ignore[arg-type]
    client.resolve("good", 1)
    client.resolve("bad", ValueError("boom"))
    assert good.result(10) == 1
    with pytest.raises(ValueError, match="boom"):
        bad.result(10)


def test_every_waiter_of_one_ref_is_told(client: FakeClient, bridge: Bridge) -> None:
    futures = [bridge.future("r") for _ in range(3)]  # type: ignore[arg-type]
    client.resolve("r", 7)
    assert [future.result(10) for future in futures] == [7, 7, 7]


def test_loops_of_several_threads_each_get_their_news(client: FakeClient, bridge: Bridge) -> None:
    n_waiting = threading.Barrier(3)
    told: list[str] = []

    async def wait_for(ref: str) -> None:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()
        bridge.listen(loop)
        assert not bridge.notify(ref, lambda: loop.call_soon_threadsafe(done.set))  # type: ignore[arg-type]
        n_waiting.wait()
        await asyncio.wait_for(done.wait(), 10)
        told.append(ref)

    threads = [threading.Thread(target=asyncio.run, args=(wait_for(ref),)) for ref in ("a", "b")]
    for thread in threads:
        thread.start()
    n_waiting.wait()
    client.resolve("a", 1)
    client.resolve("b", 2)
    for thread in threads:
        thread.join()
    assert sorted(told) == ["a", "b"]


def test_a_loop_that_closes_at_the_last_moment_keeps_no_news_from_others(client: FakeClient, bridge: Bridge) -> None:
    class Closing(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
            self.close()  # another thread does, after whoever calls this has looked
            return super().call_soon_threadsafe(*args, **kwargs)

    loop = Closing()
    tell = partial(_wake, loop, loop.create_future())
    told = threading.Event()
    assert not bridge.notify("r", tell)  # type: ignore[arg-type]
    assert not bridge.notify("r", told.set)  # type: ignore[arg-type]
    client.resolve("r", 1)
    bridge.on_ready()
    assert told.is_set()
