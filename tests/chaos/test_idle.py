# SPDX-License-Identifier: Apache-2.0
"""A node with nothing to do: next to no CPU, small workers, and nothing that grows over its comings and goings."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest

import shoal

from .census import IS_UNDER_ASAN, SETTLE_S, n_wakes, node_processes, pause, private_bytes, workers
from .limits import within

IDLE_S = 3.0
CALM_S = 1.0
TICK_S = 1 / os.sysconf("SC_CLK_TCK")  # what the kernel counts CPU time in
WAKES_LIMIT = 80.0  # a second, of all threads: 25 are the ticks of the core, and 20 are of a driver that waits
CPU_LIMIT = 0.1  # of one core, all together; nothing spins. What so few wakes cost is for the benchmark to say
PRIVATE_LIMIT = (512 << 20) if IS_UNDER_ASAN else 15 << 20  # bytes


@shoal.remote
def small(n: int) -> int:
    return n


@shoal.remote
def nested(n: int) -> int:
    return sum(shoal.get([small.remote(i) for i in range(n)]))


@shoal.remote
class Idler:
    def call(self) -> int:
        return 1


@shoal.remote
class AsyncIdler:
    async def call(self) -> int:
        return 1


@pytest.fixture
def node() -> Iterator[None]:
    shoal.init(num_cpus=2, object_store_memory=512 << 20)
    yield
    shoal.shutdown()


def cpu_seconds() -> float:
    total = sum(psutil.Process().cpu_times()[:2])
    for group in node_processes().values():
        for process in group:
            with suppress(psutil.Error):  # gone meanwhile
                total += sum(process.cpu_times()[:2])
    return total


def await_calm() -> None:
    """Wait until what a start or the last calls left to do is done: soon, where others want the CPUs too, is later."""
    seen_s, deadline_s = cpu_seconds(), time.monotonic() + SETTLE_S
    while True:
        pause(CALM_S)
        before_s, seen_s = seen_s, cpu_seconds()
        if seen_s - before_s <= CALM_S * CPU_LIMIT + TICK_S or time.monotonic() > deadline_s:
            return


def assert_idle(wait: Callable[[], object]) -> None:
    """Next to nothing is computed while `wait` waits."""
    before_s, n_before, started_s = cpu_seconds(), n_wakes(), time.monotonic()
    wait()
    took_s = time.monotonic() - started_s
    share, wakes = (cpu_seconds() - before_s) / took_s, (n_wakes() - n_before) / took_s
    print(f"{share:.2%} of a core, {wakes:.1f} wakes a second")
    assert wakes <= WAKES_LIMIT
    assert share <= CPU_LIMIT


@pytest.mark.parametrize("is_used", [False, True], ids=["never used", "used"])
def test_an_idle_node_uses_next_to_no_cpu(node: None, is_used: bool) -> None:
    actors = []
    if is_used:
        actors = [Idler.remote(), Idler.options(max_concurrency=4).remote(), AsyncIdler.remote()]
        shoal.get([actor.call.remote() for actor in actors])
        shoal.get([nested.remote(20) for _ in range(5)])
    await_calm()
    assert_idle(lambda: pause(IDLE_S))
    del actors


def test_a_driver_that_waits_uses_next_to_no_cpu(node: None) -> None:
    @shoal.remote
    def wait_long() -> int:
        threading.Event().wait(IDLE_S + 1)
        return 1

    refs = [wait_long.remote() for _ in range(2)]
    shoal.wait(refs, timeout=1.0)
    assert_idle(lambda: shoal.wait(refs, timeout=IDLE_S - 0.5))
    assert shoal.get(refs) == [1, 1]


def test_an_idle_worker_is_small(node: None) -> None:
    shoal.get([small.remote(n) for n in range(1_000)])
    shoal.get([nested.remote(10) for _ in range(10)])
    actor = Idler.remote()
    shoal.get(actor.call.remote())
    sizes = {}
    for process in workers():
        with suppress(psutil.Error):  # one that was made for nested calls has left
            sizes[process.pid] = private_bytes(process)
    print({pid: f"{size / (1 << 20):.1f} MiB" for pid, size in sizes.items()})
    assert max(sizes.values()) <= PRIVATE_LIMIT


# In a process of its own: one that other tests have run in has memory of theirs to shuffle.
COMES_AND_GOES = """
import gc, sys
import psutil, shoal

@shoal.remote
def small(n):
    return n

@shoal.remote
class Idler:
    def call(self):
        return 1

def cycle():
    shoal.init(num_cpus=2, object_store_memory=256 << 20)
    assert shoal.get([small.remote(n) for n in range(10)]) == list(range(10))
    actor = Idler.remote()
    assert shoal.get(actor.call.remote()) == 1
    shoal.put(bytes(1 << 20))
    shoal.shutdown()

me = psutil.Process()
for _ in range(3):
    cycle()
gc.collect()
n_fds, n_threads, n_maps = me.num_fds(), me.num_threads(), len(me.memory_maps(grouped=False))
memory = me.memory_full_info().uss
for _ in range(int(sys.argv[1])):
    cycle()
gc.collect()
assert me.num_fds() <= n_fds
assert me.num_threads() <= n_threads
assert not [area.path for area in me.memory_maps(grouped=False) if "shoal" in area.path and "memfd" in area.path]
assert len(me.memory_maps(grouped=False)) <= n_maps + 10
assert me.memory_full_info().uss <= memory + (8 << 20)
assert not me.children(recursive=True)
print("as before")
"""


def test_coming_and_going_leaves_nothing_in_the_driver(
    pick: Callable[[int, int], int], script: "Callable[..., subprocess.Popen[str]]"
) -> None:
    output, errors = script(COMES_AND_GOES, str(pick(10, 200))).communicate(timeout=within(200))
    assert output == "as before\n", errors
