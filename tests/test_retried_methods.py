# SPDX-License-Identifier: Apache-2.0
"""Calls of actors that raise what is worth another attempt."""

import asyncio
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import shoal


class TransientError(Exception):
    """Goes away when tried again."""


class WorseTransientError(TransientError):
    """Likewise."""


@shoal.remote(max_task_retries=3)
class Flaky:
    """Its methods raise until they have been entered so often."""

    def __init__(self) -> None:
        self.n = 0

    def _enter(self, last: int, error: type[BaseException]) -> int:
        self.n += 1
        if self.n < last:
            raise error(f"attempt {self.n}")
        return self.n

    @shoal.method(retry_exceptions=True)
    def every(self, last: int, error: type[BaseException] = TransientError, *more: int) -> int:
        return self._enter(last, error) + sum(more)

    @shoal.method(retry_exceptions=[TransientError])
    def listed(self, last: int, error: type[BaseException]) -> int:
        return self._enter(last, error)

    @shoal.method(retry_exceptions=True, num_returns=2)
    def two(self) -> list[int]:
        return [self._enter(0, TransientError)] * (1 if self.n < 3 else 2)

    @shoal.method(retry_exceptions=True, max_task_retries=0)
    def once(self) -> int:
        return self._enter(9, TransientError)

    @shoal.method(retry_exceptions=True)
    def leave(self) -> None:
        self.n += 1
        shoal.exit_actor()

    def plain(self, last: int) -> int:
        return self._enter(last, TransientError)

    def entered(self) -> int:
        return self.n


OVERLAPPING = [{}, {"max_concurrency": 2}, {"concurrency_groups": {"group": 1}}]


@pytest.mark.parametrize("options", OVERLAPPING)
def test_a_method_is_called_again_with_its_arguments(shoal_node: ModuleType, options: dict[str, Any]) -> None:
    flaky = Flaky.options(**options).remote()
    assert shoal.get(flaky.every.remote(4, TransientError, shoal.put(10), 100)) == 114
    assert shoal.get(flaky.entered.remote()) == 4


def test_at_once_and_before_later_calls_of_the_same_caller(shoal_node: ModuleType) -> None:
    flaky = Flaky.remote()
    assert shoal.get([flaky.every.remote(4), flaky.entered.remote()]) == [4, 4]


def test_the_last_attempt_raises_its_own_error_alone(shoal_node: ModuleType) -> None:
    with pytest.raises(TransientError, match="attempt 4") as found:
        shoal.get(Flaky.remote().every.remote(9))
    assert "attempt 3" not in str(found.value)


def test_types_that_are_listed_and_their_subclasses(shoal_node: ModuleType) -> None:
    assert shoal.get(Flaky.remote().listed.remote(4, WorseTransientError)) == 4
    with pytest.raises(KeyError, match="attempt 1"):
        shoal.get(Flaky.remote().listed.remote(4, KeyError))


def test_a_call_chooses(shoal_node: ModuleType) -> None:
    assert shoal.get(Flaky.remote().plain.options(retry_exceptions=True).remote(4)) == 4
    for call in (Flaky.remote().plain, Flaky.remote().every.options(retry_exceptions=False)):
        with pytest.raises(TransientError, match="attempt 1"):
            shoal.get(call.remote(4))
    with pytest.raises(TransientError, match="attempt 2"):
        shoal.get(Flaky.remote().every.options(max_task_retries=1).remote(4))
    as_declared = Flaky.remote().every.options(retry_exceptions=None, num_returns=1)
    assert shoal.get(as_declared.remote(2)) == 2


@pytest.mark.parametrize("options", OVERLAPPING[1:])
def test_a_call_that_chooses_is_known_by_its_method_and_runs_in_its_group(
    shoal_node: ModuleType, options: dict[str, Any]
) -> None:
    @shoal.remote(max_task_retries=1, **options)
    class Named:
        def name(self) -> str | None:
            return shoal.get_runtime_context().get_task_name()

    call = Named.remote().name.options(retry_exceptions=True)
    if "concurrency_groups" in options:
        call = call.options(concurrency_group="group")
    assert shoal.get(call.remote()) == "Named.name"


def test_without_retries_nothing_is_called_again(shoal_node: ModuleType) -> None:
    with pytest.raises(TransientError, match="attempt 1"):
        shoal.get(Flaky.remote().once.remote())
    with pytest.raises(TransientError, match="attempt 1"):
        shoal.get(Flaky.options(max_task_retries=0).remote().every.remote(4))


def test_all_returns_come_from_the_attempt_that_worked(shoal_node: ModuleType) -> None:
    assert shoal.get(Flaky.remote().two.remote()) == [3, 3]  # a wrong number of returns is an error like any other


def test_an_actor_that_leaves_is_not_held_back(shoal_node: ModuleType) -> None:
    with pytest.raises(shoal.ActorDiedError, match=r"exit_actor\(\)"):
        shoal.get(Flaky.remote().leave.remote())


def test_an_arguments_error_is_not_the_methods_own(shoal_node: ModuleType) -> None:
    flaky = Flaky.remote()
    with pytest.raises(TransientError, match="attempt 1"):
        shoal.get(flaky.every.remote(0, TransientError, Flaky.remote().plain.remote(4)))
    assert shoal.get(flaky.entered.remote()) == 0


@shoal.remote(max_task_retries=-1)
class Async:
    """Both kinds of methods on one loop."""

    def __init__(self) -> None:
        self.n = 0

    @shoal.method(retry_exceptions=True)
    async def awaits(self, last: int) -> int:
        await asyncio.sleep(0)
        return self.plain(last)

    @shoal.method(retry_exceptions=True)
    def plain(self, last: int) -> int:
        self.n += 1
        if self.n < last:
            raise TransientError(f"attempt {self.n}")
        return self.n

    async def entered(self) -> int:
        return self.n


@pytest.mark.parametrize("options", [{}, {"concurrency_groups": {"group": 1}}])
def test_on_an_event_loop_others_go_on_meanwhile(shoal_node: ModuleType, options: dict[str, Any]) -> None:
    actor = Async.options(**options).remote()
    assert shoal.get(actor.awaits.remote(5)) == 5
    assert shoal.get(actor.plain.remote(9)) == 9
    for call in (actor.awaits.remote(10**9), actor.plain.remote(10**9)):
        before = shoal.get(actor.entered.remote())
        while shoal.get(actor.entered.remote()) < before + 5:
            pass
        shoal.cancel(call)
        with pytest.raises(shoal.TaskCancelledError):
            shoal.get(call)


@pytest.mark.parametrize("options", OVERLAPPING)
def test_what_is_called_again_without_end_can_be_cancelled(
    shoal_node: ModuleType, tmp_path: Path, options: dict[str, Any]
) -> None:
    @shoal.remote(max_task_retries=-1, **options)
    class Stubborn:
        @shoal.method(retry_exceptions=True)
        def fail(self) -> None:
            (tmp_path / "begun").touch()
            raise TransientError

        def answer(self) -> int:
            return 42

    actor = Stubborn.remote()
    call = actor.fail.remote()
    while not (tmp_path / "begun").exists():
        pass
    shoal.cancel(call)
    with pytest.raises(shoal.TaskCancelledError):
        shoal.get(call)
    assert shoal.get(actor.answer.remote()) == 42


def test_deaths_and_exceptions_share_one_count(shoal_node: ModuleType, tmp_path: Path) -> None:
    @shoal.remote(max_restarts=-1, max_task_retries=3)
    class Both:
        @shoal.method(retry_exceptions=True)
        def fail(self) -> None:
            n = len(list(tmp_path.iterdir()))
            (tmp_path / f"{n}").touch()
            if n == 1:
                os._exit(1)
            raise TransientError(f"attempt {n}")

    with pytest.raises(TransientError, match="attempt 3"):
        shoal.get(Both.remote().fail.remote())
    assert len(list(tmp_path.iterdir())) == 4


def test_what_an_attempt_called_is_not_called_twice(shoal_node: ModuleType) -> None:
    @shoal.remote(max_task_retries=2)
    class Caller:
        def __init__(self, counter: Any) -> None:
            self.counter = counter
            self.n = 0

        @shoal.method(retry_exceptions=True)
        def count(self) -> list[int]:
            totals = [shoal.get(self.counter.plain.remote(0)) for _ in range(3)]
            self.n += 1
            if self.n < 3:
                raise TransientError
            return totals

    counter = Flaky.remote()
    assert shoal.get(Caller.remote(counter).count.remote()) == [1, 2, 3]
    assert shoal.get(counter.entered.remote()) == 3


@pytest.mark.parametrize("every", [1, 2, 100])
def test_with_checkpoints_the_state_has_what_each_attempt_did(
    shoal_node: ModuleType, tmp_path: Path, every: int
) -> None:
    @shoal.remote(max_restarts=-1, checkpoint_every=every)
    class Kept:
        def __init__(self) -> None:
            self.done: list[str] = []

        def checkpoint(self) -> list[str]:
            return self.done

        def restore(self, state: list[str]) -> None:
            self.done = state

        @shoal.method(retry_exceptions=True)
        def do(self, what: str, fails: int) -> list[str]:
            self.done.append(what)
            if self.done.count(what) <= fails:
                raise TransientError
            return self.done

        def die(self) -> None:
            if not (tmp_path / "died").exists():
                (tmp_path / "died").touch()
                os._exit(1)

    kept = Kept.remote()
    assert shoal.get(kept.do.remote("a", 0)) == ["a"]
    assert shoal.get(kept.do.remote("b", 2)) == ["a", "b", "b", "b"]
    assert shoal.get(kept.do.remote("c", 0)) == ["a", "b", "b", "b", "c"]
    shoal.get(kept.die.remote())
    assert shoal.get(kept.do.remote("d", 1)) == ["a", "b", "b", "b", "c", "d", "d"]
    with pytest.raises(TransientError):
        shoal.get(kept.do.remote("e", 9))  # max_task_retries is 3 of an actor with checkpoints
    (tmp_path / "died").unlink()
    shoal.get(kept.die.remote())
    assert shoal.get(kept.do.remote("f", 0))[-5:] == ["e", "e", "e", "e", "f"]


def test_generators_and_lists_of_a_call_are_refused(shoal_node: ModuleType) -> None:
    class Yields:
        @shoal.method(retry_exceptions=True)
        def items(self) -> Any:
            yield 1

    with pytest.raises(ValueError, match="not for generators"):
        shoal.remote(Yields).remote()
    plain = Flaky.remote().plain
    with pytest.raises(ValueError, match="not for generators"):
        plain.options(num_returns="streaming", retry_exceptions=True)
    with pytest.raises(shoal.UnsupportedOptionError, match="with @method"):
        plain.options(retry_exceptions=[TransientError])
    for wrong in (1, "ValueError", [1], [TransientError()]):
        with pytest.raises(TypeError, match="retry_exceptions"):
            shoal.method(retry_exceptions=wrong)
        with pytest.raises(TypeError, match="retry_exceptions"):
            plain.options(retry_exceptions=wrong)
