# SPDX-License-Identifier: Apache-2.0
"""Ending tasks and calls of actors before they have a result."""

import asyncio
import os
import signal
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

import shoal

FOR_EVER_S = 600.0
nap = time.sleep  # what tasks do; no test waits for its end


@shoal.remote
class Board:
    """Where tasks say what they have come to, for those who wait for it."""

    def __init__(self) -> None:
        self.said: dict[str, Any] = {}
        self.news = asyncio.Condition()

    async def say(self, what: str, value: Any = None) -> None:
        async with self.news:
            self.said[what] = value
            self.news.notify_all()

    async def hear(self, what: str) -> Any:
        async with self.news:
            await self.news.wait_for(lambda: what in self.said)
            return self.said[what]

    async def has(self, what: str) -> bool:
        return what in self.said


@pytest.fixture
def board(shoal_node: ModuleType) -> Any:
    return Board.remote()


@shoal.remote
def add(*values: int) -> int:
    return sum(values)


@shoal.remote
def sleep(board: Any, name: str = "sleep") -> None:
    board.say.remote(name, os.getpid())  # not waited for: that would lend the CPU to another task
    nap(FOR_EVER_S)


@shoal.remote
def spin(board: Any) -> None:
    board.say.remote("spin", os.getpid())
    while True:
        pass


def hear(board: Any, what: str) -> Any:
    return shoal.get(board.hear.remote(what))


def is_there(pid: int) -> bool:
    return psutil.pid_exists(pid)


def is_cancelled(ref: Any) -> bool:
    with pytest.raises(shoal.TaskCancelledError, match="cancelled"):
        shoal.get(ref)
    return True


def test_a_queued_task_is_not_run(board: Any) -> None:
    busy = [sleep.remote(board, f"busy{i}") for i in range(2)]
    hear(board, "busy0"), hear(board, "busy1")
    queued, later = sleep.remote(board, "queued"), add.remote(1, 2)
    shoal.cancel(queued)
    assert is_cancelled(queued)
    for ref in busy:
        shoal.cancel(ref)
    assert shoal.get(later) == 3
    assert not shoal.get(board.has.remote("queued"))


def test_what_waits_for_a_cancelled_task_gets_its_error(board: Any) -> None:
    first = sleep.remote(board)
    second = add.remote(first, 1)
    third = add.remote(second, 1)
    other = add.remote(first)
    hear(board, "sleep")
    shoal.cancel(second)
    assert is_cancelled(second)
    assert is_cancelled(third)
    assert not shoal.wait([other], timeout=0)[0]
    shoal.cancel(first)
    assert is_cancelled(other)


@pytest.mark.parametrize("task", [sleep, spin])
def test_running_python_is_interrupted_and_its_worker_goes_on(board: Any, task: Any) -> None:
    ref = task.remote(board)
    pid = hear(board, "sleep" if task is sleep else "spin")
    shoal.cancel(ref)
    assert is_cancelled(ref)
    os.kill(pid, 0)
    assert shoal.get([add.remote(i, 1) for i in range(100)]) == list(range(1, 101))


def test_a_nested_get_is_interrupted_and_the_children_are_cancelled(board: Any) -> None:
    @shoal.remote
    def parent() -> None:
        children = [sleep.remote(board, f"child{i}") for i in range(3)]
        shoal.get(children)

    ref = parent.remote()
    hear(board, "child0")
    shoal.cancel(ref)
    assert is_cancelled(ref)
    assert shoal.get([add.remote(i, 1) for i in range(100)]) == list(range(1, 101))


def test_children_live_on_if_they_are_not_meant(board: Any) -> None:
    @shoal.remote
    def child() -> int:
        shoal.get(board.say.remote("child"))
        hear(board, "go")
        shoal.get(board.say.remote("done", 5))
        return 5

    @shoal.remote
    def parent() -> None:
        shoal.get(child.remote())

    ref = parent.remote()
    hear(board, "child")
    shoal.cancel(ref, recursive=False)
    assert is_cancelled(ref)
    board.say.remote("go")
    assert hear(board, "done") == 5


def test_a_task_that_swallows_the_interrupt_is_cancelled_all_the_same(board: Any, tmp_path: Path) -> None:
    caught = tmp_path / "caught"

    @shoal.remote
    def stubborn() -> str:
        try:
            shoal.get(board.say.remote("runs"))
            nap(FOR_EVER_S)
        except KeyboardInterrupt:
            while not caught.exists():
                try:
                    caught.touch()
                except KeyboardInterrupt:  # it is repeated when this takes longer than a second
                    continue
        return "a value"

    ref = stubborn.remote()
    hear(board, "runs")
    shoal.cancel(ref)
    assert is_cancelled(ref)
    assert caught.exists()


def test_native_code_is_ended_by_force_and_not_retried(board: Any) -> None:
    @shoal.remote(max_retries=5)
    def native() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGURG})  # as if it were in native code already
        board.say.remote("runs", os.getpid())
        sum(range(10**18))  # never looks for signals

    ref = native.remote()
    pid = hear(board, "runs")
    shoal.cancel(ref)
    assert not shoal.wait([ref], timeout=0.2)[0]
    shoal.cancel(ref, force=1)  # type: ignore[arg-type]
    assert is_cancelled(ref)
    while is_there(pid):
        pass  # until it is reaped
    assert shoal.get([add.remote(i, 1) for i in range(100)]) == list(range(1, 101))


def test_a_task_that_is_over_keeps_its_value(shoal_node: ModuleType) -> None:
    ref = add.remote(1, 2)
    assert shoal.get(ref) == 3
    shoal.cancel(ref)
    shoal.cancel(ref, force=True)
    assert shoal.get(ref) == 3


def test_all_returns_of_a_task_are_cancelled(board: Any) -> None:
    @shoal.remote(num_returns=3)
    def several() -> None:
        shoal.get(board.say.remote("runs"))
        nap(FOR_EVER_S)

    refs = several.remote()
    hear(board, "runs")
    shoal.cancel(refs[1])
    assert all(is_cancelled(ref) for ref in refs)


def test_whoever_has_the_ref_may_cancel(board: Any) -> None:
    @shoal.remote
    def end(refs: list[Any]) -> None:
        shoal.cancel(refs[0])

    ref = sleep.remote(board)
    hear(board, "sleep")
    shoal.get(end.remote([ref]))
    assert is_cancelled(ref)


def test_await_of_a_cancelled_task_raises(board: Any) -> None:
    async def main() -> None:
        ref = sleep.remote(board)
        await board.hear.remote("sleep")
        shoal.cancel(ref)
        with pytest.raises(shoal.TaskCancelledError):
            await ref

    asyncio.run(main())


def test_a_task_that_no_node_can_run_is_cancelled(shoal_node: ModuleType) -> None:
    with pytest.warns(shoal.InfeasibleResourcesWarning):
        refs = [add.options(num_cpus=64).remote(i) for i in range(3)]
    for ref in refs:
        shoal.cancel(ref)
    assert all(is_cancelled(ref) for ref in refs)
    assert shoal.get(add.options(num_cpus=2).remote(1, 2)) == 3


def test_a_stopped_worker_delays_its_own_task_alone(board: Any) -> None:
    ref = sleep.remote(board)
    worker = psutil.Process(hear(board, "sleep"))
    worker.suspend()
    try:
        shoal.cancel(ref)
        assert shoal.get([add.remote(i, 1) for i in range(100)]) == list(range(1, 101))
        assert not shoal.wait([ref], timeout=0)[0]
    finally:
        worker.resume()
    assert is_cancelled(ref)


def test_what_is_no_task_is_refused_at_once(shoal_node: ModuleType) -> None:
    with pytest.raises(shoal.InvalidReferenceError, match="made by put"):
        shoal.cancel(shoal.put(1))
    with pytest.raises(TypeError, match="not int"):
        shoal.cancel(1)  # type: ignore[arg-type]


# -- actors


@shoal.remote
class Log:
    """Says what was called, in order."""

    def __init__(self, board: Any) -> None:
        self.board = board
        self.calls: list[int] = []

    def call(self, number: int) -> int:
        self.calls.append(number)
        return number

    def until_cancelled(self) -> str:
        shoal.get(self.board.say.remote("runs"))
        while not shoal.get_runtime_context().is_canceled():
            nap(0.001)
        self.calls.append(-1)
        return "a value"

    def all_calls(self) -> list[int]:
        return self.calls


def test_a_queued_call_is_removed_and_the_others_keep_their_order(board: Any) -> None:
    log = Log.remote(board)
    first = log.until_cancelled.remote()
    hear(board, "runs")
    refs = [log.call.remote(i) for i in range(6)]
    shoal.cancel(refs[1])
    shoal.cancel(refs[4])
    assert is_cancelled(refs[1])
    assert is_cancelled(refs[4])
    shoal.cancel(first)
    assert shoal.get(log.all_calls.remote()) == [-1, 0, 2, 3, 5]
    assert is_cancelled(first)
    assert shoal.get([refs[i] for i in (0, 2, 3, 5)]) == [0, 2, 3, 5]


def test_a_call_that_waits_for_an_argument_lets_the_later_ones_go(board: Any) -> None:
    log = Log.remote(board)
    missing = sleep.remote(board)
    waiting, later = log.call.remote(missing), [log.call.remote(i) for i in range(3)]
    hear(board, "sleep")
    assert not shoal.wait(later, timeout=0)[0]
    shoal.cancel(waiting)
    assert shoal.get(later) == [0, 1, 2]
    assert is_cancelled(waiting)
    shoal.cancel(missing)


def test_a_threaded_actor_asks_whether_it_is_cancelled(board: Any) -> None:
    log = Log.options(max_concurrency=2).remote(board)
    ref = log.until_cancelled.remote()
    hear(board, "runs")
    assert shoal.get(log.call.remote(7)) == 7
    shoal.cancel(ref)
    assert is_cancelled(ref)
    assert shoal.get(log.all_calls.remote()) == [7, -1]


@shoal.remote
class Loop:
    """An asyncio actor."""

    def __init__(self, board: Any) -> None:
        self.board = board

    async def sleep(self, name: str) -> str:
        try:
            await self.board.say.remote(name)
            await asyncio.sleep(FOR_EVER_S)
        except asyncio.CancelledError:
            await self.board.say.remote(f"{name} was cancelled")
            raise
        return "a value"

    async def hello(self) -> str:
        return "hello"


def test_a_call_of_an_asyncio_actor_is_cancelled_alone(board: Any) -> None:
    loop = Loop.remote(board)
    one, two = loop.sleep.remote("one"), loop.sleep.remote("two")
    hear(board, "one"), hear(board, "two")
    shoal.cancel(one)
    assert is_cancelled(one)
    hear(board, "one was cancelled")
    assert shoal.get(loop.hello.remote()) == "hello"
    assert not shoal.wait([two], timeout=0)[0]
    shoal.cancel(two)
    assert is_cancelled(two)


def test_force_is_refused_for_an_actors_call(board: Any) -> None:
    loop = Loop.remote(board)
    ref = loop.sleep.remote("one")
    hear(board, "one")
    with pytest.raises(ValueError, match="kill"):
        shoal.cancel(ref, force=True)
    assert shoal.get(loop.hello.remote()) == "hello"


def test_calls_of_actors_are_children_too(board: Any) -> None:
    loop = Loop.remote(board)

    @shoal.remote
    def parent() -> None:
        shoal.get(loop.sleep.remote("one"))

    ref = parent.remote()
    hear(board, "one")
    shoal.cancel(ref, force=True)
    hear(board, "one was cancelled")
    assert is_cancelled(ref)
    assert shoal.get(loop.hello.remote()) == "hello"


def test_is_canceled_is_a_question_about_a_task(shoal_node: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="inside a task"):
        shoal.get_runtime_context().is_canceled()

    @shoal.remote
    def ask() -> bool:
        return shoal.get_runtime_context().is_canceled()

    assert shoal.get(ask.remote()) is False


def test_nothing_is_left_behind(board: Any, tmp_path: Path) -> None:
    from shoal import runtime

    refs = [sleep.remote(board, f"task{i}") for i in range(50)]
    for ref in refs:
        shoal.cancel(ref)
    assert all(is_cancelled(ref) for ref in refs)
    del refs, ref
    calls = runtime.connected().calls
    while True:  # the repair thread releases what the tasks held
        counters = calls.counters()
        if counters["live_slots"] == 0 and counters["live_waiters"] == 0 and counters["live_entries"] <= 1:
            break
    assert counters["quarantined"] == 0
