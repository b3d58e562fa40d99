# SPDX-License-Identifier: Apache-2.0
"""`as_completed` and `map_unordered`: order, bounds, time-outs, errors."""

from collections.abc import Iterator
from itertools import count
from threading import Thread
from typing import Any

import pytest
from tests.util.gates import Gates, pass_gate

import shoal
from shoal.util import as_completed, map_unordered

pytestmark = pytest.mark.usefixtures("node")

stand = shoal.remote(num_cpus=0)(pass_gate)


@shoal.remote
def invert(x: int) -> float:
    return 1 / x


@shoal.remote
class Adder:
    def add_one(self, x: int) -> int:
        return x + 1


def test_values_come_as_they_are_there(gates: Gates) -> None:
    paths = [gates.new(name) for name in "abc"]
    results = as_completed([stand.remote(path) for path in paths])
    for at in (2, 0, 1):
        gates.open(paths[at])
        assert next(results) == "abc"[at]
    assert list(results) == []


def test_many_values_come_once_each() -> None:
    refs = [invert.remote(n) for n in range(1, 1001)]
    assert sorted(as_completed(refs)) == sorted(1 / n for n in range(1, 1001))


def test_refs_instead_of_values(gates: Gates) -> None:
    refs = [invert.remote(n) for n in (1, 0, 2)]
    assert set(as_completed(refs, yield_obj_refs=True)) == set(refs)


def test_the_error_of_a_task_is_raised_in_its_place() -> None:
    with pytest.raises(ZeroDivisionError):
        list(as_completed([invert.remote(0)]))


def test_a_chunk_is_waited_for(gates: Gates) -> None:
    paths = [gates.new(name) for name in "ab"]
    refs = [stand.remote(path) for path in paths]
    gates.open(paths[0])
    shoal.get(refs[0])
    with pytest.raises(shoal.GetTimeoutError):
        list(as_completed(refs, timeout=0.05))
    results = as_completed(refs, chunk_size=2)
    gates.open(paths[1])
    assert list(results) == ["a", "b"]


def test_the_time_out_is_for_all(gates: Gates) -> None:
    path = gates.new("gate")
    ref = stand.remote(path)
    results = as_completed([shoal.put(1), ref], timeout=0.05)
    assert next(results) == 1
    with pytest.raises(TimeoutError):
        next(results)
    gates.open(path)
    assert shoal.get(ref) == "gate"


def test_no_refs_give_nothing() -> None:
    assert list(as_completed([])) == []


@pytest.mark.parametrize(
    ("refs", "options", "error"),
    [
        (1, {}, TypeError),
        ([1], {}, TypeError),
        ([], {"chunk_size": 0}, ValueError),
        ([], {"timeout": -1}, ValueError),
    ],
)
def test_bad_arguments_are_refused_at_the_call(refs: Any, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        as_completed(refs, **options)


def test_a_ref_that_is_there_twice_is_refused() -> None:
    ref = shoal.put(1)
    with pytest.raises(ValueError, match="twice"):
        as_completed([ref, ref])


def test_map_gives_every_result_once() -> None:
    assert sorted(map_unordered(invert, range(1, 301))) == sorted(1 / n for n in range(1, 301))


def test_map_takes_methods_of_actors() -> None:
    adder = Adder.remote()
    assert sorted(map_unordered(adder.add_one, [1, 2, 3])) == [2, 3, 4]


def test_map_takes_an_endless_iterable_a_bounded_number_at_a_time() -> None:
    taken = []

    def numbers() -> Iterator[int]:
        for n in count(1):
            taken.append(n)
            yield n

    results = map_unordered(invert, numbers(), backpressure_size=5)
    seen = [next(results) for _ in range(20)]
    assert len(set(seen)) == 20
    assert 20 <= len(taken) <= 25


def test_map_without_a_bound_submits_all(gates: Gates) -> None:
    paths = [gates.new(str(n)) for n in range(8)]
    results = map_unordered(stand, paths, backpressure_size=None)
    opener = Thread(target=gates.open, args=(paths[7],))  # calls begin with `next`
    opener.start()
    assert next(results) == "7"
    opener.join()
    for path in paths[:7]:
        gates.open(path)
    assert sorted(results) == list("0123456")


def test_map_gives_refs() -> None:
    refs = list(map_unordered(invert, [1, 0], yield_obj_refs=True))
    assert all(isinstance(ref, shoal.ObjectRef) for ref in refs)
    assert len(refs) == 2


def test_map_refuses_bad_arguments_at_the_call() -> None:
    with pytest.raises(TypeError, match=r"shoal\.remote\(pass_gate\)"):
        map_unordered(pass_gate, [])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        map_unordered(invert, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="backpressure_size"):
        map_unordered(invert, [], backpressure_size=0)
