# SPDX-License-Identifier: Apache-2.0
"""The loop of an async actor, over a client whose news a test decides."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from shoal.asyncio_bridge import Bridge
from shoal.worker.loop_selector import LoopSelector, run_loop


class FakeClient:
    """Calls are a number; `call` makes news as the core does."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0)
        self.n_calls = 0
        self.n_armed = 0
        self.n_spins = 0
        self.is_armed = False
        self.armed = threading.Event()
        self.may_spin = True
        self.should_exit = False
        self.on_spin: Callable[[], None] = lambda: None

    def wake_fd(self) -> int:
        return self.fd

    def drain_watched(self) -> list[str]:
        return []

    def look(self, want_calls: bool) -> bool:
        return want_calls and (self.n_calls > 0 or self.should_exit)

    def spin(self, want_calls: bool) -> int:
        self.n_spins += 1
        self.on_spin()
        return int(self.look(want_calls)) if self.may_spin else -1

    def rearm(self, want_calls: bool = True) -> bool:
        self.is_armed = True
        self.n_armed += 1
        self.armed.set()
        return self.should_exit or self.look(want_calls)

    def awake(self) -> None:
        self.is_armed = False

    def call(self) -> None:
        self.n_calls += 1
        if self.is_armed:
            os.eventfd_write(self.fd, 1)


class Host:
    """Serves until it has taken `n` calls."""

    def __init__(self, client: FakeClient, n: int) -> None:
        self.client = client
        self.bridge = Bridge(client)  # type: ignore[arg-type]
        self.n_left = n
        self.claim_more = True

    async def serve(self) -> None:
        self.over = asyncio.get_running_loop().create_future()
        self.bridge.serve_calls(asyncio.get_running_loop(), self.claim)
        await self.over

    def claim(self) -> bool:
        self.n_left -= self.client.n_calls
        self.client.n_calls = 0
        if self.n_left <= 0 and not self.over.done():
            self.over.set_result(None)
        return self.claim_more


@pytest.fixture
def client() -> Iterator[FakeClient]:
    made = FakeClient()
    yield made
    os.close(made.fd)


@contextmanager
def called_when_armed(client: FakeClient) -> Iterator[None]:
    """A call comes once the loop is about to sleep."""

    def call() -> None:
        client.armed.wait()
        client.call()

    thread = threading.Thread(target=call)
    thread.start()
    yield
    thread.join()


def test_a_sleeping_loop_is_woken_by_a_call(client: FakeClient) -> None:
    host = Host(client, 1)
    with called_when_armed(client):
        run_loop(host.bridge, host.serve())
    assert client.n_armed == 1


def test_after_a_call_the_loop_looks_on_without_arming_anything(client: FakeClient) -> None:
    client.n_calls = 1
    host = Host(client, 3)
    client.on_spin = client.call
    run_loop(host.bridge, host.serve())
    assert (client.n_spins, client.n_armed) == (2, 0)


def test_where_no_core_is_free_the_loop_sleeps_at_once(client: FakeClient) -> None:
    client.n_calls, client.may_spin = 1, False
    host = Host(client, 2)
    with called_when_armed(client):
        run_loop(host.bridge, host.serve())
    assert (client.n_spins, client.n_armed) == (1, 1)


def test_a_loop_that_timers_alone_keep_busy_does_not_spin(client: FakeClient) -> None:
    host = Host(client, 1)

    async def tick_then_call() -> None:
        for i in range(20):
            await asyncio.sleep(0.001)
            if i == 9:
                client.n_spins = 0  # it begins with looking
        client.call()

    async def both() -> None:
        ticking = asyncio.ensure_future(tick_then_call())
        await host.serve()
        await ticking

    run_loop(host.bridge, both())
    assert client.n_spins == 0


def test_timers_and_sockets_are_served_while_calls_never_cease(client: FakeClient) -> None:
    host = Host(client, 1 << 60)

    def endless() -> bool:
        client.n_calls = 1
        return True

    host.claim = endless  # type: ignore[method-assign]
    ours, theirs = socket.socketpair()
    ours.setblocking(False)

    async def use_the_loop() -> bytes:
        loop = asyncio.get_running_loop()
        serving = asyncio.ensure_future(host.serve())
        await asyncio.sleep(0.01)
        theirs.sendall(b"hello")
        received = await loop.sock_recv(ours, 5)
        host.over.set_result(None)
        await serving
        return received

    received: list[bytes] = []

    async def main() -> None:
        received.append(await use_the_loop())

    run_loop(host.bridge, main())
    ours.close()
    theirs.close()
    assert received == [b"hello"]


def test_an_end_that_waits_for_calls_in_flight_is_not_news(client: FakeClient) -> None:
    host = Host(client, 1 << 60)
    client.should_exit = True

    async def main() -> None:
        serving = asyncio.ensure_future(host.serve())
        await asyncio.sleep(0.05)
        host.over.set_result(None)
        await serving

    run_loop(host.bridge, main())
    assert client.n_armed <= 3


def test_a_plain_loop_on_the_selector_waits_as_on_any_other(client: FakeClient) -> None:
    bridge = Bridge(client)  # type: ignore[arg-type]
    selector = LoopSelector(bridge)
    started = time.monotonic()
    assert selector.select(0.02) == []
    assert time.monotonic() - started >= 0.02
    selector.close()
