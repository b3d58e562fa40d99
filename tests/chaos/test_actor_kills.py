# SPDX-License-Identifier: Apache-2.0
"""Actors are killed: pending and later calls say so, names are free again, and nothing of them stays."""

import os
import random
import signal
from collections.abc import Callable
from typing import Any

import pytest
from tests import processes

import shoal

from .census import Census, await_until, pause, workers
from .limits import within

ANSWER_S = 10.0


@shoal.remote
class Counter:
    def __init__(self, start: int = 0) -> None:
        self.n = start

    def add(self, n: int = 1) -> int:
        self.n += n
        return self.n

    def pid(self) -> int:
        return os.getpid()

    def block(self) -> None:
        signal.pause()

    def keep(self, value: Any) -> None:
        self.kept = value

    def call(self, box: list[Any]) -> int:
        return int(shoal.get(box[0].add.remote()))


def assert_dead(refs: list["shoal.ObjectRef[Any]"]) -> list[shoal.ActorDiedError]:
    """Each of the calls ends in time in ActorDiedError."""
    errors = []
    for ref in refs:
        with pytest.raises(shoal.ActorDiedError) as caught:
            shoal.get(ref, timeout=within(ANSWER_S))
        errors.append(caught.value)
    return errors


@pytest.mark.parametrize("way", ["kill", "SIGKILL", "SIGSEGV"])
def test_pending_and_later_calls_say_that_the_actor_died(census: Census, dice: random.Random, way: str) -> None:
    for _ in range(5):
        actor = Counter.remote()
        pid = shoal.get(actor.pid.remote())
        pending = [actor.block.remote(), *(actor.add.remote() for _ in range(dice.randrange(200)))]
        pause(dice.random() * 0.01)
        if way == "kill":
            shoal.kill(actor)
        else:
            os.kill(pid, getattr(signal, way))
        errors = assert_dead(pending) + assert_dead([actor.add.remote() for _ in range(20)])
        if way == "kill":
            assert all("kill" in str(error) for error in errors)
        else:
            assert all(way in str(error) and str(pid) in str(error) for error in errors), errors[0]


def test_calls_submitted_while_the_actor_dies_end_in_a_value_or_an_error(
    census: Census, dice: random.Random, pick: Callable[[int, int], int]
) -> None:
    for _ in range(pick(15, 200)):
        actor = Counter.remote()
        pid = shoal.get(actor.pid.remote())
        refs = []
        kill_at = dice.randrange(300)
        for n in range(300):
            if n == kill_at:
                os.kill(pid, signal.SIGKILL)
            refs.append(actor.add.remote())
        values = []
        for ref in refs:
            try:
                values.append(shoal.get(ref, timeout=within(ANSWER_S)))
            except shoal.ActorDiedError:
                break
        assert values == list(range(1, len(values) + 1))
        assert_dead(refs[len(values) :])


def test_a_name_is_free_once_its_actor_is_dead(census: Census, pick: Callable[[int, int], int]) -> None:
    for n in range(pick(20, 200)):
        actor = Counter.options(name="the one").remote(n)
        assert shoal.get(shoal.get_actor("the one").add.remote()) == n + 1
        if n % 2:
            shoal.kill(actor)
        else:
            processes.kill(shoal.get(actor.pid.remote()))
            assert_dead([actor.add.remote()])
        with pytest.raises(shoal.ActorNotFoundError):
            shoal.get_actor("the one")


def test_handles_in_containers_outlive_their_first_holder_and_not_the_actor(census: Census) -> None:
    actor, other = Counter.remote(), Counter.remote(10)
    assert shoal.get(other.call.remote([actor])) == 1
    box = shoal.put({"deep": [actor]})
    shoal.get(other.keep.remote({"actor": actor}))
    del actor
    again = shoal.get(box)["deep"][0]
    assert shoal.get(other.call.remote([again])) == 2
    shoal.kill(again)
    assert_dead([again.add.remote()])
    with pytest.raises(shoal.ActorDiedError):
        shoal.get(other.call.remote([again]), timeout=within(ANSWER_S))
    assert_dead([shoal.get(box)["deep"][0].add.remote()])


def test_an_actor_killed_while_it_waits_for_another(census: Census) -> None:
    blocked, waiter = Counter.remote(), Counter.remote()
    shoal.get(blocked.add.remote())

    @shoal.remote
    def wait_for(box: list[Any]) -> None:
        shoal.get(box[0].block.remote())

    waiting = waiter.call.remote([blocked])
    shoal.get(waiting)
    tasks = [wait_for.remote([blocked]) for _ in range(4)]
    pause(0.1)
    shoal.kill(blocked)
    for task in tasks:
        with pytest.raises(shoal.ActorDiedError):
            shoal.get(task, timeout=within(ANSWER_S))


def test_cycles_of_creation_and_kill_leave_nothing(
    census: Census, dice: random.Random, pick: Callable[[int, int], int]
) -> None:
    for n in range(pick(200, 2_000) // 10):
        actors = [Counter.remote(n) for _ in range(10)]
        calls = [actor.add.remote() for actor in actors if dice.random() < 0.8]
        if dice.random() < 0.7:
            assert shoal.get(calls) == [n + 1] * len(calls)
        for actor in actors:
            if dice.random() < 0.8:
                shoal.kill(actor)
        del actor, actors, calls
    assert await_until(lambda: len(workers()) < 100)  # the dead take a moment to go
