# SPDX-License-Identifier: Apache-2.0
"""Actors with checkpoints: after a restart the state is what it was, and each call was applied once, in one order."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests import processes
from tests.chaos.census import Census, await_until
from tests.streams import meet

import shoal
from shoal.util import state

ANSWER_S = 60


@pytest.fixture(scope="module", autouse=True)
def address() -> Iterator[str]:
    context = shoal.init(num_cpus=2)
    taken = Census()
    yield context.address
    taken.assert_as_before()
    shoal.shutdown()


def die_once(path: object) -> None:
    """Kills the process at the first call with this path."""
    try:
        os.close(os.open(str(path), os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


@shoal.remote
class Other:
    """Not restarted: what it counts was really called."""

    def __init__(self) -> None:
        self.n = 0

    def add(self, by: int) -> int:
        self.n += by
        return self.n

    def large(self) -> "np.ndarray[Any, Any]":
        self.n += 1
        return np.full(3 << 20, self.n)

    def total(self) -> int:
        return self.n


@shoal.remote(max_restarts=-1, checkpoint_every=4)
class Ledger:
    def __init__(self, start: int = 0, other: "shoal.ActorHandle[Other] | None" = None) -> None:
        self.n = start
        self.other = other
        self.calls: list[object] = []
        self.array = np.zeros(50_000)
        self.replayed: list[object] = []
        self.n_checkpoints = 0

    def checkpoint(self) -> Any:
        self.n_checkpoints += 1
        return self.n, self.calls, self.array, self.n_checkpoints

    def restore(self, saved: Any) -> None:
        self.n, self.calls, self.array, self.n_checkpoints = saved

    def _note(self, what: object) -> None:
        self.calls.append(what)
        self.array[len(self.calls)] = 1
        if shoal.get_runtime_context().is_replaying:
            self.replayed.append(what)

    def add(self, by: int, fatal: str | None = None) -> int:
        self._note(by)
        self.n += by
        if fatal is not None:
            die_once(fatal)
        return self.n

    def add_array(self, by: "np.ndarray[Any, Any]") -> int:
        return self.add(int(by.sum()))

    def add_elsewhere(self, by: int, fatal: str | None = None) -> int:
        assert self.other is not None
        self.n += shoal.get(self.other.add.remote(by))
        self.calls.append(by)
        if fatal is not None:
            die_once(fatal)
        return self.n

    def forget_elsewhere(self) -> int:
        assert self.other is not None
        self.n += int(shoal.get(self.other.large.remote())[0])
        return self.n

    def fail(self, by: int) -> None:
        self._note(by)
        self.n += by
        raise ValueError(by)

    def two(self) -> tuple[int, int]:
        return self.add(1), self.add(1)

    def yields(self) -> Iterator[int]:
        return iter([self.add(1), self.add(1)])

    def look(self) -> tuple[int, list[object], float, list[object]]:
        return self.n, self.calls, float(self.array.sum()), self.replayed

    def checkpoints(self) -> int:
        return self.n_checkpoints

    def pid(self) -> int:
        return os.getpid()

    def take(self, value: object) -> None:
        self._note("taken")

    def meet_twice(self, begun: str, end: str) -> int:
        meet(begun, writing=True)
        meet(end, writing=False)
        return self.add(1)


def kill(actor: Any) -> None:
    """Kill its process, and wait until another one answers."""
    pid = shoal.get(actor.pid.remote(), timeout=ANSWER_S)
    processes.kill(pid)
    assert shoal.get(actor.pid.remote(), timeout=ANSWER_S) != pid


@pytest.mark.parametrize("n", [0, 1, 3, 4, 5, 8, 11])
def test_the_state_comes_back_with_the_calls_after_the_last_checkpoint(n: int) -> None:
    ledger = Ledger.remote(100)
    values = shoal.get([ledger.add.remote(i) for i in range(n)])
    assert values == [100 + sum(range(i + 1)) for i in range(n)]
    kill(ledger)
    total, calls, cells, replayed = shoal.get(ledger.look.remote())
    assert (total, calls, cells) == (100 + sum(range(n)), list(range(n)), n)
    assert replayed == list(range(n))[len(range(n)) - len(replayed) :]
    assert len(replayed) <= 4  # not from the beginning


def test_it_goes_on_after_many_deaths() -> None:
    ledger = Ledger.remote()
    for i in range(12):
        assert shoal.get(ledger.add.remote(1), timeout=ANSWER_S) == i + 1
        kill(ledger)
    assert shoal.get(ledger.look.remote())[:2] == (12, [1] * 12)


def test_the_call_in_which_it_dies_is_applied_once(tmp_path: Path) -> None:
    ledger = Ledger.remote()
    refs = [ledger.add.remote(1), ledger.add.remote(2, str(tmp_path / "died")), ledger.add.remote(4)]
    assert shoal.get(refs, timeout=ANSWER_S) == [1, 3, 7]
    assert shoal.get(ledger.look.remote())[:2] == (7, [1, 2, 4])


def test_a_call_that_kills_every_process_fails_and_is_not_applied(tmp_path: Path) -> None:
    ledger = Ledger.options(max_task_retries=0).remote()
    shoal.get(ledger.add.remote(1))
    with pytest.raises(shoal.ActorUnavailableError, match="state is as if the call had not been made"):
        shoal.get(ledger.add.remote(2, str(tmp_path / "died")), timeout=ANSWER_S)
    assert shoal.get(ledger.look.remote())[:2] == (1, [1])


def test_errors_are_repeated_as_errors() -> None:
    ledger = Ledger.remote()
    shoal.get(ledger.add.remote(1))
    with pytest.raises(ValueError, match="5"):
        shoal.get(ledger.fail.remote(5))
    kill(ledger)
    assert shoal.get(ledger.look.remote())[:2] == (6, [1, 5])


def test_what_a_call_has_called_is_not_called_again(tmp_path: Path) -> None:
    other = Other.remote()
    ledger = Ledger.remote(0, other)
    assert shoal.get([ledger.add_elsewhere.remote(1), ledger.add_elsewhere.remote(2)]) == [1, 4]
    kill(ledger)
    assert shoal.get(ledger.look.remote())[0] == 4
    assert shoal.get(other.total.remote()) == 3
    assert shoal.get(ledger.add_elsewhere.remote(4, str(tmp_path / "died")), timeout=ANSWER_S) == 11
    assert shoal.get(other.total.remote()) == 7
    kill(ledger)
    assert shoal.get(ledger.look.remote())[:2] == (11, [1, 2, 4])
    assert shoal.get(other.total.remote()) == 7


def test_a_call_whose_results_cannot_be_kept_is_followed_by_a_checkpoint() -> None:
    other = Other.remote()
    ledger = Ledger.options(checkpoint_every=1000).remote(0, other)
    assert shoal.get(ledger.forget_elsewhere.remote()) == 1  # 24 MB, more than is kept
    assert shoal.get(ledger.checkpoints.remote()) == 1
    kill(ledger)
    assert shoal.get(ledger.look.remote())[0] == 1
    assert shoal.get(other.total.remote()) == 1


def test_several_returns_and_lazy_ones_are_repeated() -> None:
    ledger = Ledger.options(checkpoint_every=100).remote()
    assert shoal.get(ledger.two.options(num_returns=2).remote()) == [1, 2]
    assert shoal.get(ledger.yields.options(num_returns=2).remote()) == [3, 4]
    assert shoal.get(list(shoal.get(ledger.yields.options(num_returns="dynamic").remote()))) == [5, 6]
    ledger.add.options(num_returns=0).remote(10)
    kill(ledger)
    assert shoal.get(ledger.look.remote())[:2] == (16, [1] * 6 + [10])


def test_arguments_are_kept_until_the_next_checkpoint_and_no_longer() -> None:
    ledger = Ledger.options(checkpoint_every=8).remote()
    shoal.get(ledger.pid.remote())
    gc.collect()
    before = state.list_objects(limit=10_000)
    big = shoal.put(np.ones(1 << 18))
    name = big.hex()
    assert shoal.get([ledger.add_array.remote(big), ledger.add_array.remote(np.ones(1 << 17))]) == [1 << 18, 3 << 17]
    del big

    def holders() -> list[tuple[str, str]]:
        rows = [row for row in state.list_held_objects(timeout=ANSWER_S) if row.object_id == name]
        return [(holder.kind, holder.name) for row in rows for holder in row.holders]

    def others() -> set[str]:
        return {row.object_id for row in state.list_objects(limit=10_000)} - {row.object_id for row in before}

    assert await_until(lambda: holders() == [("CHECKPOINT", "Ledger.add_array")])  # the call lets go of it last of all
    kill(ledger)
    assert shoal.get(ledger.look.remote())[0] == 3 << 17
    shoal.get([ledger.add.remote(1) for _ in range(8)])
    assert await_until(lambda: name not in {row.object_id for row in state.list_objects(limit=10_000)})
    assert await_until(lambda: len(others()) <= 2)  # the checkpoint, with its array


def test_logged_calls_are_no_tasks_any_more() -> None:
    ledger = Ledger.options(checkpoint_every=100).remote()
    shoal.get([ledger.add.remote(1) for _ in range(20)])
    assert await_until(lambda: [row.name for row in state.list_tasks() if row.name.startswith("Ledger")] == [])
    assert state.summarize_tasks(timeout=ANSWER_S)["cluster"]["total_actor_tasks"] == 0


def test_an_argument_that_is_an_actor_does_not_keep_it() -> None:
    ledger, other = Ledger.options(checkpoint_every=100).remote(), Other.remote()
    shoal.get(ledger.take.remote([other, ledger]))
    pid = shoal.get(ledger.pid.remote())
    del other, ledger
    gc.collect()
    assert await_until(lambda: not Path(f"/proc/{pid}").exists())


def test_calls_of_several_callers_are_repeated_in_their_one_order() -> None:
    ledger = Ledger.options(checkpoint_every=50).remote()

    @shoal.remote
    def call(kept: Any, who: int) -> list[int]:
        return shoal.get([kept.add.remote(who * 1000 + i) for i in range(40)])

    shoal.get([call.remote(ledger, who) for who in range(3)])
    before = shoal.get(ledger.look.remote())[:3]
    kill(ledger)
    after = shoal.get(ledger.look.remote())[:3]
    assert after == before
    assert sorted(before[1]) == sorted(who * 1000 + i for who in range(3) for i in range(40))  # type: ignore[type-var]


def test_a_cancelled_call_that_ran_to_its_end_is_in_the_state(pipe: str, tmp_path: Path) -> None:
    begun = str(tmp_path / "begun")
    os.mkfifo(begun)
    ledger = Ledger.options(checkpoint_every=100).remote()
    shoal.get(ledger.add.remote(1))
    running = ledger.meet_twice.remote(begun, pipe)
    meet(begun, writing=False)
    shoal.cancel(running)
    meet(pipe, writing=True)
    with pytest.raises(shoal.TaskCancelledError):
        shoal.get(running, timeout=ANSWER_S)
    total = shoal.get(ledger.look.remote())[0]
    kill(ledger)
    assert shoal.get(ledger.look.remote())[0] == total


def test_a_long_log_ends_in_a_checkpoint_by_itself() -> None:
    ledger = Ledger.options(checkpoint_every=10**9).remote()
    blob = "x" * 30_000  # below what becomes an object of its own
    n = (32 << 20) // len(blob)
    shoal.get([ledger.take.remote(blob) for _ in range(n)])
    assert 1 <= shoal.get(ledger.checkpoints.remote()) <= 4
    kill(ledger)
    assert len(shoal.get(ledger.look.remote())[1]) == n


@shoal.remote(max_restarts=2, checkpoint_every=100)
class Moody:
    """Does not do the same again."""

    def __init__(self, path: str) -> None:
        self.path = path

    def checkpoint(self) -> None:
        raise KeyError("no state today")

    def restore(self, saved: None) -> None: ...

    def once(self) -> None:
        if os.path.exists(self.path):
            raise RuntimeError("again?")
        Path(self.path).touch()

    def exit(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_call_that_ends_otherwise_when_it_is_repeated_ends_the_actor(tmp_path: Path) -> None:
    moody = Moody.options(max_task_retries=0).remote(str(tmp_path / "seen"))
    shoal.get(moody.once.remote())
    moody.exit.remote()
    with pytest.raises(shoal.ActorDiedError, match=r"Moody\.once had returned before .* raises RuntimeError") as found:
        shoal.get(moody.once.remote(), timeout=ANSWER_S)
    assert isinstance(found.value.cause, shoal.NonDeterministicTaskError)


def test_a_checkpoint_that_raises_ends_the_actor(tmp_path: Path) -> None:
    moody = Moody.options(checkpoint_every=1).remote(str(tmp_path / "seen"))
    shoal.get(moody.once.remote())  # it had an answer, and keeps it
    with pytest.raises(shoal.ActorDiedError, match=r"checkpoint\(\) failed"):
        shoal.get(moody.once.remote(), timeout=ANSWER_S)


def test_a_restore_that_raises_counts_as_a_death(tmp_path: Path) -> None:
    @shoal.remote(max_restarts=3, checkpoint_every=1)
    class Late:
        def __init__(self) -> None:
            self.n = 0

        def checkpoint(self) -> int:
            return self.n

        def restore(self, saved: int) -> None:
            if not (tmp_path / "tried").exists():
                (tmp_path / "tried").touch()
                raise OSError("not yet")
            self.n = saved

        def add(self) -> int:
            self.n += 1
            return self.n

        def pid(self) -> int:
            return os.getpid()

    late = Late.remote()
    assert shoal.get([late.add.remote(), late.add.remote()]) == [1, 2]
    kill(late)
    assert shoal.get(late.add.remote(), timeout=ANSWER_S) == 3


def test_after_the_last_restart_nothing_is_logged_any_more() -> None:
    ledger = Ledger.options(max_restarts=1).remote()
    shoal.get([ledger.add.remote(1) for _ in range(6)])
    kill(ledger)
    assert shoal.get([ledger.add.remote(1) for _ in range(10)])[-1] == 16
    assert shoal.get(ledger.checkpoints.remote()) == 1
    processes.kill(shoal.get(ledger.pid.remote()))
    with pytest.raises(shoal.ActorDiedError):
        shoal.get(ledger.add.remote(1), timeout=ANSWER_S)


def test_refs_in_the_state_live_as_long_as_the_checkpoint() -> None:
    @shoal.remote(max_restarts=-1, checkpoint_every=1)
    class Keeper:
        def __init__(self) -> None:
            self.ref: Any = None

        def checkpoint(self) -> Any:
            return {"ref": self.ref}

        def restore(self, saved: Any) -> None:
            self.ref = saved["ref"]

        def make(self) -> None:
            self.ref = shoal.put(np.arange(100_000))

        def read(self) -> int:
            return int(shoal.get(self.ref)[-1])

        def pid(self) -> int:
            return os.getpid()

    keeper = Keeper.remote()
    shoal.get(keeper.make.remote())
    kill(keeper)
    kill(keeper)
    assert shoal.get(keeper.read.remote()) == 99_999


def test_a_detached_actor_keeps_calls_of_a_driver_that_is_gone(address: str) -> None:
    ledger = Ledger.options(name="kept", lifetime="detached", namespace="ledgers", checkpoint_every=100).remote()
    shoal.get(ledger.add.remote(1))
    program = """
        import sys
        import shoal
        shoal.init(address=sys.argv[1])
        kept = shoal.get_actor("kept", namespace="ledgers")
        print(shoal.get([kept.add.remote(i) for i in (10, 20)]))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=False)
    assert done.stdout == "[11, 31]\n", done.stderr
    kill(ledger)
    assert shoal.get(ledger.look.remote())[:2] == (31, [1, 10, 20])
    shoal.kill(ledger)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"max_restarts": 0}, ValueError, "max_restarts"),
        ({"max_concurrency": 2}, ValueError, "max_concurrency"),
        ({"concurrency_groups": {"a": 1}}, ValueError, "concurrency groups"),
        ({"checkpoint_every": -1}, ValueError, "checkpoint_every"),
        ({"checkpoint_every": 1.5}, TypeError, "checkpoint_every"),
    ],
)
def test_actors_that_cannot_have_checkpoints(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Ledger.options(**options).remote()


def test_classes_that_cannot_have_checkpoints() -> None:
    class Bare:
        def checkpoint(self) -> None: ...

    class Streaming(Bare):
        def restore(self, saved: object) -> None: ...

        def items(self) -> Iterator[int]:
            yield 1

    class Async(Streaming):
        async def items(self) -> None: ...  # type: ignore[override]

    options = {"max_restarts": 1, "checkpoint_every": 1}
    with pytest.raises(TypeError, match=r"Bare has no restore\(self, state\)"):
        shoal.remote(Bare).options(**options).remote()
    with pytest.raises(ValueError, match=r"Streaming\.items is a generator"):
        shoal.remote(Streaming).options(**options).remote()
    with pytest.raises(ValueError, match="async methods"):
        shoal.remote(Async).options(**options).remote()
    assert shoal.get(shoal.remote(Bare).remote().checkpoint.remote()) is None  # without the option: a method


def test_a_streaming_call_is_refused_and_changes_nothing() -> None:
    ledger = Ledger.remote()
    items = ledger.yields.options(num_returns="streaming").remote()
    with pytest.raises(ValueError, match="checkpoint_every"):
        shoal.get(next(iter(items)))
    assert shoal.get(ledger.add.remote(1)) == 1
