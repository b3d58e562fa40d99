# SPDX-License-Identifier: Apache-2.0
"""`multiprocessing.Pool` over actors: the standard library's interface, and an end to its hangs."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from itertools import count

import pytest
from tests.util.gates import Gates, pass_gate

import shoal
from shoal.util.multiprocessing import Pool

pytestmark = pytest.mark.usefixtures("node")


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(2) as made:
        yield made


def add(a: int, b: int = 1) -> int:
    return a + b


def invert(x: int) -> float:
    return 1 / x


def pid(_: object = None) -> int:
    return os.getpid()


def set_variable(value: str) -> None:
    os.environ["SHOAL_TEST_POOL"] = value


def die(_: object = None) -> None:
    os._exit(4)


def test_apply(pool: Pool) -> None:
    assert pool.apply(add, (1,), {"b": 4}) == 5
    result = pool.apply_async(add, [2])
    assert result.get(timeout=60) == 3
    assert result.ready()
    assert result.successful()
    with pytest.raises(ZeroDivisionError):
        pool.apply(invert, (0,))
    failed = pool.apply_async(invert, (0,))
    failed.wait()
    assert not failed.successful()


def test_map(pool: Pool) -> None:
    assert pool.map(add, range(101)) == list(range(1, 102))
    assert pool.map(add, iter(range(7)), chunksize=2) == list(range(1, 8))
    assert pool.map(add, []) == []
    assert pool.starmap(add, [(1, 2), (3, 4)]) == [3, 7]
    assert pool.map(lambda n: n * 2, range(5)) == [0, 2, 4, 6, 8]
    with pytest.raises(ZeroDivisionError):
        pool.map(invert, [1, 0, 2])


def test_imap(pool: Pool) -> None:
    assert list(pool.imap(add, range(25), chunksize=4)) == list(range(1, 26))
    assert sorted(pool.imap_unordered(add, range(25))) == list(range(1, 26))
    endless = pool.imap(add, count())
    assert [next(endless) for _ in range(30)] == list(range(1, 31))


def test_imap_goes_on_behind_an_error(pool: Pool) -> None:
    results = pool.imap(invert, [1, 0, 2])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(results) == [0.5]


def test_unordered_results_come_as_they_are_there(pool: Pool, gates: Gates) -> None:
    slow, fast = gates.new("slow"), gates.new("fast")
    results = pool.imap_unordered(pass_gate, [slow, fast])
    gates.open(fast)
    assert results.next(timeout=60) == "fast"
    with pytest.raises(multiprocessing.TimeoutError):
        results.next(timeout=0.01)
    gates.open(slow)
    assert list(results) == ["slow"]


def test_time_outs_are_those_of_multiprocessing(pool: Pool, gates: Gates) -> None:
    path = gates.new("gate")
    result = pool.apply_async(pass_gate, (path,))
    assert not result.ready()
    with pytest.raises(multiprocessing.TimeoutError):
        result.get(timeout=0.01)
    with pytest.raises(ValueError, match="not ready"):
        result.successful()
    gates.open(path)
    assert result.get() == "gate"


def test_callbacks_get_the_value_or_the_error(pool: Pool) -> None:
    told: list[object] = []
    done = threading.Semaphore(0)

    def tell(outcome: object) -> None:
        told.append(outcome)
        done.release()

    pool.map_async(add, range(10), callback=tell)
    assert done.acquire(timeout=60)
    pool.apply_async(add, (1,), callback=tell)
    assert done.acquire(timeout=60)
    pool.map_async(add, [], callback=tell)
    assert done.acquire(timeout=60)
    pool.apply_async(invert, (0,), error_callback=tell)
    assert done.acquire(timeout=60)
    assert told[:3] == [list(range(1, 11)), 2, []]
    assert isinstance(told[3], ZeroDivisionError)


def test_there_are_as_many_processes_as_asked_for(gates: Gates) -> None:
    with Pool(4) as pool:
        paths = [gates.new(name) for name in "abcd"]
        result = pool.map_async(pass_gate, paths, chunksize=1)
        for path in reversed(paths):  # all four stand at once, on two CPUs
            gates.open(path)
        assert result.get() == list("abcd")


def test_the_initializer_runs_in_each_process() -> None:
    with Pool(2, set_variable, ("yes",)) as pool:
        assert pool.map(os.getenv, ["SHOAL_TEST_POOL"] * 20, chunksize=1) == ["yes"] * 20


def test_a_failing_initializer_is_an_error_of_the_calls() -> None:
    with Pool(1, invert, (0,)) as pool, pytest.raises(shoal.ActorDiedError, match="division"):
        pool.apply(add, (1,))


def test_processes_are_replaced_after_so_many_calls() -> None:
    with Pool(1, maxtasksperchild=2) as pool:
        pids = [pool.apply(pid) for _ in range(6)]
    assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]


def test_a_dead_process_fails_its_call_and_is_replaced() -> None:
    with Pool(1) as pool:
        broken = pool.apply_async(die)
        waiting = [pool.apply_async(add, (n,)) for n in range(5)]
        with pytest.raises(shoal.ActorDiedError):
            broken.get(timeout=60)
        assert [result.get(timeout=60) for result in waiting] == [1, 2, 3, 4, 5]


def test_close_and_join_end_what_is_there() -> None:
    pool = Pool(2)
    results = [pool.apply_async(add, (n,)) for n in range(50)]
    with pytest.raises(ValueError, match="still running"):
        pool.join()
    pool.close()
    with pytest.raises(ValueError, match="closed"):
        pool.apply_async(add, (1,))
    with pytest.raises(ValueError, match="closed"):
        pool.imap(add, [])
    pool.join()
    assert all(result.ready() for result in results)


def test_terminate_ends_what_runs(gates: Gates) -> None:
    pool = Pool(1)
    results = [pool.apply_async(pass_gate, (gates.new(name),)) for name in "ab"]
    pool.terminate()
    pool.join()
    for result in results:
        with pytest.raises(shoal.TaskCancelledError):
            result.get(timeout=60)
    pool.terminate()


def test_bad_arguments_are_refused(pool: Pool) -> None:
    with pytest.raises(ValueError, match="processes"):
        Pool(0)
    with pytest.raises(ValueError, match="maxtasksperchild"):
        Pool(1, maxtasksperchild=0)
    with pytest.raises(TypeError, match="initializer"):
        Pool(1, initializer=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="chunksize"):
        pool.map(add, [1], chunksize=0)
    with pytest.raises(TypeError, match="functions"):
        pool.apply(3)  # type: ignore[arg-type]
