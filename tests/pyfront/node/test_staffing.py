# SPDX-License-Identifier: Apache-2.0
"""Workers are started when they are needed, not twice for one need, and not without end when they fail."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from shoal.node.newborn import STILLBORN
from shoal.node.staffing import FIRST_PAUSE_S, Staffing

N_CPUS = 2


class FakeProcess(SimpleNamespace):
    """What staffing uses of a worker's process."""


class Scene:
    """Staffing with its pool and core played by the test."""

    def __init__(self) -> None:
        self.processes: list[FakeProcess] = []
        self.arrived: list[dict[str, int]] = []
        self.warnings: list[str] = []
        self.job: Any = SimpleNamespace(root=1, warn=self.warnings.append)
        core: Any = SimpleNamespace(clients=lambda: self.arrived)
        pool: Any = SimpleNamespace(start=self.start, of_job=lambda job: self.processes)
        self.staffing = Staffing(core, pool, N_CPUS)

    def start(self, job: object, actor: None = None, *, idle_exit_s: float | None = None) -> None:
        index = len(self.processes) + 1
        self.processes.append(
            FakeProcess(actor=None, job=job, is_spare=idle_exit_s is not None, key=(index, 1), pid=index, status=None)
        )

    def arrive(self) -> None:
        self.arrived = [
            {"index": index, "epoch": 1, "run_state": 3} for index, _ in (process.key for process in self.processes)
        ]

    def needed(self, count: int) -> int:
        """-> how many were started."""
        before = len(self.processes)

        async def say() -> None:
            self.staffing.needed(self.job, count)

        asyncio.run(say())
        return len(self.processes) - before

    def end(self, code: int) -> None:
        process: Any = FakeProcess(
            actor=None,
            job=self.job,
            pid=9,
            status=code << 8,
            reason="",
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


def test_workers_that_can_not_start_are_not_started_again_at_once(scene: Scene) -> None:
    scene.end(STILLBORN)
    assert scene.needed(1) == 0
    assert f"{FIRST_PAUSE_S:g} s" in scene.warnings[0]
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
