# SPDX-License-Identifier: Apache-2.0
"""`ActorPool`: order, errors, dead actors, dropped calls."""

import os
from threading import Thread
from typing import Any

import pytest
from tests.util.gates import Gates, pass_gate

import shoal
from shoal.util import ActorPool

pytestmark = pytest.mark.usefixtures("node")


@shoal.remote
class Doubler:
    def double(self, value: int) -> int:
        return 2 * value

    @shoal.method(num_returns=2)
    def pair(self, value: int) -> tuple[int, int]:
        return value, -value

    def invert(self, value: int) -> float:
        return 1 / value

    def stand(self, path: str) -> str:
        return pass_gate(path)

    def die(self, value: int) -> None:
        os._exit(3)

    def ask(self, others: list[Any]) -> Any:
        return shoal.get(others[0].pid.remote())

    def pid(self, _: object = None) -> int:
        return os.getpid()


def double(actor: Any, value: int) -> Any:
    return actor.double.remote(value)


def stand(actor: Any, path: str) -> Any:
    return actor.stand.remote(path)


def pool_of(n: int) -> ActorPool[Any]:
    return ActorPool([Doubler.remote() for _ in range(n)])


def test_map_keeps_the_order_of_the_values() -> None:
    assert list(pool_of(3).map(double, range(50))) == [2 * n for n in range(50)]


def test_map_unordered_gives_every_result_once() -> None:
    assert sorted(pool_of(3).map_unordered(double, range(50))) == [2 * n for n in range(50)]


def test_unordered_results_come_as_calls_end(gates: Gates) -> None:
    slow, fast = gates.new("slow"), gates.new("fast")
    results = pool_of(2).map_unordered(stand, [slow, fast])
    gates.open(fast)
    assert next(results) == "fast"
    gates.open(slow)
    assert list(results) == ["slow"]


def test_waiting_for_the_first_keeps_the_other_actor_at_work(gates: Gates) -> None:
    slow, other, last = (gates.new(name) for name in ("slow", "other", "last"))
    pool = pool_of(2)
    for path in (slow, other, last):
        pool.submit(stand, path)
    opener = Thread(target=lambda: [gates.open(path) for path in (other, last, slow)])  # `last` before `slow`
    opener.start()
    assert [pool.get_next() for _ in range(3)] == ["slow", "other", "last"]
    opener.join()


def test_submit_and_get_next() -> None:
    pool = pool_of(2)
    assert not pool.has_next()
    for n in range(5):
        pool.submit(double, n)
    assert pool.has_next()
    assert [pool.get_next() for _ in range(5)] == [0, 2, 4, 6, 8]
    assert not pool.has_next()
    with pytest.raises(StopIteration):
        pool.get_next()
    with pytest.raises(StopIteration):
        pool.get_next_unordered()


def test_ordered_and_unordered_may_be_mixed() -> None:
    pool = pool_of(2)
    for n in range(6):
        pool.submit(double, n)
    results = []
    while pool.has_next():
        results.append(pool.get_next_unordered() if len(results) % 2 else pool.get_next())
    assert sorted(results) == [0, 2, 4, 6, 8, 10]


def test_a_call_with_several_returns_gives_a_list() -> None:
    pool = pool_of(2)
    assert list(pool.map(lambda actor, value: actor.pair.remote(value), [1, 2, 3])) == [[1, -1], [2, -2], [3, -3]]


def test_a_ref_that_two_calls_share_ends_both() -> None:
    ref = shoal.put("shared")
    assert list(pool_of(1).map(lambda actor, value: ref, range(3))) == ["shared"] * 3


def test_an_error_stands_in_the_place_of_its_result_and_the_rest_follows() -> None:
    results = pool_of(1).map(lambda actor, value: actor.invert.remote(value), [1, 0, 2])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == [0.5]


def test_a_time_out_leaves_the_call(gates: Gates) -> None:
    pool, path = pool_of(1), gates.new("gate")
    pool.submit(stand, path)
    for get_next in (pool.get_next, pool.get_next_unordered):
        with pytest.raises(TimeoutError):
            get_next(timeout=0)
    gates.open(path)
    assert pool.get_next() == "gate"


@pytest.mark.parametrize("method", ["get_next", "get_next_unordered"])
def test_a_call_that_was_dropped_keeps_its_actor_until_it_is_over(gates: Gates, method: str) -> None:
    pool, path = pool_of(1), gates.new("gate")
    pool.submit(stand, path)
    with pytest.raises(TimeoutError):
        getattr(pool, method)(timeout=0, ignore_if_timedout=True)
    assert not pool.has_next()
    assert not pool.has_free()
    pool.submit(double, 4)
    gates.open(path)
    assert pool.get_next() == 8


def test_a_waiting_call_can_be_dropped(gates: Gates) -> None:
    pool, path = pool_of(1), gates.new("gate")
    pool.submit(stand, path)
    pool.submit(double, 1)
    gates.open(path)
    assert pool.get_next() == "gate"
    assert pool.get_next() == 2


def test_map_drops_what_was_submitted_before(gates: Gates) -> None:
    pool, path = pool_of(1), gates.new("gate")
    for _ in range(3):
        pool.submit(stand, path)
    results = pool.map(double, [1, 2])
    gates.open(path)
    assert list(results) == [2, 4]


def test_a_dead_actor_is_left_out_and_the_others_go_on() -> None:
    pool = pool_of(2)
    pool.submit(lambda actor, value: actor.die.remote(value), 0)
    for n in range(10):
        pool.submit(double, n)
    with pytest.raises(shoal.ActorDiedError):
        pool.get_next()
    assert [pool.get_next() for _ in range(10)] == [2 * n for n in range(10)]


def test_an_actor_whose_call_met_a_dead_one_is_not_dead_itself() -> None:
    other = Doubler.remote()
    shoal.get(other.pid.remote())
    shoal.kill(other)
    pool = pool_of(1)
    pool.submit(lambda actor, value: actor.ask.remote(value), [other])
    pool.submit(double, 1)
    with pytest.raises(shoal.ActorDiedError):
        pool.get_next()
    assert pool.get_next() == 2


def test_an_interrupt_while_a_call_is_sent_loses_no_call() -> None:
    attempts = []

    def interrupted(actor: Any, value: int) -> Any:
        attempts.append(value)
        if len(attempts) == 1:
            raise KeyboardInterrupt
        return double(actor, value)

    pool = pool_of(1)
    pool.submit(double, 1)
    pool.submit(interrupted, 2)
    with pytest.raises(KeyboardInterrupt):
        pool.get_next()
    assert [pool.get_next(), pool.get_next()] == [2, 4]


def test_without_a_living_actor_each_waiting_call_says_so() -> None:
    pool = pool_of(1)
    pool.submit(lambda actor, value: actor.die.remote(value), 0)
    pool.submit(double, 1)
    for _ in range(2):
        with pytest.raises(shoal.ActorDiedError):
            pool.get_next()
    pool.push(Doubler.remote())
    pool.submit(double, 2)
    assert pool.get_next_unordered() == 4


def test_actors_can_be_taken_out_and_put_back() -> None:
    pool = pool_of(1)
    actor = pool.pop_idle()
    assert actor is not None
    assert pool.pop_idle() is None
    assert not pool.has_free()
    pool.submit(double, 1)
    with pytest.raises(ValueError, match="push"):
        pool.get_next()
    pool.push(actor)
    assert pool.get_next() == 2
    assert pool.pop_idle() == actor


def test_a_busy_actor_is_not_taken_out_and_not_taken_twice(gates: Gates) -> None:
    actor, path = Doubler.remote(), gates.new("gate")
    pool = ActorPool([actor])
    with pytest.raises(ValueError, match="already"):
        pool.push(actor)
    pool.submit(stand, path)
    assert pool.pop_idle() is None
    with pytest.raises(ValueError, match="already"):
        pool.push(actor)
    gates.open(path)
    assert pool.get_next() == "gate"


def test_what_the_function_raises_belongs_to_its_call() -> None:
    def bad(actor: Any, value: int) -> Any:
        raise KeyError(value)

    pool = pool_of(1)
    with pytest.raises(KeyError):
        pool.submit(bad, 1)  # the actor was free: at once
    pool.submit(double, 2)
    pool.submit(bad, 3)
    assert pool.get_next() == 4
    with pytest.raises(KeyError):
        pool.get_next()
    assert pool.has_free()


def test_bad_arguments_are_refused() -> None:
    pool = pool_of(1)
    with pytest.raises(TypeError, match="handles"):
        ActorPool([1])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="function"):
        pool.submit(3, 1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ObjectRef"):
        pool.submit(lambda actor, value: value, 1)
    assert pool.has_free()
