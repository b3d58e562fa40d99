# SPDX-License-Identifier: Apache-2.0
"""Who waits for resources that are not there holds up nobody whose are."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

import shoal

N_WAITING = 300
WAIT_S = 60.0


@pytest.fixture
def node() -> Iterator[ModuleType]:
    with shoal.init(num_cpus=2, resources={"slot": 1, "door": 1}):
        yield shoal


@shoal.remote
def echo(n: int) -> int:
    return n


@shoal.remote
def hold(started: str, gate: str) -> None:
    with open(started, "w"), open(gate):  # until somebody writes to it
        pass


@shoal.remote(num_cpus=0)
class Actor:
    def answer(self) -> str:
        return "here"


@shoal.remote(num_cpus=0)
def twice(n: int) -> int:
    return 2 * n


def start(resource: str) -> "shoal.ActorHandle[Actor]":
    actor = Actor.options(resources={resource: 1}).remote()
    assert shoal.get(actor.answer.remote(), timeout=WAIT_S) == "here"
    return actor


def n_ready(refs: list["shoal.ObjectRef[int]"]) -> int:
    return len(shoal.wait(refs, num_returns=len(refs), timeout=0)[0])


def test_hundreds_of_actors_that_must_wait_hold_up_nobody(node: ModuleType) -> None:
    slot, door = start("slot"), start("door")
    waiting = [Actor.options(resources={"slot": 1}).remote() for _ in range(N_WAITING)]
    late = Actor.options(resources={"door": 1}).remote()
    shoal.kill(door)
    assert shoal.get(late.answer.remote(), timeout=WAIT_S) == "here"
    shoal.kill(late)
    assert shoal.get(twice.options(resources={"door": 1}).remote(4), timeout=WAIT_S) == 8
    assert shoal.wait([waiting[-1].answer.remote()], timeout=0)[0] == []
    shoal.kill(slot)
    assert shoal.get(waiting[0].answer.remote(), timeout=WAIT_S) == "here"  # who came first is first


def test_hundreds_of_demands_of_tasks_that_must_wait_hold_up_nobody(node: ModuleType) -> None:
    slot, door = start("slot"), start("door")
    waiting = [twice.options(resources={"slot": (n + 1) / 1000}).remote(n) for n in range(N_WAITING)]
    late = Actor.options(resources={"door": 1}).remote()
    shoal.kill(door)
    assert shoal.get(late.answer.remote(), timeout=WAIT_S) == "here"
    shoal.kill(late)
    assert shoal.get(twice.options(resources={"door": 1}).remote(4), timeout=WAIT_S) == 8
    assert n_ready(waiting) == 0
    shoal.kill(slot)
    assert shoal.get(waiting, timeout=WAIT_S) == [2 * n for n in range(N_WAITING)]


@contextmanager
def one_cpu_in_use(folder: Path) -> Iterator[None]:
    """A task runs that needs one, until the end."""
    started, gate = folder / "started", folder / "gate"
    os.mkfifo(gate)
    ref = hold.remote(str(started), str(gate))
    while not started.exists():
        pass
    try:
        yield
    finally:
        gate.write_text("")
        shoal.get(ref, timeout=WAIT_S)


def test_an_actor_that_waits_for_the_cpus_of_another_leaves_the_rest_to_tasks(node: ModuleType) -> None:
    holder = Actor.options(num_cpus=1).remote()
    assert shoal.get(holder.answer.remote(), timeout=WAIT_S) == "here"
    both = Actor.options(num_cpus=2).remote()
    assert shoal.get([echo.remote(n) for n in range(100)], timeout=WAIT_S) == list(range(100))
    assert shoal.wait([both.answer.remote()], timeout=0)[0] == []
    shoal.kill(holder)
    assert shoal.get(both.answer.remote(), timeout=WAIT_S) == "here"


def test_cpus_that_were_collected_for_an_actor_that_was_killed_are_for_tasks(node: ModuleType, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", shoal.InfeasibleResourcesWarning)
        never = Actor.options(resources={"nothing": 1}).remote()
    with one_cpu_in_use(tmp_path):
        both = Actor.options(num_cpus=2).remote()
        assert shoal.wait([both.answer.remote()], timeout=0.2)[0] == []  # meanwhile the other CPU is set aside
        shoal.kill(both)
        assert shoal.get([echo.remote(n) for n in range(100)], timeout=WAIT_S) == list(range(100))
        assert shoal.wait([never.answer.remote()], timeout=0)[0] == []


def test_who_needs_no_cpu_passes_an_actor_that_waits_for_them(node: ModuleType, tmp_path: Path) -> None:
    door = start("door")
    with one_cpu_in_use(tmp_path):
        both = Actor.options(num_cpus=2).remote()
        late = Actor.options(resources={"door": 1}).remote()
        assert shoal.wait([both.answer.remote(), late.answer.remote()], timeout=0.2)[0] == []
        shoal.kill(door)
        assert shoal.get(late.answer.remote(), timeout=WAIT_S) == "here"
        shoal.kill(late)
        assert shoal.get(twice.options(resources={"door": 1}).remote(4), timeout=WAIT_S) == 8
        assert shoal.wait([both.answer.remote()], timeout=0)[0] == []
    assert shoal.get(both.answer.remote(), timeout=WAIT_S) == "here"
