# SPDX-License-Identifier: Apache-2.0
"""`list_actors`: those that wait, live and ended."""

import warnings
from types import ModuleType

import pytest
from tests.util.waiting import Gate, Holder, eventually

import shoal
from shoal.util.state import get_actor, list_actors, summarize_actors


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
