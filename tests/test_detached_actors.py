# SPDX-License-Identifier: Apache-2.0
"""Detached actors outlive their handles, their driver and its job, and end when they are killed."""

import gc
import os
import select
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.chaos.census import Census

import shoal
from shoal.util import list_named_actors

Script = Callable[..., "subprocess.Popen[str]"]

EXIT_S = 20


@pytest.fixture(autouse=True)
def address() -> Iterator[str]:
    with shoal.init(num_cpus=2, namespace="here") as context:
        yield context.address


CREATOR = """
import os
import sys
import shoal

context = shoal.init(address=sys.argv[1], namespace="here")

@shoal.remote
def triple(n):
    return 3 * n

@shoal.remote
class Child:
    def pid(self):
        return os.getpid()

@shoal.remote(lifetime="detached")
class Keeper:
    def __init__(self, kept):
        self.kept = kept
        self.box = shoal.put([kept, 2])

    def keep(self):
        self.child = Child.remote()
        return self.box

    def read(self):
        return shoal.get(self.box)

    def work(self, n):
        return shoal.get(triple.remote(n))

    def child_pid(self):
        return shoal.get(self.child.pid.remote())

    def pid(self):
        return os.getpid()
"""


def run(script: Script, source: str, *arguments: str) -> str:
    process = script(CREATOR + source, *arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.strip()


def is_gone(pidfd: int) -> bool:
    try:
        return bool(select.select([pidfd], [], [], EXIT_S)[0])
    finally:
        os.close(pidfd)


def test_it_outlives_the_driver_that_made_it(script: Script, address: str) -> None:
    run(
        script,
        "keeper = Keeper.options(name='keeper').remote([shoal.put(7)])\nshoal.get(keeper.keep.remote())",
        address,
    )
    keeper: Any = shoal.get_actor("keeper")
    kept, two = shoal.get(keeper.read.remote())
    assert (shoal.get(kept[0]), two) == (7, 2)
    assert shoal.get(keeper.work.remote(5)) == 15  # a task of its own, by a function that only its creator exported
    child = os.pidfd_open(shoal.get(keeper.child_pid.remote()))
    process = os.pidfd_open(shoal.get(keeper.pid.remote()))
    shoal.kill(keeper)
    assert is_gone(process)
    assert is_gone(child)
    with pytest.raises(shoal.ActorDiedError, match="kill"):
        shoal.get(keeper.read.remote())
    assert list_named_actors() == []


def test_a_driver_may_leave_before_the_constructor_has_run(script: Script, address: str) -> None:
    for _ in range(5):
        run(script, "Keeper.options(name='keeper').remote(7)\nshoal.shutdown()", address)
        keeper: Any = shoal.get_actor("keeper")
        assert shoal.get(keeper.read.remote(), timeout=60) == [7, 2]
        shoal.kill(keeper)
        with pytest.raises(shoal.ActorDiedError):
            shoal.get(keeper.read.remote())


def test_it_outlives_its_handles() -> None:
    @shoal.remote
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def add(self) -> int:
            self.n += 1
            return self.n

    counter = Counter.options(name="counter", lifetime="detached").remote()
    assert shoal.get(counter.add.remote()) == 1
    del counter
    gc.collect()
    again: Any = shoal.get_actor("counter")
    assert shoal.get(again.add.remote()) == 2
    with pytest.raises(shoal.ActorNameTakenError):
        Counter.options(name="counter", lifetime="detached").remote()
    shoal.kill(again)
    with pytest.raises(shoal.ActorDiedError):
        shoal.get(again.add.remote())
    with pytest.raises(shoal.ActorNotFoundError):
        shoal.get_actor("counter")


def test_what_it_made_lives_with_others_and_its_jobs_end_with_it() -> None:
    before = shoal.get_runtime_context().get_job_id()

    @shoal.remote(lifetime="detached", name="maker")
    class Maker:
        def make(self) -> list[Any]:
            return [shoal.put(1)]

        def job(self) -> str:
            return shoal.get_runtime_context().get_job_id()

        def leave(self) -> None:
            shoal.exit_actor()

    maker = Maker.remote()
    assert shoal.get(maker.job.remote()) != before
    made = shoal.get(maker.make.remote())[0]
    with pytest.raises(shoal.ActorDiedError, match="exit_actor"):
        shoal.get(maker.leave.remote())
    assert shoal.get(made) == 1


def test_a_namespace_of_its_own(script: Script, address: str) -> None:
    run(script, "Keeper.options(name='keeper', namespace='there').remote(1)", address)
    with pytest.raises(shoal.ActorNotFoundError):
        shoal.get_actor("keeper")
    keeper: Any = shoal.get_actor("keeper", namespace="there")
    assert shoal.get(keeper.read.remote()) == [1, 2]


def test_one_without_a_name_is_refused() -> None:
    @shoal.remote
    class Actor: ...

    with pytest.raises(ValueError, match="name"):
        Actor.options(lifetime="detached").remote()
    with pytest.raises(ValueError, match="lifetime"):
        Actor.options(lifetime="for ever")
    assert Actor.options(lifetime="non_detached").remote()


def test_nothing_is_left_of_one_that_ended(script: Script, address: str) -> None:
    taken = Census()
    for _ in range(3):
        run(script, "shoal.get(Keeper.options(name='keeper').remote([shoal.put(7)]).keep.remote())", address)
        keeper: Any = shoal.get_actor("keeper")
        processes = [os.pidfd_open(shoal.get(ref)) for ref in (keeper.pid.remote(), keeper.child_pid.remote())]
        shoal.kill(keeper)
        assert [is_gone(process) for process in processes] == [True, True]
        with pytest.raises(shoal.ActorDiedError):
            shoal.get(keeper.read.remote())
        del keeper
    taken.assert_as_before()
