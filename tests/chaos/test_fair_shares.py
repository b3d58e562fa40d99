# SPDX-License-Identifier: Apache-2.0
"""Nobody starves: neither a driver beside a greedy one, nor a wide task beside narrow ones."""

import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import pytest
from tests.streams import meet

import shoal

from .census import Census

LIMIT_S = 60.0

GUEST = """
import os, sys
import shoal
_, address, log, begun, amid = sys.argv
shoal.init(address=address)

@shoal.remote(num_cpus=0)
def wait_for_the_greedy():
    open(begun, "w").close()
    open(amid).close()
    return os.path.getsize(log)

@shoal.remote
def small(before):
    return os.path.getsize(log) - before

shoal.get(small.remote(0))
print("ready", flush=True)
sys.stdin.readline()
before = wait_for_the_greedy.remote()
open(begun).close()
refs = [small.remote(before) for _ in range(200)]
print("asked", flush=True)
print(*shoal.get(refs), flush=True)
sys.stdin.readline()
"""


@shoal.remote
def small(n: int) -> int:
    return n


@shoal.remote
def spin(n: int) -> int:
    total = 0
    for i in range(500):
        total += i
    return n


@shoal.remote
def spin_and_note(n: int, log: str, pipe: str | None = None) -> int:
    """One byte more in the log."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.write(file, b".")
    os.close(file)
    if pipe is not None:
        meet(pipe, writing=True)
    return spin.__wrapped__(n)


@shoal.remote(num_cpus=2)
def hold(begun: str, end: str) -> None:
    meet(begun, writing=True)
    meet(end, writing=False)


@contextmanager
def guest(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", GUEST, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def hear(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_driver_is_served_beside_one_that_queued_far_more(pick: Callable[[int, int], int], tmp_path: Path) -> None:
    """All is asked for before anything runs. One of the greedy driver's tasks, amid the others, makes the guest's calls
    ready, and what ran meanwhile is counted by the tasks: no process has to be quick."""
    n_greedy = pick(100_000, 1_000_000)
    log, *pipes = (str(tmp_path / name) for name in ("log", "held", "end", "begun", "amid"))
    Path(log).touch()
    for path in pipes:
        os.mkfifo(path)
    is_held, end, begun, amid = pipes
    with shoal.init(num_cpus=2) as context, guest(context.address, log, begun, amid) as process:
        assert hear(process) == "ready"
        held = hold.remote(is_held, end)
        meet(is_held, writing=False)  # both CPUs are taken
        refs = [spin_and_note.remote(n, log, amid if n == n_greedy // 10 else None) for n in range(n_greedy)]
        tell(process)
        assert hear(process) == "asked"
        meet(end, writing=True)
        during = sorted(map(int, hear(process).split()))
        half = len(during) // 2
        print(f"{during[half]} tasks of the greedy driver ran while the other ran {half}, {during[-1]} while all")
        assert during[half] <= n_greedy // 2  # of the nine tenths that were left
        assert shoal.get([held, refs[-1]], timeout=10 * LIMIT_S)[1] == n_greedy - 1
        del refs


def test_the_greedy_driver_may_die_with_all_its_tasks_queued(pick: Callable[[int, int], int]) -> None:
    greedy = """
import sys, time
import shoal
shoal.init(address=sys.argv[1])
@shoal.remote
def spin(n):
    return sum(range(10_000))
refs = [spin.remote(n) for n in range(int(sys.argv[2]))]
print("queued", flush=True)
sys.stdin.readline()
"""
    with shoal.init(num_cpus=2) as context:
        census = Census()
        process = subprocess.Popen(
            [sys.executable, "-c", greedy, context.address, str(pick(100_000, 1_000_000))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert hear(process) == "queued"
        assert shoal.get([small.remote(n) for n in range(100)], timeout=LIMIT_S) == list(range(100))
        process.kill()
        process.communicate()
        assert shoal.get([small.remote(n) for n in range(100)], timeout=LIMIT_S) == list(range(100))
        census.assert_as_before()


def test_a_wide_task_gets_its_turn_in_a_stream_of_narrow_ones(census: Census) -> None:
    """The stream flows until the wide tasks are done: if they had to wait for its end, neither would ever come."""
    is_over = threading.Event()

    def stream() -> None:
        running = [spin.remote(n) for n in range(1_000)]
        while not is_over.is_set():
            following = [spin.remote(n) for n in range(1_000)]
            shoal.get(running)
            running = following
        shoal.get(running)

    feeder = threading.Thread(target=stream)
    feeder.start()
    try:
        for n in range(10):
            assert shoal.get(spin.options(num_cpus=2).remote(n), timeout=LIMIT_S) == n
    finally:
        is_over.set()
        feeder.join()


def test_fractions_and_custom_resources_are_never_oversubscribed() -> None:
    @shoal.remote
    def run_from_to(kind: str) -> tuple[str, float, float]:
        started_s = time.monotonic()
        sum(range(20_000))
        return kind, started_s, time.monotonic()

    with shoal.init(num_cpus=2, resources={"disk": 3}):
        refs = []
        for _ in range(100):
            refs.append(run_from_to.options(num_cpus=0.5).remote("half"))
            refs.append(run_from_to.options(num_cpus=0, resources={"disk": 1}).remote("disk"))
            refs.append(run_from_to.options(num_cpus=0, resources={"disk": 1.5}).remote("big disk"))
            refs.append(run_from_to.options(num_cpus=2).remote("wide"))
        spans = shoal.get(refs, timeout=LIMIT_S)
    cpus = {"half": 0.5, "wide": 2.0}
    disks = {"disk": 1.0, "big disk": 1.5}
    assert peak(spans, cpus) <= 2
    assert peak(spans, disks) <= 3


def peak(spans: list[tuple[str, float, float]], demand: dict[str, float]) -> float:
    """The most of a resource that was in use at one instant."""
    ends = [(start_s, demand.get(kind, 0.0)) for kind, start_s, _ in spans]
    ends += [(end_s, -demand.get(kind, 0.0)) for kind, _, end_s in spans]
    return max(accumulate(amount for _, amount in sorted(ends)))


def test_an_impossible_demand_warns_at_once_and_starves_nobody(census: Census) -> None:
    for impossible in (spin.options(num_cpus=64), spin.options(resources={"unobtainium": 1}), spin.options(num_gpus=8)):
        with pytest.warns(shoal.InfeasibleResourcesWarning):
            never = impossible.remote(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert shoal.get([spin.remote(n) for n in range(200)], timeout=LIMIT_S) == list(range(200))
            assert shoal.get(spin.options(num_cpus=2).remote(3), timeout=LIMIT_S) == 3
        with pytest.raises(shoal.GetTimeoutError):
            shoal.get(never, timeout=0.01)
    census.before["live_entries"] += 6  # the three tasks wait for a node that has what they want
    census.before["live_slots"] += 3
    census.before["live_waiters"] += 3


def test_tasks_that_need_no_cpu_keep_nobody_from_one(census: Census, tmp_path: Path) -> None:
    @shoal.remote(num_cpus=0)
    def hold(path: str) -> None:
        while not os.path.exists(path):
            threading.Event().wait(0.01)

    for n in range(3):
        gate = tmp_path / f"gate{n}"
        held = [hold.remote(str(gate)) for _ in range(2 + n)]
        assert shoal.wait(held, timeout=0.1)[0] == []
        assert shoal.get([small.remote(i) for i in range(50)], timeout=LIMIT_S) == list(range(50))
        assert shoal.wait(held, timeout=0)[0] == [], "the test shows nothing"
        gate.touch()
        shoal.get(held)
