# SPDX-License-Identifier: Apache-2.0
"""A worker's process is forgotten once, when it is both reaped and swept, and gives every descriptor back."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from tests.leftovers import descriptors

from shoal._core import status
from shoal.node import worker_pool
from shoal.node.connections import Connection
from shoal.node.crews import Crew
from shoal.node.descriptors import OF_DAEMON, OF_ORDER, Descriptors
from shoal.node.environments import Prepared
from shoal.node.worker_pool import WorkerPool, WorkerProcess
from shoal.protocol.environment import Environment
from shoal.protocol.messages import NodeConfig, Ok, Reply
from shoal.protocol.orders import ActorOrder, StartOrder

CONFIG = NodeConfig("node", "session", "/run", 1, {"CPU": 2.0}, 1 << 20)
ACTOR = ActorOrder(5, b"key", "Counter", None, "job-1", 1, False, b"")


class FakeCore:
    """Hands out client records while there are some."""

    segment_fd = 0
    poke_fd = 0

    def __init__(self) -> None:
        self.registered: list[tuple[int, ...]] = []
        self.is_full = False

    def register(self, pid: int, pidfd: int, role: int, class_id: int, root: int, crew: int) -> tuple[int, int]:
        if self.is_full:
            raise status.StoreFull
        self.registered.append((pid, class_id, root, crew))
        return len(self.registered), 1


class Scene:
    """A pool; zygote and core are played by the test, processes are real."""

    def __init__(self) -> None:
        self.core = FakeCore()
        self.ended: list[WorkerProcess] = []
        self.processes: list[subprocess.Popen[bytes]] = []
        self.job: Any = SimpleNamespace(
            root=1, namespace="job-1", hello=SimpleNamespace(cwd=b"/", sys_path=[]), print=lambda lines: None
        )
        core: Any = self.core
        order: Any = self.take_order
        self.descriptors = Descriptors()
        environments: Any = self
        self.pool = WorkerPool(core, CONFIG, order, self.connect, self.ended.append, self.descriptors, environments)
        self.orders: list[StartOrder] = []
        self.preparing: list[Callable[[Prepared], None]] = []

    def prepare(self, environment: Environment, path: list[str], then: Callable[[Prepared], None]) -> None:
        self.preparing.append(then)

    def take_order(self, order: StartOrder, descriptors: list[int]) -> None:
        self.orders.append(order)
        for fd in descriptors:
            os.close(fd)

    def connect(self, sock: Any, pid: int) -> Connection:
        async def answer(asker: Connection, message: object) -> Reply:
            return Ok()

        connection = Connection(sock, pid, answer, lambda connection: None)
        self.opening = asyncio.ensure_future(connection.open())
        return connection

    def fork(self, process: WorkerProcess) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(["sleep", "1000"])
        self.processes.append(child)
        self.pool.started(process.number, child.pid, os.pidfd_open(child.pid))
        return child

    def reap(self, child: subprocess.Popen[bytes]) -> None:
        child.wait(10)
        self.pool.exited(child.pid, 9)


def play(act: Callable[[Scene], Awaitable[None] | None]) -> Scene:
    """Run one act; every descriptor must come back."""
    before = descriptors()

    async def scenario() -> Scene:
        scene = Scene()
        rest = act(scene)
        if rest is not None:
            await rest
        for process in scene.ended:
            if process.connection is not None:
                await scene.opening
                process.connection.close()
                await asyncio.wait_for(asyncio.shield(process.connection.closed), 10)
        return scene

    scene = asyncio.run(scenario())
    assert list(scene.pool) == []
    assert descriptors() <= before
    return scene


@pytest.mark.parametrize("order", ["reaped first", "swept first"])
def test_a_process_has_ended_when_it_is_reaped_and_swept(order: str) -> None:
    def act(scene: Scene) -> None:
        process = scene.pool.start(scene.job, ACTOR)
        child = scene.fork(process)
        assert scene.core.registered == [(child.pid, 5, 1, 0)]
        scene.pool.kill(process, "it is time")
        if order == "reaped first":
            scene.reap(child)
            assert scene.ended == []
            scene.pool.swept(*process.key)
        else:
            scene.pool.swept(*process.key)
            assert scene.ended == []
            scene.reap(child)

    (process,) = play(act).ended
    death = process.death()
    assert (death.signal, death.exit_code, death.reason) == (9, None, "it is time")


def test_a_pid_that_is_used_again_before_the_sweep_is_another_process() -> None:
    def act(scene: Scene) -> None:
        old, new = scene.pool.start(scene.job), scene.pool.start(scene.job)
        child = scene.fork(old)
        scene.pool.kill(old, "")
        scene.reap(child)
        again = subprocess.Popen(["sleep", "1000"])
        scene.processes.append(again)
        scene.pool.started(new.number, child.pid, os.pidfd_open(again.pid))
        scene.pool.swept(*old.key)
        assert scene.ended == [old]
        scene.pool.kill(new, "")
        again.wait(10)
        scene.pool.exited(child.pid, 9)
        scene.pool.swept(*new.key)

    assert len(play(act).ended) == 2


def test_who_hangs_up_is_ended_but_not_who_has_died_of_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "HANG_UP_GRACE_S", 0.0)

    async def act(scene: Scene) -> None:
        dead, alive = scene.pool.start(scene.job), scene.pool.start(scene.job)
        children = [scene.fork(dead), scene.fork(alive)]
        children[0].terminate()
        os.waitid(os.P_PID, children[0].pid, os.WEXITED | os.WNOWAIT)  # the zygote has not told yet
        scene.pool.hung_up(dead)
        scene.pool.hung_up(alive)
        await asyncio.to_thread(children[1].wait, 10)
        for process, child in zip((dead, alive), children, strict=True):
            scene.pool.exited(child.pid, -child.wait())
            scene.pool.swept(*process.key)

    dead, alive = (process.death() for process in play(act).ended)
    assert (dead.signal, dead.reason) == (signal.SIGTERM, "")
    assert (alive.signal, alive.reason) == (signal.SIGKILL, "it closed its connection to the node")


def test_a_process_killed_before_it_is_born_never_becomes_a_client() -> None:
    def act(scene: Scene) -> None:
        process = scene.pool.start(scene.job)
        scene.pool.kill(process, "nobody wants it")
        scene.reap(scene.fork(process))
        assert scene.core.registered == []

    assert [process.death().reason for process in play(act).ended] == ["nobody wants it"]


def test_a_process_that_finds_no_record_is_ended() -> None:
    def act(scene: Scene) -> None:
        scene.core.is_full = True
        scene.reap(scene.fork(scene.pool.start(scene.job)))

    assert "room" in play(act).ended[0].reason


def test_an_order_that_fails_ends_the_process_that_never_was() -> None:
    def act(scene: Scene) -> None:
        scene.pool.not_started(scene.pool.start(scene.job).number, "out of processes")

    (process,) = play(act).ended
    assert process.death().pid == 0
    assert process.reason == "out of processes"


def test_the_death_of_a_strangers_child_is_of_no_interest() -> None:
    assert play(lambda scene: scene.pool.exited(1, 0)).ended == []


def test_without_descriptors_left_no_process_is_ordered_and_the_reason_says_so() -> None:
    async def scenario() -> Scene:
        scene = Scene()
        scene.descriptors = Descriptors(OF_DAEMON + 2 + OF_ORDER)  # two of so few may be spill files
        scene.pool._descriptors = scene.descriptors
        first, second = scene.pool.start(scene.job), scene.pool.start(scene.job)
        await asyncio.sleep(0)
        assert scene.ended == [second]
        scene.pool.not_started(first.number, "out of processes")
        third = scene.pool.start(scene.job)  # what the first had is free again
        scene.pool.not_started(third.number, "out of processes")
        return scene

    before = descriptors()
    reasons = [process.reason for process in asyncio.run(scenario()).ended]
    assert "ulimit" in reasons[0]
    assert reasons[1:] == ["out of processes"] * 2
    assert descriptors() <= before


ENVIRONMENT = Environment(env_vars={"A": "1"})


def crew_of(scene: Scene) -> Crew:
    return Crew(1 << 31, scene.job, ENVIRONMENT, is_main=False)


def test_the_zygote_is_asked_when_the_environment_is_there() -> None:
    def act(scene: Scene) -> None:
        process = scene.pool.start(scene.job, crew=crew_of(scene))
        assert scene.orders == []
        assert process.is_unprepared
        scene.preparing[0](Prepared("/prefix"))
        assert [(order.environment, order.prefix) for order in scene.orders] == [(ENVIRONMENT, "/prefix")]
        child = scene.fork(process)
        assert scene.core.registered == [(child.pid, -1, 1, 1 << 31)]
        scene.pool.kill(process, "enough")
        scene.reap(child)
        scene.pool.swept(*process.key)

    play(act)


def test_a_process_whose_environment_cannot_be_made_has_ended_and_says_why() -> None:
    def act(scene: Scene) -> None:
        scene.pool.start(scene.job, crew=crew_of(scene))
        scene.preparing[0](Prepared(error="no such package", lines=("last",)))

    death = play(act).ended[0].death()
    assert death.is_setup
    assert death.stderr == ["last"]
    assert death.reason == "the environment (env_vars: A) could not be made: no such package"


def test_a_process_that_is_killed_before_its_environment_is_there_has_ended_at_once() -> None:
    async def scenario() -> Scene:
        scene = Scene()
        process = scene.pool.start(scene.job, crew=crew_of(scene))
        scene.pool.kill(process, "enough")
        await asyncio.sleep(0)
        scene.preparing[0](Prepared())
        return scene

    scene = asyncio.run(scenario())
    assert [process.reason for process in scene.ended] == ["enough"]
    assert scene.orders == []
