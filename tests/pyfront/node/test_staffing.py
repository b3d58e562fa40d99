# SPDX-License-Identifier: Apache-2.0
"""Workers are started when they are needed, not twice for one need, and not without end when they fail."""

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from shoal._core._node import RUN_BUSY, RUN_PARKED
from shoal.node import staffing
from shoal.node.crews import Crew
from shoal.node.newborn import STILLBORN
from shoal.node.staffing import CREW_PER_CPU, FIRST_PAUSE_S, Staffing
from shoal.protocol.environment import Environment

N_CPUS = 2


class FakeProcess(SimpleNamespace):
    """What staffing uses of a worker's process."""


class FakePool(list[FakeProcess]):
    """The processes that there are."""

    def __init__(self, scene: "Scene") -> None:
        self.scene = scene
        self.start = scene.start

    def __iter__(self) -> Iterator[FakeProcess]:
        return iter(self.scene.processes)

    def of_job(self, job: object) -> list[FakeProcess]:
        return self.scene.processes

    def retire(self, process: FakeProcess) -> None:
        process.is_retired = True


class Scene:
    """Staffing with its pool and core played by the test."""

    def __init__(self) -> None:
        self.processes: list[FakeProcess] = []
        self.arrived: list[dict[str, int]] = []
        self.warnings: list[str] = []
        hello = SimpleNamespace(has_environment=False)
        self.job: Any = SimpleNamespace(root=1, warn=self.warnings.append, hello=hello)
        self.is_ready = True
        self.whens: list[Callable[[], None] | None] = []
        core: Any = SimpleNamespace(clients=lambda: self.arrived)
        crews: Any = SimpleNamespace(is_ready=self.ask_ready)
        self.staffing = Staffing(core, FakePool(self), crews, N_CPUS)  # type: ignore[arg-type]

    def ask_ready(self, crew: Crew, then: Callable[[], None] | None = None) -> bool:
        self.whens.append(then)
        return self.is_ready

    def crew(self, *, is_main: bool = False) -> Crew:
        return Crew((1 << 31) + len(self.processes), self.job, Environment(env_vars={"A": "1"}), is_main=is_main)

    def start(
        self, job: object, actor: None = None, *, idle_exit_s: float | None = None, crew: Crew | None = None
    ) -> None:
        index = len(self.processes) + 1
        self.processes.append(
            FakeProcess(
                actor=None,
                job=job,
                is_spare=idle_exit_s is not None,
                key=(index, 1),
                pid=index,
                status=None,
                crew=crew,
                is_retired=False,
            )
        )

    def arrive(self, run_state: int = RUN_PARKED, *, is_blocked: bool = False) -> None:
        self.arrived = [
            {"index": index, "epoch": 1, "run_state": run_state, "is_blocked": is_blocked}
            for index, _ in (process.key for process in self.processes)
        ]

    def needed(self, count: int, crew: Crew | None = None) -> int:
        """-> how many were started."""
        before = len(self.processes)

        async def say() -> None:
            self.staffing.needed(self.job, count, crew)

        asyncio.run(say())
        return len(self.processes) - before

    def end(self, code: int) -> None:
        process: Any = FakeProcess(
            actor=None,
            job=self.job,
            pid=9,
            status=code << 8,
            reason="",
            crew=None,
            output=SimpleNamespace(stderr_tail=["ImportError"]),
        )

        async def say() -> None:
            self.staffing.process_ended(process)

        asyncio.run(say())


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_job_begins_with_a_worker_per_cpu_that_stays(scene: Scene) -> None:
    scene.staffing.job_began(scene.job)
    assert [process.is_spare for process in scene.processes] == [False] * N_CPUS


def test_a_need_that_is_repeated_is_met_once(scene: Scene) -> None:
    scene.staffing.job_began(scene.job)
    assert scene.needed(2) == 0  # those of the beginning are on their way
    scene.arrive()
    assert scene.needed(2) == 2
    assert scene.needed(2) == 0
    assert scene.needed(3) == 1


def test_workers_beyond_one_per_cpu_are_spare(scene: Scene) -> None:
    scene.staffing.job_began(scene.job)
    scene.arrive()
    scene.needed(2)
    assert [process.is_spare for process in scene.processes] == [False, False, True, True]


def test_a_worker_that_replaces_a_dead_one_stays(scene: Scene) -> None:
    scene.staffing.job_began(scene.job)
    scene.arrive()
    del scene.processes[0]
    scene.needed(2)
    assert [process.is_spare for process in scene.processes] == [False, False, True]


def test_workers_that_can_not_start_are_not_started_again_at_once(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staffing, "FIRST_PAUSE_S", 20.0)  # this test may be held up, too
    scene.end(STILLBORN)
    assert scene.needed(1) == 0
    assert "20 s" in scene.warnings[0]
    assert "ImportError" in scene.warnings[0]


def test_pauses_grow_and_end_with_the_first_success(scene: Scene) -> None:
    for _ in range(3):
        scene.end(STILLBORN)
    assert f"{4 * FIRST_PAUSE_S:g} s" in scene.warnings[-1]
    scene.end(0)
    scene.end(STILLBORN)
    assert f"{FIRST_PAUSE_S:g} s" in scene.warnings[-1]


def test_workers_that_die_at_work_are_replaced_at_once(scene: Scene) -> None:
    scene.end(1)
    assert scene.needed(1) == 1
    assert scene.warnings == []


def test_a_crew_has_workers_only_when_its_environment_is_there(scene: Scene) -> None:
    scene.is_ready = False
    crew = scene.crew()
    assert scene.needed(1, crew) == 0
    scene.is_ready = True
    assert scene.needed(1, crew) == 1
    assert scene.processes[0].crew is crew
    assert scene.processes[0].is_spare


def test_a_jobs_own_environment_has_a_worker_per_cpu_that_stays(scene: Scene) -> None:
    scene.job.hello.has_environment = True
    scene.staffing.job_began(scene.job)
    assert scene.processes == []
    crew = scene.crew(is_main=True)
    for _ in range(2):
        scene.staffing.crew_began(crew)
    assert [(process.crew, process.is_spare) for process in scene.processes] == [(crew, False)] * N_CPUS


def test_workers_of_a_jobs_own_environment_come_when_it_is_there(scene: Scene) -> None:
    scene.is_ready = False
    scene.staffing.crew_began(scene.crew(is_main=True))
    assert scene.processes == []
    scene.is_ready = True
    (then,) = scene.whens
    assert then is not None
    then()
    assert len(scene.processes) == N_CPUS


def fill(scene: Scene, run_state: int, *, is_blocked: bool = False) -> list[Crew]:
    """As many crews as there is room for, with a worker each."""
    crews = [scene.crew() for _ in range(CREW_PER_CPU * N_CPUS)]
    for crew in crews:
        assert scene.needed(1, crew) == 1
    scene.arrive(run_state, is_blocked=is_blocked)
    return crews


def test_workers_of_other_environments_make_room_for_one_that_has_none(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staffing, "RETIRE_PAUSE_S", 1e9)  # this test may be held up, too
    scene.staffing._retired_s = -1e9
    fill(scene, RUN_PARKED)
    crew = scene.crew()
    for _ in range(2):  # one at a time
        assert scene.needed(1, crew) == 0
        assert [process.is_retired for process in scene.processes].count(True) == 1
    assert scene.processes[0].is_retired  # of those that are idle the one whose work is longest ago
    del scene.processes[0]
    assert scene.needed(1, crew) == 1


def test_a_crew_that_has_workers_drives_none_out(scene: Scene) -> None:
    crews = fill(scene, RUN_BUSY)
    assert scene.needed(2, crews[0]) == 0
    assert not any(process.is_retired for process in scene.processes)


def test_workers_that_are_parked_in_get_take_no_room(scene: Scene) -> None:
    """Else nested calls through many environments would wait for each other."""
    fill(scene, RUN_PARKED, is_blocked=True)
    assert scene.needed(1, scene.crew()) == 1
