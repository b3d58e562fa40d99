# SPDX-License-Identifier: Apache-2.0
"""Forks in drivers and tasks, and drivers that end amid thousands of tasks: nothing is left of them anywhere."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tests.processes import SEGMENT, SHARED_MEMORY, marked, uses

import shoal

from .census import Census, pause
from .limits import within

ENDED_S = 10.0

AMID = """
import os, signal, sys
import shoal
shoal.init(num_cpus=2)

@shoal.remote
def work(n, *rest):
    return bytes(n % 5_000)

@shoal.remote
class Actor:
    def call(self, n):
        return n

@shoal.remote
def nest(n):
    return shoal.get([work.remote(i) for i in range(n)])

actors = [Actor.remote() for _ in range(3)]
big = shoal.put(bytes(50 << 20))
refs = [work.remote(n, big) for n in range(int(sys.argv[1]))]
refs += [actor.call.remote(n) for n in range(200) for actor in actors]
refs += [nest.remote(50) for _ in range(20)]
print("queued", flush=True)
"""
WAYS = {
    "killed": "signal.pause()",
    "killed in get": "shoal.get(refs); signal.pause()",
    "killed in wait": "while True: shoal.wait(refs, num_returns=len(refs), timeout=0.1)",
    "killed while it submits": "while True: refs.append(work.remote(1)); del refs[0]",
}
ENDS = {"by exit": "sys.exit(0)", "by os._exit": "os._exit(0)", "by exception": "raise ValueError"}


def of_session(runtime: Path) -> list[psutil.Process]:
    """Processes whose environment names this test's runtime folder."""
    return marked("XDG_RUNTIME_DIR", str(runtime))


def holders(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those of the processes that map a segment of Shoal or hold one open."""
    return [process for process in processes if uses(process, SEGMENT)]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Path]:
    tmp_path.chmod(0o700)
    yield tmp_path
    waited_s = 0.0
    while (left := of_session(tmp_path)) and waited_s < within(ENDED_S):
        waited_s += 0.05
        pause(0.05)
    assert not left, f"processes left: {left}"
    assert not list(tmp_path.rglob("*"))


def driver(text: str, runtime: Path, n_tasks: int) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", text, str(n_tasks)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "queued\n", process.communicate()
    return process


def assert_no_segment_held_by(processes: list[psutil.Process]) -> None:
    waited_s = 0.0
    while (held := holders(processes)) and waited_s < within(ENDED_S):
        waited_s += 0.05
        pause(0.05)
    assert not held


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_nothing_is_left_of_a_driver_killed_amid_its_tasks(
    runtime: Path, way: str, number: signal.Signals, pick: Callable[[int, int], int]
) -> None:
    process = driver(AMID + way, runtime, pick(10_000, 100_000))
    below = of_session(runtime)
    assert len(holders(below)) >= 2  # the driver and the daemon; workers may be on their way
    assert not [process for process in below if uses(process, SHARED_MEMORY)]
    process.send_signal(number)
    process.communicate(timeout=within(ENDED_S))
    assert_no_segment_held_by(below)


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_nothing_is_left_of_a_driver_that_ends_amid_its_tasks(
    runtime: Path, end: str, pick: Callable[[int, int], int]
) -> None:
    process = driver(AMID + end, runtime, pick(10_000, 100_000))
    _, errors = process.communicate(timeout=within(ENDED_S))
    assert ("ValueError" in errors) == ("ValueError" in end)
    assert errors.count("Traceback") == errors.count("ValueError"), errors


# -- forks


@shoal.remote
def square(n: int) -> int:
    return n * n


def call_shoal(ref: "shoal.ObjectRef[int]") -> str:
    try:
        shoal.get(ref)
    except shoal.ShoalError as error:
        return type(error).__name__
    return "a value"


def test_forks_of_the_driver_amid_its_calls(census: Census) -> None:
    ref = shoal.put(1)
    for n in range(20):
        refs = [square.remote(i) for i in range(200)]
        child = os.fork()
        if child == 0:
            try:
                answer = call_shoal(ref)
                del refs, ref
                os._exit(0 if answer == "ForkedProcessError" else 1)
            finally:
                os._exit(2)
        assert shoal.get(refs) == [i * i for i in range(200)]
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, n


def test_a_forked_child_may_start_a_node_of_its_own(census: Census) -> None:
    refs = [square.remote(i) for i in range(200)]
    child = os.fork()
    if child == 0:
        try:
            shoal.init(num_cpus=1)
            right = shoal.get([square.remote(i) for i in range(50)]) == [i * i for i in range(50)]
            shoal.shutdown()
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert shoal.get(refs) == [i * i for i in range(200)]


def test_forks_inside_tasks(census: Census) -> None:
    @shoal.remote
    def fork(box: list["shoal.ObjectRef[int]"]) -> list[int]:
        children = []
        for _ in range(3):
            child = os.fork()
            if child == 0:
                try:
                    answer = call_shoal(box[0])
                    os._exit(0 if answer == "ForkedProcessError" else 1)
                finally:
                    os._exit(2)
            children.append(child)
        shoal.get(square.remote(2))
        return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

    box = [shoal.put(1)]
    assert shoal.get([fork.remote(box) for _ in range(10)]) == [[0, 0, 0]] * 10


def test_multiprocessing_inside_tasks(census: Census) -> None:
    @shoal.remote
    def pool(n: int) -> int:
        context = multiprocessing.get_context("fork")
        with context.Pool(2) as workers:
            return sum(workers.map(abs, range(-n, 0)))

    assert shoal.get([pool.remote(n) for n in range(5)]) == [sum(range(n + 1)) for n in range(5)]


def test_a_child_forked_in_a_task_that_outlives_it_does_not_harm_the_worker(census: Census) -> None:
    @shoal.remote
    def leave_a_child() -> int:
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
        return child

    children = shoal.get([leave_a_child.remote() for _ in range(5)])
    assert shoal.get([square.remote(i) for i in range(500)]) == [i * i for i in range(500)]
    for child in children:
        os.kill(child, signal.SIGKILL)
