# SPDX-License-Identifier: Apache-2.0
"""Restarted actors: what is made again, which calls are repeated, which fail, and when it is over."""

import gc
import os
import select
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.census import Census

import shoal

ANSWER_S = 60


@pytest.fixture(scope="module", autouse=True)
def node() -> Iterator[None]:
    shoal.init(num_cpus=2, resources={"slot": 1})
    taken = Census()
    yield
    taken.assert_as_before()
    shoal.shutdown()


def die_once(path: str) -> None:
    """Kills the process at the first call with this path."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


class Plain:
    def __init__(self, start: int = 0, *, more: int = 0) -> None:
        self.n = start + more
        self.seen: list[int] = []

    def add(self, by: int = 1) -> int:
        self.n += by
        return self.n

    def see(self, n: int) -> list[int]:
        self.seen.append(n)
        return self.seen

    def pid(self) -> int:
        return os.getpid()

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def die_once(self, path: str) -> str:
        die_once(path)
        return "alive"

    def block(self) -> None:
        signal.pause()

    def was_restarted(self) -> bool:
        return shoal.get_runtime_context().was_current_actor_reconstructed

    def leave(self) -> None:
        shoal.exit_actor()


class Async(Plain):
    async def wait_once(self, path: str) -> str:
        die_once(path)
        return "alive"


Actor = shoal.remote(Plain)
KINDS = [Actor, Actor.options(max_concurrency=4), shoal.remote(Async)]


def dies(ref: "shoal.ObjectRef[Any]") -> shoal.ActorDiedError:
    with pytest.raises(shoal.ActorDiedError) as caught:
        shoal.get(ref, timeout=ANSWER_S)
    return caught.value


def fails(ref: "shoal.ObjectRef[Any]") -> shoal.ActorUnavailableError:
    with pytest.raises(shoal.ActorUnavailableError) as caught:
        shoal.get(ref, timeout=ANSWER_S)
    return caught.value


def is_gone(pidfd: int) -> bool:
    try:
        return bool(select.select([pidfd], [], [], 20)[0])
    finally:
        os.close(pidfd)


@pytest.mark.parametrize("kind", KINDS, ids=["plain", "threads", "async"])
def test_the_constructor_runs_again_with_its_arguments(kind: Any) -> None:
    actor = kind.options(max_restarts=1).remote(shoal.put(10), more=shoal.put(5))
    assert shoal.get([actor.add.remote(), actor.was_restarted.remote()]) == [16, False]
    error = fails(actor.die.remote())
    assert (error.signal, error.actor_name) == (signal.SIGKILL, "Plain" if kind is not KINDS[2] else "Async")
    assert "max_task_retries" in str(error)
    assert isinstance(error, shoal.ActorError)
    assert not isinstance(error, shoal.ActorDiedError)
    assert shoal.get([actor.add.remote(), actor.was_restarted.remote()], timeout=ANSWER_S) == [16, True]


def test_arguments_without_other_holders_are_kept() -> None:
    actor: Any = Actor.options(max_restarts=-1).remote(shoal.put(10))
    gc.collect()
    for _ in range(5):
        fails(actor.die.remote())
    assert shoal.get(actor.add.remote(), timeout=ANSWER_S) == 11


def test_queued_calls_wait_for_the_next_process_and_keep_their_order() -> None:
    actor: Any = Actor.options(max_restarts=3).remote()
    dying = actor.die.remote()
    later = [actor.see.remote(n) for n in range(100)]
    fails(dying)
    assert shoal.get(later[-1], timeout=ANSWER_S) == list(range(100))


@pytest.mark.parametrize("kind", KINDS, ids=["plain", "threads", "async"])
def test_a_call_with_retries_is_repeated_before_later_ones(kind: Any, tmp_path: Path) -> None:
    actor = kind.options(max_restarts=1, max_task_retries=1).remote()
    first = actor.die_once.remote(str(tmp_path / "once"))
    later = [actor.add.remote() for _ in range(20)]
    assert shoal.get(first, timeout=ANSWER_S) == "alive"
    if kind is not KINDS[1]:
        assert shoal.get(later, timeout=ANSWER_S) == list(range(1, 21))
    assert shoal.get(actor.was_restarted.remote(), timeout=ANSWER_S)


def test_a_coroutine_with_retries_is_repeated(tmp_path: Path) -> None:
    actor = KINDS[2].options(max_restarts=1, max_task_retries=1).remote()  # type: ignore[attr-defined]
    assert shoal.get(actor.wait_once.remote(str(tmp_path / "once")), timeout=ANSWER_S) == "alive"


def test_retries_are_counted_for_each_call() -> None:
    actor: Any = Actor.options(max_restarts=-1, max_task_retries=2).remote()
    fails(actor.die.remote())  # three times
    assert shoal.get(actor.add.remote(), timeout=ANSWER_S) == 1
    fails(actor.die.options(max_task_retries=0).remote())

    @shoal.remote(max_restarts=1, max_task_retries=-1)
    class Declared(Plain):
        @shoal.method(max_task_retries=0)
        def die(self) -> None:
            super().die()

    fails(Declared.remote().die.remote())


def test_when_restarts_are_used_up_it_says_how_each_process_ended(tmp_path: Path) -> None:
    actor: Any = Actor.options(max_restarts=2, max_task_retries=-1).remote()
    pid = shoal.get(actor.pid.remote())
    dying = actor.die.remote()
    later = actor.add.remote()
    error = dies(dying)
    assert error.signal == signal.SIGKILL
    assert "restarted" in str(error)
    assert str(error).count("killed by SIGKILL") == 3
    assert f"pid {pid}: killed by SIGKILL" in str(error)
    dies(later)
    dies(actor.add.remote())


def test_without_restarts_retries_have_no_effect() -> None:
    actor: Any = Actor.options(max_task_retries=5).remote()
    dies(actor.die.remote())


def test_stalled_calls_survive_with_their_order(tmp_path: Path) -> None:
    @shoal.remote
    def read(path: str) -> int:
        return int(Path(path).read_text())

    os.mkfifo(tmp_path / "gate")
    actor: Any = Actor.options(max_restarts=1).remote()
    pid = shoal.get(actor.pid.remote())
    first = actor.see.remote(read.remote(str(tmp_path / "gate")))
    later = [actor.see.remote(n) for n in range(1, 10)]
    assert shoal.wait([first, *later], timeout=0.1)[0] == []
    process = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    assert is_gone(process)
    last = actor.see.remote(10)
    assert shoal.wait([first, *later, last], timeout=0.1)[0] == []
    (tmp_path / "gate").write_text("0")
    assert shoal.get(last, timeout=ANSWER_S) == list(range(11))


def test_a_process_killed_in_its_first_constructor_is_followed_by_another(tmp_path: Path) -> None:
    @shoal.remote(max_restarts=1)
    class Fragile:
        def __init__(self, path: str) -> None:
            die_once(path)

        def read(self) -> int:
            return 1

    assert shoal.get(Fragile.remote(str(tmp_path / "once")).read.remote(), timeout=ANSWER_S) == 1


def test_a_constructor_that_fails_at_first_ends_the_actor(tmp_path: Path) -> None:
    @shoal.remote(max_restarts=-1)
    class Broken:
        def __init__(self) -> None:
            raise KeyError("config")

        def read(self) -> None: ...

    error = dies(Broken.remote().read.remote())
    assert isinstance(error.cause, KeyError)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_constructor_that_fails_again_costs_a_restart(tmp_path: Path, is_async: bool) -> None:
    class Once:
        def __init__(self, path: str) -> None:
            with open(path, "a") as file:
                file.write("x")
            if len(Path(path).read_text()) > 1:
                raise KeyError("again")

        def die(self) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def read(self) -> None: ...

    if is_async:

        async def read(self: Any) -> None: ...

        Once.read = read  # type: ignore[method-assign, assignment]
    made = str(tmp_path / "made")
    once = shoal.remote(max_restarts=3)(Once).remote(made)
    assert shoal.get(once.read.remote()) is None
    fails(once.die.remote())
    error = dies(once.read.remote())
    assert isinstance(error.cause, KeyError)
    assert "restarted" in str(error)
    assert Path(made).read_text() == "xxxx"


def test_kill_restarts_if_it_may(tmp_path: Path) -> None:
    actor: Any = Actor.options(max_restarts=1, name="phoenix").remote()
    pid = shoal.get(actor.pid.remote())
    process = os.pidfd_open(pid)
    shoal.kill(actor, no_restart=0)  # type: ignore[arg-type]
    assert is_gone(process)
    assert shoal.get(shoal.get_actor("phoenix").pid.remote(), timeout=ANSWER_S) != pid
    shoal.kill(actor, no_restart=False)  # none is left
    assert "kill" in str(dies(actor.add.remote()))
    with pytest.raises(shoal.ActorNotFoundError):
        shoal.get_actor("phoenix")


def test_kill_for_good_is_for_good() -> None:
    actor: Any = Actor.options(max_restarts=-1).remote()
    shoal.get(actor.add.remote())
    stuck = actor.block.remote()
    queued = actor.add.remote()
    shoal.kill(actor)
    for call in (stuck, queued, actor.add.remote()):
        assert "kill" in str(dies(call))


def test_exit_actor_is_no_death() -> None:
    actor: Any = Actor.options(max_restarts=-1, max_task_retries=-1).remote()
    assert "exit_actor" in str(dies(actor.leave.remote()))
    assert "exit_actor" in str(dies(actor.add.remote()))


def test_the_last_handles_end_is_no_death() -> None:
    actor: Any = Actor.options(max_restarts=-1).remote()
    process = os.pidfd_open(shoal.get(actor.pid.remote()))
    del actor
    gc.collect()
    assert is_gone(process)


def test_calls_without_a_handle_are_repeated_too(tmp_path: Path) -> None:
    refs = Actor.options(max_restarts=1, max_task_retries=1).remote().die_once.remote(str(tmp_path / "once"))
    gc.collect()
    assert shoal.get(refs, timeout=ANSWER_S) == "alive"


def test_resources_are_kept_meanwhile() -> None:
    holder: Any = Actor.options(max_restarts=1, resources={"slot": 1}).remote()
    fails(holder.die.remote())
    assert shoal.get(holder.add.remote(), timeout=ANSWER_S) == 1
    waiting: Any = Actor.options(resources={"slot": 1}).remote()
    call = waiting.add.remote()
    assert shoal.wait([call], timeout=0.1)[0] == []
    shoal.kill(holder)
    assert shoal.get(call, timeout=ANSWER_S) == 1


def test_a_detached_actor_restarts_too() -> None:
    actor: Any = Actor.options(max_restarts=1, name="both", lifetime="detached").remote(3)
    fails(actor.die.remote())
    del actor
    gc.collect()
    again: Any = shoal.get_actor("both")
    assert shoal.get(again.add.remote(), timeout=ANSWER_S) == 4
    shoal.kill(again)
    dies(again.add.remote())


def test_an_actor_that_waits_for_one_that_restarts(tmp_path: Path) -> None:
    @shoal.remote
    class Waiter:
        def call(self, actors: list[Any], path: str) -> str:
            return shoal.get(actors[0].die_once.remote(path))

    actor: Any = Actor.options(max_restarts=1, max_task_retries=1).remote()
    assert shoal.get(Waiter.remote().call.remote([actor], str(tmp_path / "once")), timeout=ANSWER_S) == "alive"


def test_calls_that_overlap_are_repeated_together() -> None:
    @shoal.remote(max_restarts=1, max_task_retries=1, max_concurrency=4)
    class Meeting:
        def __init__(self) -> None:
            self.barrier = threading.Barrier(3)

        def meet(self) -> bool:
            is_first = self.barrier.wait(ANSWER_S) == 0
            if not shoal.get_runtime_context().was_current_actor_reconstructed:
                if is_first:
                    os.kill(os.getpid(), signal.SIGKILL)
                threading.Event().wait()
            return True

    meeting = Meeting.remote()
    calls = [meeting.meet.remote() for _ in range(3)]
    assert shoal.get(calls, timeout=ANSWER_S) == [True] * 3


@pytest.mark.parametrize("option", ["max_restarts", "max_task_retries"])
def test_counts_that_make_no_sense_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=option):
        Actor.options(**{option: -2})
    with pytest.raises(TypeError, match=option):
        Actor.options(**{option: 1.5})
    assert Actor.options(**{option: None})
