# SPDX-License-Identifier: Apache-2.0
"""Lifetimes of objects: whatever held references, in the end the segment holds what it held before."""

import gc
import subprocess
import textwrap
from collections.abc import Callable, Iterator

import pytest
from tests.chaos.census import HELD, await_until

import shoal
from shoal import runtime

SETTLE_S = 15.0  # logs are read within a tick, sweeps take one; the rest is for a loaded machine

Driver = Callable[..., "subprocess.Popen[str]"]


@shoal.remote
def touch(n: int) -> int:
    return n


def held() -> dict[str, float]:
    """What the segment holds now, without what this process has dropped."""
    connection = runtime.connected()
    connection.client.flush()
    counters = connection.calls.counters()
    return {name: counters[name] for name in HELD}


def await_held(expected: dict[str, float]) -> None:
    """Wait until no more is held than `expected`, and fail if that does not come."""
    gc.collect()
    await_until(lambda: all(now <= expected[name] for name, now in held().items()), SETTLE_S)
    now = held()
    left = {name: (expected[name], now[name]) for name in HELD if now[name] > expected[name]}
    assert not left, f"left (before, after): {left}"


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    """One node with two CPUs for all tests of a module -> its address."""
    with shoal.init(num_cpus=2, object_store_memory=512 << 20) as context:
        yield context.address


@pytest.fixture
def before(node: str) -> Iterator[dict[str, float]]:
    """What the segment holds before the test, and must hold again after it."""
    for _ in range(3):  # what stays for good is there before we count
        shoal.get([touch.remote(n) for n in range(20)])
    await_until(lambda: held()["live_slots"] == 0)
    counted = held()
    yield counted
    await_held(counted)


@pytest.fixture
def driver(node: str, script: Driver) -> Driver:
    """Starts another driver on the node from source text; `say(...)` in it prints a line, `hear()` reads one."""
    head = f"""
        import shoal
        shoal.init(address={node!r}, namespace="shared")
        say = lambda *words: print(*words, flush=True)
        hear = lambda: input()
    """
    return lambda source: script(textwrap.dedent(head) + textwrap.dedent(source))
