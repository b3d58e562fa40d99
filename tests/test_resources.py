# SPDX-License-Identifier: Apache-2.0
"""Who waits for resources that are not there holds up nobody whose are."""

from collections.abc import Iterator
from types import ModuleType

import pytest

import shoal

N_WAITING = 300
WAIT_S = 60.0


@pytest.fixture
def node() -> Iterator[ModuleType]:
    with shoal.init(num_cpus=2, resources={"slot": 1, "door": 1}):
        yield shoal


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
