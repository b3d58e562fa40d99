# SPDX-License-Identifier: Apache-2.0
"""The guard of the node's memory, with figures that the test makes up: whom it ends, when, and what it says."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from shoal._core._node import ROLE_ACTOR, ROLE_WORKER, VERDICT_LIMIT, VERDICT_PRESSURE
from shoal.config import MemoryConfig
from shoal.memory import GIB, MIB, NodeMemory
from shoal.node.memory_guard import MemoryGuard
from shoal.protocol.messages import MemoryEnd

SIGKILLED = 9  # as waitpid gives it
EXITED = 0
SHORT = NodeMemory(10 * GIB, 9 * GIB)


class FakeCore:
    """Knows the calls that run, and which of them it lets be condemned."""

    def __init__(self) -> None:
        self.clients: list[dict[str, Any]] = []
        self.condemned: list[tuple[int, Any, int]] = []
        self.has_moved_on = False
        self.retries: tuple[int, float] | None = None

    def set_pressure_retries(self, count: int, pause_s: float) -> None:
        self.retries = (count, pause_s)

    def running(self, limited_only: bool = False) -> list[dict[str, Any]]:
        return [client for client in self.clients if client["allowance"] or not limited_only]

    def condemn(self, index: int, epoch: int, task: tuple[int, int], verdict: int) -> bool:
        if not self.has_moved_on:
            self.condemned.append((index, task, verdict))
        return not self.has_moved_on

    def counters(self) -> dict[str, int]:
        return {"live_bytes": 3 * MIB}


class FakeMeter:
    """Says what the test wants."""

    def __init__(self) -> None:
        self.held: dict[int, int] = {}
        self.kills = 4
        self.reading = SHORT

    def node(self) -> NodeMemory:
        return self.reading

    def private(self, pid: int) -> int:
        return self.held.get(pid, 0)

    def oom_kills(self) -> int:
        return self.kills


class Scene:
    """A guard over processes that die when they are told to."""

    def __init__(self) -> None:
        self.core, self.meter = FakeCore(), FakeMeter()
        self.processes: list[Any] = []
        self.killed: list[int] = []
        self.warnings: list[str] = []
        driver = SimpleNamespace(pid=9)
        self.job = SimpleNamespace(
            driver=driver, functions={b"f": (b"", "simulate")}, classes={3: {"memory": 100.0 * MIB}}, warn=self.warn
        )
        pool: Any = type(
            "Pool",
            (),
            {
                "of_client": staticmethod(self.of_client),
                "kill": staticmethod(self.kill),
                "__iter__": lambda _: iter(self.processes),
            },
        )()
        core: Any = self.core
        meter: Any = self.meter
        jobs: Any = [self.job]
        self.guard = MemoryGuard(core, pool, jobs, meter, MemoryConfig(0.8, 2, 0.5))

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def of_client(self, index: int, epoch: int) -> Any:
        return next((process for process in self.processes if process.key == (index, epoch)), None)

    def kill(self, process: Any, reason: str) -> None:
        process.is_condemned = True
        self.killed.append(process.pid)

    def add(self, index: int, held: int, *, actor: str | None = None, limit: int = 0, **fields: int) -> Any:
        """One process that runs something; `limit` beyond the 10 MiB that it held before."""
        pid = 100 + index
        self.meter.held[pid] = held
        self.core.clients.append(
            {
                "index": index,
                "epoch": 1,
                "pid": pid,
                "role": ROLE_ACTOR if actor else ROLE_WORKER,
                "root": 1,
                "class_id": 3,
                "task": (index, 1),
                "key": b"f",
                "attempt": 0,
                "max_retries": 3,
                "pressed": 0,
                "restarts": 0,
                "since_ns": index,
                "allowance": 10 * MIB + limit if limit else 0,
                "baseline": 10 * MIB,
                **fields,
            }
        )
        order = None if actor is None else SimpleNamespace(name=None, class_name=actor)
        process = SimpleNamespace(
            key=(index, 1),
            pid=pid,
            job=self.job,
            actor=order,
            is_condemned=False,
            status=None,
            memory=None,
            output=None,
        )
        self.processes.append(process)
        return process


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_core_learns_the_rules_of_retries(scene: Scene) -> None:
    assert scene.core.retries == (2, 0.5)


def test_only_who_is_over_its_limit_is_ended(scene: Scene) -> None:
    offender = scene.add(1, 150 * MIB, limit=100 * MIB)
    scene.add(2, 109 * MIB, limit=100 * MIB)
    scene.add(3, 900 * MIB)
    scene.guard.measure()
    assert scene.killed == [offender.pid]
    assert scene.core.condemned == [(1, (1, 1), VERDICT_LIMIT)]
    end = offender.memory
    assert (end.cause, end.name, end.peak_bytes, end.limit_bytes) == (
        MemoryEnd.LIMIT,
        "simulate",
        140 * MIB,
        100 * MIB,
    )
    for part in ("9.0 GiB of 10.0 GiB", "objects take 3 MiB", "simulate (pid 101) 150 MiB", "the driver (pid 9)"):
        assert part in end.node
    scene.guard.measure()
    assert scene.killed == [offender.pid]


def test_a_call_that_has_just_ended_is_left_alone(scene: Scene) -> None:
    process = scene.add(1, 150 * MIB, limit=100 * MIB)
    scene.core.has_moved_on = True
    scene.guard.measure()
    scene.guard.relieve(SHORT)
    assert scene.killed == []
    assert process.memory is None


def test_an_actor_is_ended_without_asking_which_call_it_runs(scene: Scene) -> None:
    actor = scene.add(1, 150 * MIB, actor="Learner", limit=100 * MIB)
    scene.guard.measure()
    assert scene.killed == [actor.pid]
    assert scene.core.condemned == []
    assert actor.memory.name == "Learner"


def test_a_short_node_ends_one_and_waits_for_its_end(scene: Scene) -> None:
    first, second = scene.add(1, GIB), scene.add(2, GIB)
    scene.guard.relieve(SHORT)
    scene.guard.relieve(SHORT)
    assert scene.killed == [second.pid]
    assert scene.core.condemned == [(2, (2, 1), VERDICT_PRESSURE)]
    assert second.memory.cause == MemoryEnd.PRESSURE
    second.status = SIGKILLED
    scene.core.clients.pop()
    scene.processes.remove(second)
    scene.guard.relieve(SHORT)
    assert scene.killed == [second.pid, first.pid]


def test_what_was_done_is_told_to_the_driver(scene: Scene) -> None:
    scene.add(1, GIB, pressed=1)
    scene.guard.relieve(SHORT)
    (text,) = scene.warnings
    for part in ("9.0 GiB of 10.0 GiB", "80%", "Ended simulate (pid 101)", "held 1.0 GiB", "retry 2 of 2"):
        assert part in text


@pytest.mark.parametrize(
    ("fields", "told"), [({"max_retries": 0}, "its max_retries is 0"), ({"pressed": 2}, "this was attempt 3")]
)
def test_who_has_no_retries_is_ended_after_all_others(scene: Scene, fields: dict[str, int], told: str) -> None:
    retriable, final = scene.add(1, GIB), scene.add(2, GIB, **fields)
    scene.guard.relieve(SHORT)
    assert scene.killed == [retriable.pid]
    retriable.status = SIGKILLED
    scene.guard.relieve(SHORT)
    assert scene.killed == [retriable.pid, final.pid]
    assert told in scene.warnings[-1]


def test_actors_come_after_tasks_that_are_run_again(scene: Scene) -> None:
    task, actor = scene.add(1, GIB), scene.add(2, GIB, actor="Learner")
    scene.guard.relieve(SHORT)
    task.status = SIGKILLED
    scene.guard.relieve(SHORT)
    assert scene.killed == [task.pid, actor.pid]
    assert "Learner" in scene.warnings[-1]
    assert "not restarted" in scene.warnings[-1]


async def helpless(scene: Scene) -> None:
    scene.guard.relieve(SHORT)
    scene.guard.relieve(SHORT)


def test_when_nobody_is_worth_ending_that_is_told_once(scene: Scene) -> None:
    scene.add(1, MIB)
    asyncio.run(helpless(scene))
    assert scene.killed == []
    (text,) = scene.warnings
    assert "worth ending" in text


def test_a_kill_that_the_kernel_has_counted_is_put_down_to_it(scene: Scene) -> None:
    process = scene.add(1, GIB, actor="Learner")
    process.status = SIGKILLED
    scene.guard.explain(process)
    assert process.memory is None  # nothing was counted: somebody else has killed it
    scene.meter.kills += 1
    scene.guard.explain(process)
    assert process.memory.cause == MemoryEnd.KERNEL
    assert process.memory.name == "Learner"


@pytest.mark.parametrize(("status", "is_condemned"), [(EXITED, False), (SIGKILLED, True)])
def test_other_ends_are_not(scene: Scene, status: int, is_condemned: bool) -> None:
    process = scene.add(1, GIB)
    process.status, process.is_condemned = status, is_condemned
    scene.meter.kills += 1
    scene.guard.explain(process)
    assert process.memory is None


def test_a_look_that_fails_is_not_the_last(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.add(1, GIB)
    looks = []

    def running(limited_only: bool = False) -> list[dict[str, Any]]:
        looks.append(len(looks))
        if len(looks) == 1:
            raise LookupError("a defect")
        return scene.core.clients

    async def watch() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        scene.guard.start()
        while not scene.killed:
            await asyncio.sleep(0)
        scene.guard.stop()

    monkeypatch.setattr(scene.core, "running", running)
    monkeypatch.setattr("shoal.node.memory_guard.SELDOM_S", 0.01)
    monkeypatch.setattr("shoal.node.memory_guard.next_look_s", lambda reading, threshold: 0.01)
    asyncio.run(watch())
    assert scene.killed == [101]
