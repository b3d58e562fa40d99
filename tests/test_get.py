# SPDX-License-Identifier: Apache-2.0
"""`get` of lists: values in order, time-outs, and the first error at once, whatever the others do."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import shoal
from shoal import runtime

ENOUGH_S = 60.0
pause = threading.Event().wait


pytestmark = pytest.mark.usefixtures("module_node")


@shoal.remote
def same(x: Any) -> Any:
    return x


@shoal.remote(num_cpus=0)
def fail(text: str) -> None:
    raise ValueError(text)


@shoal.remote(num_cpus=0)
def read(path: str) -> str:
    with open(path) as file:
        return file.read()


@shoal.remote(num_cpus=0)
def fail_after(path: str) -> None:
    with open(path) as file:
        raise ValueError(file.read())


class Gates:
    """Tasks that end when told to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._closed: list[str] = []

    def task(self, name: str, function: Any = read) -> "shoal.ObjectRef[Any]":
        os.mkfifo(self._folder / name)
        self._closed.append(name)
        ref: shoal.ObjectRef[Any] = function.remote(str(self._folder / name))
        return ref

    def open(self, name: str) -> None:
        self._closed.remove(name)
        with open(self._folder / name, "w") as file:
            file.write(name)

    def open_all(self) -> None:
        for name in list(self._closed):
            self.open(name)


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Gates]:
    made = Gates(tmp_path)
    yield made
    made.open_all()


def once_parked(action: Callable[[], object]) -> threading.Thread:
    """Runs `action` in a thread as soon as this process sleeps in a wait."""
    client = runtime.connected().client
    before = client.counters()["parks"]

    def run() -> None:
        deadline_s = time.monotonic() + ENOUGH_S
        while client.counters()["parks"] == before and time.monotonic() < deadline_s:
            pause(0.001)
        action()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_values_come_in_the_order_of_the_refs(gates: Gates) -> None:
    refs = [gates.task("a"), same.remote(1), shoal.put(2), gates.task("b")]
    thread = once_parked(gates.open_all)
    assert shoal.get(refs, timeout=ENOUGH_S) == ["a", 1, 2, "b"]
    thread.join()
    assert shoal.get(tuple(refs)) == ["a", 1, 2, "b"]
    assert shoal.get([]) == []


def test_a_ref_may_be_there_more_than_once(gates: Gates) -> None:
    closed, value = gates.task("a"), same.remote(1)
    thread = once_parked(gates.open_all)
    assert shoal.get([closed, value, closed, value, value], timeout=ENOUGH_S) == ["a", 1, "a", 1, 1]
    thread.join()
    failed = fail.remote("twice")
    with pytest.raises(ValueError, match="twice"):
        shoal.get([failed, value, failed])


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_time_runs_out(gates: Gates, timeout: float) -> None:
    refs = [same.remote(1), gates.task("closed"), same.remote(2)]
    with pytest.raises(shoal.GetTimeoutError):
        shoal.get(refs, timeout=timeout)
    gates.open_all()
    assert shoal.get(refs, timeout=ENOUGH_S) == [1, "closed", 2]


def test_ten_thousand_refs_are_watched_by_one_wait() -> None:
    client = runtime.connected().client
    before = client.counters()["parks"]
    assert shoal.get([same.remote(n) for n in range(10_000)], timeout=ENOUGH_S) == list(range(10_000))
    assert client.counters()["parks"] - before < 1_000  # not one for each


def test_one_error_among_ten_thousand_refs(gates: Gates) -> None:
    refs = [gates.task("never"), *(same.remote(n) for n in range(10_000)), gates.task("bad", fail_after)]
    thread = once_parked(lambda: gates.open("bad"))
    with pytest.raises(ValueError, match="bad"):
        shoal.get([*refs, refs[0]], timeout=ENOUGH_S)
    thread.join()


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("timeout", [None, ENOUGH_S, 0])
def test_an_error_that_is_there_is_raised_though_others_are_not(
    gates: Gates, place: int, timeout: float | None
) -> None:
    refs: list[shoal.ObjectRef[Any]] = [gates.task("never"), gates.task("neither")]
    failed = fail.remote("there")
    shoal.wait([failed])
    refs.insert(place, failed)
    with pytest.raises(ValueError, match="there"):
        shoal.get(refs, timeout=timeout)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_error_is_raised_when_it_comes_though_others_never_do(gates: Gates, place: int) -> None:
    refs: list[shoal.ObjectRef[Any]] = [gates.task("never"), gates.task("neither")]
    refs.insert(place, gates.task("late", fail_after))
    thread = once_parked(lambda: gates.open("late"))
    with pytest.raises(ValueError, match="late"):
        shoal.get(refs)
    thread.join()


def test_the_first_of_several_errors_in_the_list_is_raised(gates: Gates) -> None:
    refs = [same.remote(1), fail.remote("first"), fail.remote("second")]
    shoal.wait(refs, num_returns=3)
    for items in (refs, [*refs, gates.task("never")]):
        with pytest.raises(ValueError, match="first"):
            shoal.get(items)


def test_errors_of_others_do_not_disturb(gates: Gates) -> None:
    others = [gates.task(f"other{n}", fail_after) for n in range(20)]

    def let_all_go() -> None:
        for n in range(20):
            gates.open(f"other{n}")
        shoal.wait(others, num_returns=20)
        gates.open_all()

    refs = [gates.task("a"), gates.task("b")]
    thread = once_parked(let_all_go)
    assert shoal.get(refs, timeout=ENOUGH_S) == ["a", "b"]
    thread.join()


def test_the_death_of_a_worker_is_such_an_error(gates: Gates) -> None:
    @shoal.remote(num_cpus=0, max_retries=0)
    def die_after(path: str) -> None:
        with open(path) as file:
            file.read()
        os.kill(os.getpid(), signal.SIGKILL)

    refs = [gates.task("die", die_after), gates.task("never")]
    thread = once_parked(lambda: gates.open("die"))
    with pytest.raises(shoal.WorkerCrashedError):
        shoal.get(refs)
    thread.join()


def test_the_death_of_an_actor_is_such_an_error(gates: Gates) -> None:
    @shoal.remote
    class Reader:
        def read(self, path: str) -> str:
            with open(path) as file:
                return file.read()

    actor = Reader.remote()
    refs = [gates.task("stuck", actor.read), gates.task("never")]
    thread = once_parked(lambda: shoal.kill(actor))
    with pytest.raises(shoal.ActorDiedError):
        shoal.get(refs)
    thread.join()
    gates._closed.remove("stuck")  # nobody reads it any more


def test_an_error_ends_the_get_of_a_task(gates: Gates) -> None:
    @shoal.remote
    def outer(box: list["shoal.ObjectRef[Any]"]) -> str:
        try:
            shoal.get(box)
        except ValueError as error:
            return str(error).splitlines()[0]
        return "no error"

    box = [gates.task("late", fail_after), gates.task("never")]
    refs = [outer.remote(box) for _ in range(4)]
    gates.open("late")
    assert shoal.get(refs, timeout=ENOUGH_S) == ["ValueError: late"] * 4


def test_threads_are_told_of_their_own_errors(gates: Gates) -> None:
    found: dict[str, str] = {}

    def get(name: str) -> None:
        try:
            found[name] = shoal.get([bad[name], good[name]], timeout=ENOUGH_S)[1]
        except ValueError as error:
            found[name] = error.args[0]

    names = [f"{n}" for n in range(4)]
    bad = {name: gates.task(f"bad{name}", fail_after if int(name) % 2 else read) for name in names}
    good = {name: gates.task(f"good{name}") for name in names}
    threads = [threading.Thread(target=get, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for name in names:
        gates.open(f"bad{name}")
    for name in ("1", "3"):
        threads[int(name)].join()
    gates.open_all()
    for thread in threads:
        thread.join()
    assert found == {"0": "good0", "1": "bad1", "2": "good2", "3": "bad3"}


def test_a_list_that_is_changed_meanwhile_is_read_as_it_was(gates: Gates) -> None:
    refs: list[Any] = [gates.task("a"), same.remote(1)]

    def change() -> None:
        refs[0] = "no ref any more"
        del refs[1:]
        gates.open_all()

    thread = once_parked(change)
    assert shoal.get(refs, timeout=ENOUGH_S) == ["a", 1]
    thread.join()
