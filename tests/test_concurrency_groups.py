# SPDX-License-Identifier: Apache-2.0
"""Concurrency groups: each has its own limit, none waits for another, and the order within one is each caller's."""

import asyncio
import gc
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from tests import processes

import shoal

ANSWER_S = 60


pytestmark = pytest.mark.usefixtures("module_node")


@shoal.remote(concurrency_groups={"io": 2, "compute": 1})
class Threads:
    def __init__(self) -> None:
        self.opened = threading.Event()
        self.meeting = threading.Barrier(2)
        self.seen: list[int] = []

    @shoal.method(concurrency_group="io")
    def wait(self) -> str:
        return "opened" if self.opened.wait(ANSWER_S) else "closed"

    @shoal.method(concurrency_group="io")
    def meet(self) -> int:
        return self.meeting.wait(ANSWER_S)

    @shoal.method(concurrency_group="compute")
    def see(self, n: int) -> list[int]:
        self.seen.append(n)
        return list(self.seen)

    def open(self) -> str:
        self.opened.set()
        return shoal.get_runtime_context().get_task_name() or ""

    def leave(self) -> None:
        shoal.exit_actor()

    def pid(self) -> int:
        return os.getpid()


@shoal.remote(concurrency_groups={"io": 2, "compute": 1})
class Coroutines:
    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.n_met = 0
        self.met = asyncio.Event()
        self.seen: list[int] = []

    @shoal.method(concurrency_group="io")
    async def wait(self) -> str:
        await self.opened.wait()
        return "opened"

    @shoal.method(concurrency_group="io")
    async def meet(self) -> int:
        self.n_met += 1
        if self.n_met == 2:
            self.met.set()
        await self.met.wait()
        return 0

    @shoal.method(concurrency_group="compute")
    async def see(self, n: int) -> list[int]:
        await asyncio.sleep(0)
        self.seen.append(n)
        return list(self.seen)

    @shoal.method(concurrency_group="compute")
    def plain(self, n: int) -> list[int]:
        self.seen.append(n)
        return list(self.seen)

    async def open(self) -> str:
        self.opened.set()
        return shoal.get_runtime_context().get_task_name() or ""

    def leave(self) -> None:
        shoal.exit_actor()

    def pid(self) -> int:
        return os.getpid()


BOTH = pytest.mark.parametrize("kind", [Threads, Coroutines])


@BOTH
def test_a_full_group_holds_up_no_other(kind: Any) -> None:
    actor = kind.remote()
    waiting = [actor.wait.remote() for _ in range(5)]  # two of them run
    assert shoal.get([actor.see.remote(n) for n in range(20)], timeout=ANSWER_S)[-1] == list(range(20))
    assert shoal.wait(waiting, timeout=0)[0] == []
    assert shoal.get(actor.open.remote(), timeout=ANSWER_S).endswith(".open")
    assert shoal.get(waiting, timeout=ANSWER_S) == ["opened"] * 5


@BOTH
def test_a_group_lets_as_many_overlap_as_it_says(kind: Any) -> None:
    actor = kind.remote()
    assert sorted(shoal.get([actor.meet.remote() for _ in range(2)], timeout=ANSWER_S)) in ([0, 1], [0, 0])


@BOTH
def test_a_call_may_name_another_group(kind: Any) -> None:
    actor = kind.remote()
    waiting = [actor.wait.remote(), actor.wait.remote()]
    moved = actor.wait.options(concurrency_group="compute").remote()
    behind = actor.see.remote(1)
    assert shoal.wait([behind], timeout=0.1)[0] == []
    beside = actor.see.options(concurrency_group="io").remote(2)
    assert shoal.wait([beside], timeout=0.1)[0] == []
    shoal.get(actor.open.remote(), timeout=ANSWER_S)
    assert shoal.get([*waiting, moved], timeout=ANSWER_S) == ["opened"] * 3
    assert sorted(len(seen) for seen in shoal.get([behind, beside], timeout=ANSWER_S)) == [1, 2]


def test_plain_methods_keep_their_place_among_coroutines() -> None:
    actor = Coroutines.remote()
    refs = [(actor.plain if n % 3 else actor.see).remote(n) for n in range(300)]
    assert shoal.get(refs[-1], timeout=ANSWER_S) == list(range(300))


@BOTH
def test_the_order_of_each_caller_is_kept_within_a_group(kind: Any) -> None:
    @shoal.remote
    def call(actors: list[Any], base: int) -> None:
        shoal.get([actors[0].see.remote(base + n) for n in range(100)])

    actor = kind.remote()
    shoal.get([call.remote([actor], base) for base in (0, 1000)], timeout=ANSWER_S)
    seen = shoal.get(actor.see.remote(-1), timeout=ANSWER_S)
    assert [n for n in seen if 0 <= n < 1000] == list(range(100))
    assert [n for n in seen if n >= 1000] == list(range(1000, 1100))


@BOTH
def test_calls_that_wait_for_their_group_end_before_an_actor_without_handles_does(kind: Any, tmp_path: Path) -> None:
    actor = kind.remote()
    waiting = [actor.wait.remote() for _ in range(6)]
    opened = actor.open.remote()
    del actor
    gc.collect()
    assert shoal.get([*waiting, opened], timeout=ANSWER_S)[:-1] == ["opened"] * 6


@BOTH
def test_exit_actor_fails_what_waits(kind: Any) -> None:
    actor = kind.remote()
    waiting = [actor.wait.remote() for _ in range(4)]
    for ref in [actor.leave.remote(), *waiting, actor.pid.remote()]:
        with pytest.raises(shoal.ActorDiedError, match="exit_actor"):
            shoal.get(ref, timeout=ANSWER_S)


@BOTH
def test_a_call_that_is_cancelled_while_it_waits_does_not_run(kind: Any) -> None:
    actor = kind.remote()
    waiting = [actor.wait.remote(), actor.wait.options(concurrency_group="compute").remote()]
    cancelled, kept = actor.see.remote(1), actor.see.remote(2)
    assert shoal.wait([cancelled, kept], timeout=0.1)[0] == []
    shoal.cancel(cancelled)
    if kind is Coroutines:
        with pytest.raises(shoal.TaskCancelledError):
            shoal.get(cancelled, timeout=ANSWER_S)
    shoal.get(actor.open.remote(), timeout=ANSWER_S)
    assert shoal.get(kept, timeout=ANSWER_S) == [2]
    with pytest.raises(shoal.TaskCancelledError):
        shoal.get(cancelled, timeout=ANSWER_S)
    assert shoal.get(waiting, timeout=ANSWER_S) == ["opened"] * 2


@BOTH
def test_groups_are_there_again_after_a_restart(kind: Any) -> None:
    actor = kind.options(max_restarts=1, max_task_retries=1).remote()
    pid = shoal.get(actor.pid.remote())
    waiting = [actor.wait.remote() for _ in range(4)]
    assert shoal.get(actor.see.remote(1), timeout=ANSWER_S) == [1]
    processes.kill(pid)
    assert shoal.get(actor.see.remote(2), timeout=ANSWER_S) == [2]
    shoal.get(actor.open.remote(), timeout=ANSWER_S)
    assert shoal.get(waiting, timeout=ANSWER_S) == ["opened"] * 4


def test_unknown_groups_and_bad_limits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'gpu'.*io, compute"):
        Threads.remote().wait.options(concurrency_group="gpu")
    with pytest.raises(ValueError, match=r"Threads\.meet.*'io'.*none"):
        Threads.options(concurrency_groups={}).remote()
    with pytest.raises(ValueError, match="at least 1"):
        Threads.options(concurrency_groups={"io": 0})
    with pytest.raises(TypeError, match="dict"):
        Threads.options(concurrency_groups=["io"])
    with pytest.raises(TypeError, match="string"):
        Threads.options(concurrency_groups={1: 1})
    with pytest.raises(TypeError, match="concurrency_group"):
        shoal.method(concurrency_group=1)
