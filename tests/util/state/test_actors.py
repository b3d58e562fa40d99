# SPDX-License-Identifier: Apache-2.0
"""`list_actors`: those that wait, live and ended."""

import os
import signal
import warnings
from pathlib import Path
from types import ModuleType

import pytest
from tests.util.waiting import Gate, Holder, eventually

import shoal
from shoal.util.state import get_actor, list_actors, list_jobs, summarize_actors


def test_actors_that_live_wait_and_ended(shoal_node: ModuleType, gate: Gate) -> None:
    living = Holder.options(name="alice", max_concurrency=2).remote()
    calls = [living.hold.remote(gate.path) for _ in range(3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", shoal.InfeasibleResourcesWarning)
        waiting = Holder.options(resources={"moon": 1}).remote()
    killed = Holder.remote()
    shoal_node.get(killed.pid.remote())
    shoal_node.kill(killed)
    with pytest.raises(shoal.ActorDiedError):
        shoal_node.get(killed.pid.remote())
    eventually(lambda: [row.n_running for row in list_actors() if row.name == "alice"] == [2])

    rows = {row.state: row for row in list_actors(detail=True)}
    assert set(rows) == {"ALIVE", "PENDING_CREATION", "DEAD"}
    alive, pending, dead = rows["ALIVE"], rows["PENDING_CREATION"], rows["DEAD"]
    assert (alive.class_name, alive.name, alive.n_pending, alive.max_concurrency) == ("Holder", "alice", 1, 2)
    assert (pending.pid, pending.required_resources) == (0, {"moon": 1.0})
    assert dead.death_cause == "killed by signal 9: it was killed by shoal.kill()"
    assert get_actor(alive.actor_id) == alive
    assert get_actor("no such id") is None
    assert summarize_actors()["cluster"]["summary"]["Holder"]["state_counts"] == {
        "ALIVE": 1,
        "PENDING_CREATION": 1,
        "DEAD": 1,
    }
    gate.open(3)
    assert shoal_node.get(calls) == [alive.pid] * 3
    del waiting


def test_an_actor_is_listed_under_the_id_that_it_knows(shoal_node: ModuleType) -> None:
    @shoal_node.remote
    class Self:
        def id(self) -> str | None:
            context = shoal_node.get_runtime_context()
            return str(context.get_actor_id())

    actor = Self.remote()
    assert shoal_node.get(actor.id.remote()) == list_actors()[0].actor_id


def test_an_actor_that_waits_for_its_next_process_restarts(shoal_node: ModuleType, tmp_path: Path) -> None:
    @shoal.remote(max_restarts=-1, concurrency_groups={"io": 1})
    class Fragile:
        def __init__(self, path: str) -> None:
            if os.path.exists(path):
                raise OSError("again")
            Path(path).touch()

        @shoal.method(concurrency_group="io")
        def die(self) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

    fragile = Fragile.remote(str(tmp_path / "made"))
    with pytest.raises(shoal.ActorUnavailableError):
        shoal_node.get(fragile.die.remote())
    eventually(lambda: [row.state for row in list_actors()] == ["RESTARTING"])  # pauses grow as it fails
    assert list_actors(detail=True)[0].num_restarts > 0


def test_a_detached_actors_job_is_no_driver(shoal_node: ModuleType) -> None:
    detached = Holder.options(name="detached", lifetime="detached").remote()
    shoal_node.get(detached.pid.remote())
    assert [row.driver_pid for row in list_jobs()] == [os.getpid()]
    assert [row.name for row in list_actors()] == ["detached"]
    assert list_actors()[0].job_id != list_jobs()[0].job_id
