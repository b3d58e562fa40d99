# SPDX-License-Identifier: Apache-2.0
"""A task that is run again adopts what its earlier attempts have called (docs/design/033)."""

import os
import random
import signal
import threading
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.adoption import Counter, Empty, TransientError, array, child, crash, fail, mark, marks, repeated

import shoal
from shoal import runtime

ENDS = pytest.mark.parametrize("end", [crash, fail])


@pytest.fixture
def counter(shoal_node: ModuleType) -> Any:
    return Counter.remote()


@ENDS
def test_children_are_run_once_and_give_the_same_values(shoal_node: ModuleType, tmp_path: Path, end: Any) -> None:
    @repeated()
    def parent() -> list[int]:
        kept = [child.remote(tmp_path, i) for i in range(3)]
        values = shoal.get([child.remote(tmp_path, 10 + i) for i in range(3)])  # refs that are dropped here
        if mark(tmp_path, "parent") < 2:
            end()
        return [*shoal.get(kept), *values]

    assert shoal.get(parent.remote()) == [0, 1, 2, 10, 11, 12]
    assert (marks(tmp_path, "parent"), marks(tmp_path, "child")) == (3, 6)


@ENDS
def test_calls_of_actors_are_applied_once(counter: Any, tmp_path: Path, end: Any) -> None:
    @repeated()
    def parent(handle: Any) -> list[Any]:
        values: list[Any] = [shoal.get(handle.add.remote()) for _ in range(3)]
        for _ in range(3):
            handle.add.remote()  # whose results nobody looks at
        values += shoal.get(handle.add_pair.options(num_returns=2).remote())
        if mark(tmp_path, "parent") < 2:
            end()
        return values

    assert shoal.get(parent.remote(counter)) == [1, 2, 3, 7, -7]
    assert shoal.get(counter.add.remote(0)) == 7


def test_a_caller_that_is_killed_in_its_calls_makes_each_once(counter: Any) -> None:
    @shoal.remote(max_retries=-1)
    def parent(handle: Any) -> list[int]:
        return [shoal.get(handle.add_and_kill.remote(os.getpid(), (3, 4, 11, 20))) for _ in range(20)]

    assert shoal.get(parent.remote(counter)) == list(range(1, 21))


@pytest.mark.parametrize("seed", range(3))
def test_a_caller_that_is_killed_at_any_instant_makes_each_call_once(counter: Any, tmp_path: Path, seed: int) -> None:
    n_calls, n_kills = 400, 8

    @shoal.remote(max_retries=-1)
    def parent(handle: Any) -> list[int]:
        (tmp_path / "pid").write_text(str(os.getpid()))
        out = []
        for i in range(n_calls):
            ref = handle.add.remote()
            out.append(shoal.get(ref) if i % 3 else ref)
        return [value if type(value) is int else shoal.get(value) for value in out]

    ref = parent.remote(counter)
    chance, killed = random.Random(seed), set[str]()
    while len(killed) < n_kills and not shoal.wait([ref], timeout=0)[0]:
        pid = (tmp_path / "pid").read_text() if (tmp_path / "pid").exists() else ""
        reached = shoal.get(counter.add.remote(0))
        if pid and pid not in killed and (chance.random() < 0.05 or reached == n_calls):
            killed.add(pid)
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    assert shoal.get(ref) == list(range(1, n_calls + 1))
    assert shoal.get(counter.add.remote(0)) == n_calls


def test_a_child_that_runs_is_waited_for(shoal_node: ModuleType, tmp_path: Path) -> None:
    @shoal.remote
    def slow() -> int:
        mark(tmp_path, "slow")
        while marks(tmp_path, "parent") < 2:
            pass
        return 5

    @shoal.remote
    def parent() -> int:
        ref = slow.remote()
        while not marks(tmp_path, "slow"):
            pass
        if mark(tmp_path, "parent") == 0:
            crash()
        return shoal.get(ref)

    assert shoal.get(parent.remote()) == 5
    assert (marks(tmp_path, "parent"), marks(tmp_path, "slow")) == (2, 1)


def test_after_an_exception_failed_tasks_are_run_again_but_not_methods(counter: Any, tmp_path: Path) -> None:
    @shoal.remote(max_retries=0)
    def flaky() -> int:
        if mark(tmp_path, "flaky") == 0:
            raise TransientError
        return 7

    @repeated()
    def parent(handle: Any) -> tuple[int, str]:
        with pytest.raises(KeyError) as caught:
            shoal.get(handle.add_then_raise.remote())
        return shoal.get(flaky.remote()), str(caught.value.args)

    assert shoal.get(parent.remote(counter)) == (7, "(1,)")
    assert marks(tmp_path, "flaky") == 2
    assert shoal.get(counter.add.remote(0)) == 1


def test_after_a_death_the_attempt_sees_the_errors_of_before(shoal_node: ModuleType, tmp_path: Path) -> None:
    @shoal.remote(max_retries=0)
    def flaky() -> int:
        if mark(tmp_path, "flaky") == 0:
            raise TransientError
        return 7

    @shoal.remote
    def parent() -> str:
        try:
            got: Any = shoal.get(flaky.remote())
        except TransientError:
            got = "failed"
        if mark(tmp_path, "parent") == 0:
            crash()
        return f"{got}"

    assert shoal.get(parent.remote()) == "failed"
    assert marks(tmp_path, "flaky") == 1


@shoal.remote
def first(x: int) -> int:
    return x


@shoal.remote
def second(x: int) -> int:
    return x


@ENDS
def test_another_call_in_the_same_place_is_refused_by_name(shoal_node: ModuleType, tmp_path: Path, end: Any) -> None:
    @repeated()
    def parent() -> int:
        n = mark(tmp_path, "parent")
        shoal.get(first.remote(0))
        value = shoal.get((first if n == 0 else second).remote(1))
        if n == 0:
            end()
        return value

    with pytest.raises(shoal.NonDeterministicTaskError, match=r"attempt 2 .*parent.*number 2 is second.* first") as it:
        shoal.get(parent.remote())
    assert (it.value.earlier_call, it.value.call) == ("first", "second")
    assert it.value.task_name.endswith("parent")
    assert marks(tmp_path, "parent") == 2


@pytest.mark.parametrize("change", ["ref", "returns", "method", "actor", "class"])
def test_what_makes_a_call_another_one(counter: Any, tmp_path: Path, change: str) -> None:
    other = Counter.remote()

    @shoal.remote
    def parent(here: Any, there: Any) -> None:
        n = mark(tmp_path, "parent")
        one, two = first.remote(1), first.remote(2)
        if change == "ref":
            second.remote(one if n == 0 else two)
        elif change == "returns":
            second.options(num_returns=1 if n == 0 else 2).remote(1)
        elif change == "method":
            (here.add if n == 0 else here.pid).remote()
        elif change == "actor":
            (here if n == 0 else there).add.remote()
        else:
            actor = (Counter if n == 0 else Empty).remote()
            shoal.get(actor.pid.remote())  # it is there
        if n == 0:
            crash()

    with pytest.raises(shoal.NonDeterministicTaskError, match="diverged"):
        shoal.get(parent.remote(counter, other))


def test_functions_made_in_the_task_and_what_it_puts_are_no_divergence(counter: Any, tmp_path: Path) -> None:
    @shoal.remote
    def parent(handle: Any) -> int:
        n = mark(tmp_path, "parent")

        @shoal.remote
        def inner(a: Any, b: int) -> int:
            mark(tmp_path, "inner")
            return int(a.sum()) + b + 0 * n  # which is pickled with it

        total = shoal.get(inner.remote(array(1 << 17, 1), n))
        total += shoal.get(inner.remote(shoal.put(array(3, 1)), 0))
        shoal.get(handle.add.remote())
        if n == 0:
            crash()
        return total

    assert shoal.get(parent.remote(counter)) == (1 << 17) + 3
    assert marks(tmp_path, "inner") == 2
    assert shoal.get(counter.add.remote(0)) == 1


def test_a_result_that_was_not_kept_is_an_error_and_not_another_call(counter: Any, tmp_path: Path) -> None:
    @shoal.remote
    def parent(handle: Any, looks: bool) -> int:
        total = 0
        for _ in range(2):
            ref = handle.add_large.remote()
            if looks or marks(tmp_path, "parent") % 2 == 0:
                total += int(shoal.get(ref)[0])
            del ref
        if mark(tmp_path, "parent") % 2 == 0:
            crash()
        return total

    assert shoal.get(parent.remote(counter, False)) == 0
    with pytest.raises(shoal.ObjectLostError, match=r"Counter.add_large was called by an earlier attempt of .*parent"):
        shoal.get(parent.remote(counter, True))
    assert shoal.get(counter.add.remote(0)) == 4


def test_a_method_that_may_be_repeated_is_if_its_result_was_not_kept(counter: Any, tmp_path: Path) -> None:
    @shoal.remote
    def parent(handle: Any) -> list[int]:
        again = handle.add_large.options(max_task_retries=1)
        values = [int(shoal.get(handle.add.remote())), int(shoal.get(again.remote())[0])]
        shoal.get(handle.pid.remote())  # a call notices the refs that were dropped before it
        if mark(tmp_path, "parent") == 0:
            crash()
        return values

    assert shoal.get(parent.remote(counter)) == [1, 3]


def test_calls_without_returns_and_generators(counter: Any, tmp_path: Path) -> None:
    @shoal.remote
    def yielding() -> Any:
        mark(tmp_path, "yielding")
        yield 1
        yield 2

    @shoal.remote
    def parent(handle: Any) -> list[int]:
        handle.add.options(num_returns=0).remote()
        values = [shoal.get(item) for item in yielding.remote()]
        if mark(tmp_path, "parent") == 0:
            crash()
        return values

    @shoal.remote
    def consumer(handle: Any) -> list[int]:
        values = [shoal.get(item) for item in handle.items.remote()]
        if mark(tmp_path, "consumer") == 0:
            crash()
        return values

    assert shoal.get(parent.remote(counter)) == [1, 2]
    assert marks(tmp_path, "yielding") == 2
    assert shoal.get(counter.add.remote(0)) == 1
    with pytest.raises(shoal.ObjectLostError, match=r"Counter.items was called by an earlier attempt"):
        shoal.get(consumer.remote(counter))
    assert shoal.get(counter.add.remote(0)) == 2


def test_children_that_are_repeated_adopt_their_own(counter: Any, tmp_path: Path) -> None:
    @shoal.remote
    def middle(handle: Any) -> int:
        value: int = shoal.get(handle.add.remote())
        if mark(tmp_path, "middle") == 0:
            crash()
        return value

    @shoal.remote
    def top(handle: Any) -> int:
        value = shoal.get(middle.remote(handle))
        if mark(tmp_path, "top") == 0:
            crash()
        return value

    assert shoal.get(top.remote(counter)) == 1
    assert (marks(tmp_path, "middle"), marks(tmp_path, "top")) == (2, 2)
    assert shoal.get(counter.add.remote(0)) == 1


def test_methods_with_retries_adopt_their_calls(counter: Any, tmp_path: Path) -> None:
    @shoal.remote(max_restarts=-1, max_task_retries=-1)
    class Caller:
        def call(self, handle: Any) -> int:
            value: int = shoal.get(handle.add.remote())
            if mark(tmp_path, "call") < 2:
                crash()
            return value

    assert shoal.get(Caller.remote().call.remote(counter)) == 1
    assert shoal.get(counter.add.remote(0)) == 1


def test_threads_of_the_task_make_their_calls_again(counter: Any, tmp_path: Path) -> None:
    @shoal.remote
    def parent(handle: Any) -> None:
        thread = threading.Thread(target=lambda: shoal.get(handle.add.remote()))
        thread.start()
        thread.join()
        if mark(tmp_path, "parent") == 0:
            crash()

    shoal.get(parent.remote(counter))
    assert shoal.get(counter.add.remote(0)) == 2


@pytest.mark.parametrize("final", ["value", "error", "cancel"])
def test_nothing_is_held_when_the_task_is_over(counter: Any, tmp_path: Path, final: str) -> None:
    @repeated(max_retries=2)
    def parent(handle: Any) -> None:
        n = mark(tmp_path, "parent")
        refs = [handle.add.remote(), *(child.remote(tmp_path, array(1000)) for _ in range(5))]
        shoal.get([child.remote(tmp_path, i) for i in range(5)])
        shoal.get(refs)
        if n == 0:
            crash()
        if n == 1 or final == "error":
            fail()
        while final == "cancel":
            pass

    shoal.get(counter.add.remote(0))
    counters = runtime.connected().calls.counters
    while counters()["live_slots"]:
        pass
    before = counters()["live_entries"]
    ref = parent.remote(counter)
    if final == "cancel":
        while marks(tmp_path, "parent") < 3:
            pass
        shoal.cancel(ref)
    if final == "value":
        shoal.get(ref)
    else:
        with pytest.raises((TransientError, shoal.TaskCancelledError)):
            shoal.get(ref)
    del ref
    while counters()["live_entries"] > before:
        pass
    assert marks(tmp_path, "child") == 10
    assert shoal.get(counter.add.remote(0)) == 1


def test_a_time_out_takes_unfinished_children_with_it(counter: Any, tmp_path: Path) -> None:
    @shoal.remote
    def stuck() -> int:
        while marks(tmp_path, "parent") < 2:
            pass
        return mark(tmp_path, "stuck")

    @shoal.remote(timeout=2.0, retry_exceptions=[shoal.TaskTimeoutError])
    def parent(handle: Any) -> tuple[int, int]:
        value = shoal.get(handle.add.remote())
        ref = stuck.remote()
        if mark(tmp_path, "parent") == 0:
            shoal.get(ref)
        return value, shoal.get(ref)

    assert shoal.get(parent.remote(counter)) == (1, 0)
    assert shoal.get(counter.add.remote(0)) == 1
