# SPDX-License-Identifier: Apache-2.0
"""References in calls: queued, waiting, failed and cut short; in functions, exceptions and actors."""

import asyncio
import os
import signal
from typing import Any

import numpy as np
import pytest

import shoal

from .conftest import await_held, held

pytestmark = pytest.mark.usefixtures("before")

LARGE = 10_000  # elements of an array that the store holds apart


def large(n: int) -> Any:
    return shoal.put(np.full(LARGE, n))


@shoal.remote
def first_of(refs: Any) -> int:
    return int(shoal.get(refs[0])[0])


class Carrier(Exception):
    """An error that refers to objects, by its args and by an attribute."""

    def __init__(self, text: str, ref: Any) -> None:
        super().__init__(text, ref)
        self.more = {"refs": [ref]}


@shoal.remote(max_retries=0)
def fail_with(refs: Any) -> None:
    error = Carrier("no", refs[0])
    error.more["made"] = large(7)
    raise error


@shoal.remote
class Keeper:
    """Keeps what it is given."""

    def __init__(self, *kept: Any) -> None:
        self.kept = list(kept)

    def keep(self, value: Any) -> int:
        self.kept.append(value)
        return len(self.kept)

    def give(self, n: int) -> Any:
        return self.kept[n]

    def pass_on(self, others: list[Any], value: Any) -> Any:
        """Through all others, then back."""
        if not others:
            return [value]
        return shoal.get(others[0].pass_on.remote(others[1:], value))

    def fail(self) -> None:
        raise Carrier("kept", self.kept[0])

    def leave(self) -> None:
        shoal.exit_actor()

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


# -- tasks


def test_queued_tasks_hold_their_arguments(before: dict[str, float]) -> None:
    results = [first_of.remote([large(n)]) for n in range(100)]
    assert shoal.get(results) == list(range(100))
    del results
    await_held(before)


def test_waiting_tasks_hold_their_arguments() -> None:
    slow = Keeper.remote()
    gate = first_of.remote([large(3)])
    results = [Keeper.remote(gate).keep.remote([large(n), gate]) for n in range(3)]
    assert shoal.get(results) == [2, 2, 2]
    del slow


def test_tasks_whose_results_nobody_wants() -> None:
    for n in range(200):
        first_of.remote([large(n)])


def test_tasks_that_die_give_their_arguments_back() -> None:
    @shoal.remote(max_retries=1)
    def die(refs: Any) -> None:
        shoal.get(refs)
        shoal.put(refs)
        os.kill(os.getpid(), signal.SIGKILL)

    for n in range(3):
        with pytest.raises(shoal.WorkerCrashedError):
            shoal.get(die.remote([large(n)]))


# -- errors


def test_errors_hold_what_they_refer_to(before: dict[str, float]) -> None:
    result = fail_with.remote([large(5)])
    with pytest.raises(Carrier) as caught:
        shoal.get(result)
    del result
    error: Any = caught.value
    del caught
    assert held()["live_bytes"] > before["live_bytes"]
    assert int(shoal.get(error.args[1])[0]) == 5
    assert int(shoal.get(error.cause.more["made"])[0]) == 7
    assert error.more["refs"] == [error.args[1]]
    del error
    await_held(before)


def test_errors_that_pass_through_tasks_and_values() -> None:
    @shoal.remote
    def ask(result: Any) -> Any:
        return shoal.get(result[0])

    @shoal.remote
    def never(value: Any) -> None:
        raise AssertionError("its argument is an error")

    result = fail_with.remote([large(5)])
    for chained in (ask.remote([result]), ask.remote([ask.remote([result])]), never.remote(result)):
        with pytest.raises(Carrier) as caught:
            shoal.get(chained)
        assert int(shoal.get(caught.value.args[1])[0]) == 5
    value = shoal.get(shoal.put({"error": caught.value}))
    del caught, chained, result
    assert int(shoal.get(value["error"].args[1])[0]) == 5


def test_many_returns_of_a_task_that_fails() -> None:
    @shoal.remote(num_returns=5, max_retries=0)
    def fail() -> None:
        raise Carrier("five times", large(9))

    for result in fail.remote():
        with pytest.raises(Carrier) as caught:
            shoal.get(result)
        assert int(shoal.get(caught.value.args[1])[0]) == 9
    del caught, result


def test_an_error_that_refers_to_its_arguments_and_does_not_pickle() -> None:
    @shoal.remote(max_retries=0)
    def fail(refs: Any) -> None:
        error = Carrier("odd", refs[0])
        error.more["lock"] = (value for value in refs)
        raise error

    with pytest.raises(shoal.TaskError):
        shoal.get(fail.remote([large(1)]))
    with pytest.raises(shoal.SerializationError, match="generator"):
        shoal.put([large(1), (n for n in range(3))])
    with pytest.raises(shoal.SerializationError, match="generator"):
        first_of.remote([large(1)], (n for n in range(3)))


# -- actors


def test_state_of_an_actor_that_loses_its_last_handle() -> None:
    keeper = Keeper.remote(large(1), [large(2)])
    assert shoal.get(keeper.keep.remote([large(3)])) == 3
    assert int(shoal.get(shoal.get(keeper.give.remote(2))[0])[0]) == 3


@pytest.mark.parametrize("way", ["kill", "leave", "die"])
def test_state_of_an_actor_that_ends(way: str) -> None:
    keeper = Keeper.remote(large(1))
    for n in range(10):
        keeper.keep.remote([large(n)])
    assert shoal.get(keeper.keep.remote(large(3))) == 12
    if way == "kill":
        shoal.kill(keeper)
    else:
        getattr(keeper, way).remote()
    with pytest.raises(shoal.ActorDiedError):
        shoal.get([keeper.keep.remote([large(n)]) for n in range(10)])


def test_errors_of_actors() -> None:
    keeper = Keeper.remote([large(1)])
    with pytest.raises(Carrier) as caught:
        shoal.get(keeper.fail.remote())
    assert int(shoal.get(caught.value.args[1][0])[0]) == 1
    del caught


def test_chains_of_actors_pass_refs_on() -> None:
    keepers = [Keeper.remote() for _ in range(4)]
    ref = large(8)
    (back,) = shoal.get(keepers[0].pass_on.remote(keepers[1:], [ref]))
    assert back == [ref]
    assert shoal.get([keeper.keep.remote([ref]) for keeper in keepers]) == [1] * 4


def test_a_handle_inside_an_object_keeps_its_actor() -> None:
    box = shoal.put([shoal.put({"keeper": Keeper.remote(large(4))})])
    (inner,) = shoal.get(box)
    del box
    keeper = shoal.get(inner)["keeper"]
    del inner
    assert int(shoal.get(keeper.give.remote(0))[0]) == 4
    method = keeper.keep
    del keeper
    assert shoal.get(method.remote(1)) == 2


def test_actors_that_hold_each_other_end_with_the_job_or_by_hand() -> None:
    one, other = Keeper.remote(), Keeper.remote()
    shoal.get([one.keep.remote([other]), other.keep.remote([one])])
    shoal.kill(one)  # a cycle: counting alone never ends it


def test_options_of_an_actor_that_refers_to_objects() -> None:
    @shoal.remote
    def start(cls: Any, refs: Any) -> Any:
        return cls.options(name="kept", namespace="lifetimes").remote(refs[0], refs)

    keeper = shoal.get(start.remote(Keeper, [large(6)]))
    again = shoal.get_actor("kept", namespace="lifetimes")
    del keeper
    assert int(shoal.get(shoal.get(again.give.remote(1))[0])[0]) == 6


# -- event loops


def test_cancelled_awaits_let_go(before: dict[str, float]) -> None:
    @shoal.remote
    def slow(ready: Any) -> Any:
        shoal.get(ready[0])
        return np.zeros(LARGE)

    async def give_up(ref: Any) -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(ref, ref), 0.05)

    @shoal.remote
    class Gate:
        async def open(self) -> None:
            self.event.set()

        async def wait(self) -> None:
            await self.event.wait()

        def __init__(self) -> None:
            self.event = asyncio.Event()

    gate = Gate.remote()
    ref = slow.remote([gate.wait.remote()])
    asyncio.run(give_up(ref))
    shoal.get(gate.open.remote())
    shoal.get(ref)
    del ref, gate
    await_held(before)
