# SPDX-License-Identifier: Apache-2.0
"""`why` on nodes that really hang: nested gets, a missing resource, a busy actor, a full store, a circle."""

import os
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from tests.util.waiting import LIMIT_S, Gate, Holder, eventually, hold

import shoal
from shoal.util.state import Reason, why


def lines(target: Any = None) -> list[str]:
    return [line.strip() for reason in why(target) for line in reason.lines()]


def test_a_chain_of_nested_gets_down_to_the_task_that_runs(shoal_node: ModuleType, gate: Gate) -> None:
    @shoal_node.remote
    def down(n: int, path: str) -> int:
        return n + int(shoal.get(down.remote(n - 1, path) if n else hold.options(num_cpus=0).remote(path)) > 0)

    def has_come_to_rest() -> bool:
        found = lines(top)
        return sum(line.endswith("waits in get") for line in found) == 4 and any(
            "runs hold, for " in line for line in found
        )

    top = down.remote(3, gate.path)
    eventually(has_come_to_rest)
    (reason,) = why(top)
    chain = []
    while True:
        chain.append(reason)
        if not reason.because:
            break
        (reason,) = reason.because
    assert [found.subject.split()[1] for found in chain if found.kind == "task"] == ["down"] * 4 + ["hold"]
    assert [found.text for found in chain if found.kind == "process"][:-1] == ["waits in get"] * 4
    assert chain[-1].text.startswith("runs hold, for ")
    gate.open()
    assert shoal_node.get(top) == 4


def test_the_driver_itself_is_explained_from_another_thread(shoal_node: ModuleType, gate: Gate) -> None:
    ref = hold.remote(gate.path)
    got: list[int] = []
    waiter = threading.Thread(target=lambda: got.append(shoal_node.get(ref)))
    waiter.start()
    eventually(lambda: lines() and lines()[0].endswith("waits in get"))
    assert lines(os.getpid())[1].endswith("is missing")
    gate.open()
    waiter.join()
    assert len(got) == 1
    assert "waits for nothing of the node" in lines(os.getpid())[0]


def test_a_resource_that_there_is_not(shoal_node: ModuleType) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", shoal.InfeasibleResourcesWarning)
        ref = hold.options(resources={"moon": 1}).remote("")
    told = lines(ref)
    assert told[1].endswith("waits for {CPU: 1, moon: 1}")
    assert told[2].startswith("The node has not enough, ever. The demand {moon: 1} can not be met")


def test_cpus_that_others_hold(shoal_node: ModuleType, gate: Gate) -> None:
    holders = [hold.remote(gate.path) for _ in range(2)]
    eventually(lambda: all(lines(ref)[1].endswith(" runs") for ref in holders))
    queued = hold.remote(gate.path)
    told = lines(queued)
    assert told[1].endswith("is queued for {CPU: 1}, held by")
    assert [line.partition(",")[0].partition(" runs ")[2] for line in told[2:]] == ["hold", "hold"]
    gate.open(3)
    shoal_node.get([*holders, queued])


def test_an_actor_that_is_busy_and_one_that_is_dead(shoal_node: ModuleType, gate: Gate) -> None:
    holder = Holder.options(name="alice").remote()
    first, second = holder.hold.remote(gate.path), holder.pid.remote()
    eventually(lambda: any("runs Holder.hold" in line for line in lines(second)))
    assert "waits for its actor" in lines(second)[1]
    assert lines(second)[2] == "actor Holder 'alice' is busy"
    assert lines(holder)[0] == lines("alice")[0] == "actor Holder 'alice' is busy"
    gate.open()
    shoal_node.get([first, second])


OF_ANOTHER_JOB = """
import sys, shoal
shoal.init(address=sys.argv[1], namespace="theirs")

@shoal.remote(lifetime="detached", name="kept")
class Kept:
    def ready(self):
        return 1

shoal.get(Kept.remote().ready.remote())
"""


def test_an_actor_of_another_job(shoal_node: ModuleType, script: "Callable[..., subprocess.Popen[str]]") -> None:
    driver = script(OF_ANOTHER_JOB, shoal_node.get_runtime_context()._connection.config.runtime_dir)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 0, errors
    (reason,) = why(shoal_node.get_actor("kept", "theirs"))
    assert reason.subject.startswith("actor Kept 'kept'")


def test_a_circle_of_gets_among_actors(shoal_node: ModuleType) -> None:
    @shoal_node.remote
    class Player:
        def meet(self, other: Any) -> None:
            self.other = other

        def play(self) -> object:  # a wait that ends in time is not ended as a deadlock
            return shoal.get(self.other.play.remote(), timeout=LIMIT_S)

    ping, pong = Player.options(name="ping").remote(), Player.options(name="pong").remote()
    shoal_node.get([ping.meet.remote(pong), pong.meet.remote(ping)])
    ref = ping.play.remote()
    eventually(lambda: any(reason.is_circle for reason in why()))
    (reason,) = why("ping")
    last = list(reason.lines())[-1]
    assert "waits for itself, a deadlock" in last
    assert "actor Player 'ping' -> task Player.play" in last
    shoal_node.kill(pong)
    with pytest.raises(shoal.ActorDiedError):
        shoal_node.get(ref)


@pytest.fixture
def small_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setenv("SHOAL_STORE_WAIT_S", "60")
    monkeypatch.setenv("SHOAL_SPILL_LIMIT", "0")
    shoal.init(num_cpus=2, object_store_memory=64 << 20)
    yield shoal
    shoal.shutdown()


def test_a_full_store_and_who_has_filled_it(small_store: ModuleType) -> None:
    views = []
    while len(views) < 5:
        views.append(small_store.get(small_store.put(np.zeros(1 << 20))))  # 8 MiB each, in use

    @small_store.remote
    def fill() -> float:
        return float(np.sum(shoal.get([shoal.put(np.ones(1 << 20)) for _ in range(4)])))

    ref = fill.remote()
    eventually(lambda: any("waits for room in the store, for 8.0 MiB" in line for line in lines(ref)))
    told = lines(ref)
    at = next(i for i, line in enumerate(told) if line.startswith("the store holds"))
    assert "of 64.0 MiB" in told[at]
    assert any(line.startswith("driver") and "made 40.0 MiB of what is there" in line for line in told[at:])
    views.clear()
    assert small_store.get(ref) == 4 << 20


def test_nothing_is_meant_by_a_wrong_name(shoal_node: ModuleType) -> None:
    assert why("nobody") == []
    assert why() == []
    ref = shoal_node.put(1)
    (reason,) = why(ref)
    assert isinstance(reason, Reason)
    assert (reason.text, reason.id) == ("is there", ref.hex())
