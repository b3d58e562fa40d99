# SPDX-License-Identifier: Apache-2.0
"""The registry of actors: names are unique while they are taken, and each actor is closed exactly once."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from shoal.node.actors import MAX_RECORD_BYTES, Actors
from shoal.node.deaths import Deaths, actor_key
from shoal.node.refusal import Refusal
from shoal.protocol.checkpoint import Checkpoint
from shoal.protocol.messages import CreateActor, Death, Refused
from shoal.protocol.orders import ActorOrder
from shoal.protocol.places import Place


class FakeCore:
    """Grants or queues; remembers what was closed."""

    def __init__(self) -> None:
        self.is_granting = True
        self.closed: list[tuple[int, ...]] = []
        self.held: list[tuple[int, int]] = []
        self.restarts = (False, 0)  # what was said last

    def reserve_actor(self, class_id: int) -> bool:
        return self.is_granting

    def set_restarts(self, class_id: int, restarts: bool, incarnation: int) -> None:
        self.restarts = (restarts, incarnation)

    def hold(self, index: int, generation: int) -> bool:
        self.held.append((index, generation))
        return True

    def drop(self, index: int, generation: int) -> None:
        self.held.remove((index, generation))

    def close_class(self, *arguments: int) -> None:
        self.closed.append(arguments)


class FakeProcess(SimpleNamespace):
    """What the registry uses of a worker's process."""

    actor: ActorOrder

    def death(self, log_path: str | None = None) -> Death:
        return Death(pid=77, signal=9, reason=self.reason, is_of_group=self.is_of_group)


class Scene:
    """A registry with its surroundings played by the test."""

    def __init__(self) -> None:
        self.core = FakeCore()
        self.deaths = Deaths()
        self.started: list[FakeProcess] = []
        self.killed: list[tuple[FakeProcess, str]] = []
        self.job = SimpleNamespace(namespace="job-1", functions={}, root=1)
        self.creator = SimpleNamespace(pid=5)
        core: Any = self.core
        kill: Any = lambda process, reason: self.killed.append((process, reason))  # noqa: E731
        start: Any = self.start
        self.ended_roots: list[Any] = []
        self.actors = Actors(core, self.deaths, start, kill, self.ended_roots.append)
        self._last_class = 0

    def start(self, job: object, order: ActorOrder) -> FakeProcess:
        self.started.append(
            FakeProcess(
                actor=order, key=(3, 1), status=9, reason="", failure=None, is_condemned=False, is_of_group=False
            )
        )
        return self.started[-1]

    def create(
        self,
        name: str | None = None,
        namespace: str | None = None,
        is_possible: bool = True,
        is_detached: bool = False,
        max_restarts: int = 0,
        group: str = "",
    ) -> int:
        asked = CreateActor(b"key", "Counter", {}, 1, False, b"meta", name, namespace, is_detached=is_detached)
        asked = msgspec.structs.replace(asked, max_restarts=max_restarts, place=Place(group))
        job: Any = self.job
        creator: Any = self.creator
        return self.actors.create(creator, job, asked, self._define, lambda *_: is_possible)

    def find(self, name: str, namespace: str = "job-1") -> Any:
        return asyncio.run(self.actors.find(name, namespace))

    def end(self, process: FakeProcess) -> None:
        ended: Any = process
        self.actors.process_ended(ended)

    def _define(self) -> int:
        self._last_class += 1
        return self._last_class


@pytest.fixture
def scene() -> Scene:
    return Scene()


def refused(scene: Scene, name: str, namespace: str = "job-1") -> bool:
    with pytest.raises(Refusal) as caught:
        scene.find(name, namespace)
    return caught.value.reply.kind == Refused.NOT_FOUND


def test_a_short_class_is_sent_with_the_order_and_a_long_one_is_not(scene: Scene) -> None:
    records = {b"short": b"x" * MAX_RECORD_BYTES, b"key": b"x" * (MAX_RECORD_BYTES + 1)}
    scene.job.functions = {key: (record, "Counter") for key, record in records.items()}
    scene.create()
    assert scene.started[0].actor.record == b""
    scene.job.functions[b"key"] = scene.job.functions[b"short"]
    scene.create()
    assert scene.started[1].actor.record == records[b"short"]


def test_a_registered_actor_is_found_in_its_namespace_only(scene: Scene) -> None:
    class_id = scene.create("model")
    scene.actors.register_handle(class_id, 11, 2)
    found = scene.find("model")
    assert (found.class_id, found.index, found.generation, found.meta) == (class_id, 11, 2, b"meta")
    assert refused(scene, "model", "elsewhere")


def test_a_name_is_taken_once_per_namespace(scene: Scene) -> None:
    scene.create("model")
    scene.create("model", "elsewhere")
    with pytest.raises(Refusal, match="get_if_exists") as caught:
        scene.create("model")
    assert caught.value.reply.kind == Refused.NAME_TAKEN
    assert len(scene.started) == 2


def test_a_search_waits_for_the_creation_under_way(scene: Scene) -> None:
    class_id = scene.create("model")

    async def scenario() -> int:
        search = asyncio.ensure_future(scene.actors.find("model", "job-1"))
        await asyncio.sleep(0)
        assert not search.done()
        scene.actors.register_handle(class_id, 11, 2)
        return (await search).index

    assert asyncio.run(scenario()) == 11


def test_a_search_ends_when_the_creation_fails(scene: Scene) -> None:
    class_id = scene.create("model")

    async def scenario() -> None:
        search = asyncio.ensure_future(scene.actors.find("model", "job-1"))
        await asyncio.sleep(0)
        scene.actors.end(class_id, "killed")
        await search

    with pytest.raises(Refusal, match="model"):
        asyncio.run(scenario())


def test_a_queued_actor_starts_when_its_resources_are_granted(scene: Scene) -> None:
    scene.core.is_granting = False
    class_id = scene.create()
    assert scene.started == []
    scene.actors.granted(class_id)
    scene.actors.granted(class_id)
    assert [process.actor.class_id for process in scene.started] == [class_id]


@pytest.mark.parametrize("end", ["kill", "unreferenced", "creator", "job"])
def test_a_queued_actor_that_nobody_wants_is_closed_without_a_process(scene: Scene, end: str) -> None:
    scene.core.is_granting = False
    class_id = scene.create("model", is_possible=False)
    match end:
        case "kill":
            scene.actors.end(class_id, "killed")
        case "unreferenced":
            scene.actors.unreferenced(class_id)
        case "creator":
            scene.actors.creator_gone(scene.creator)  # type: ignore[arg-type]
        case "job":
            scene.actors.end_job(scene.job)  # type: ignore[arg-type]
    assert len(scene.core.closed) == 1
    assert refused(scene, "model")
    assert asyncio.run(scene.deaths.describe(actor_key(class_id))).reason
    assert len(scene.actors) == 0


def test_a_killed_actor_is_closed_when_its_process_has_ended(scene: Scene) -> None:
    class_id = scene.create("model")
    scene.actors.end(class_id, "killed")
    assert [reason for _, reason in scene.killed] == ["killed"]
    assert scene.core.closed == []
    scene.create("model")  # the name is free at once
    scene.end(scene.started[0])
    assert [closed[0] for closed in scene.core.closed] == [class_id]
    scene.actors.end(class_id, "again")
    assert len(scene.killed) == 1


def test_a_queued_actor_without_handles_still_gets_its_turn(scene: Scene) -> None:
    scene.core.is_granting = False
    class_id = scene.create("model")
    scene.actors.unreferenced(class_id)
    assert scene.core.closed == []
    assert refused(scene, "model")
    scene.actors.granted(class_id)
    assert len(scene.started) == 1


def test_an_actor_without_handles_is_left_to_finish(scene: Scene) -> None:
    class_id = scene.create("model")
    scene.actors.register_handle(class_id, 11, 2)
    scene.actors.unreferenced(class_id)
    assert scene.killed == []
    assert refused(scene, "model")
    scene.end(scene.started[0])
    assert "handle" in asyncio.run(scene.deaths.describe(actor_key(class_id))).reason


def test_a_creator_that_dies_after_the_constructor_call_leaves_the_actor_alone(scene: Scene) -> None:
    scene.actors.register_handle(scene.create(), 11, 2)
    scene.actors.creator_gone(scene.creator)  # type: ignore[arg-type]
    assert scene.killed == []
    assert scene.core.closed == []


def test_a_crash_frees_the_name_and_is_told(scene: Scene) -> None:
    class_id = scene.create("model")
    scene.actors.register_handle(class_id, 11, 2)
    scene.end(scene.started[0])
    assert refused(scene, "model")
    assert scene.core.closed == [(class_id, scene.core.closed[0][1], 3, 1, 77, 9)]
    assert asyncio.run(scene.deaths.describe(actor_key(class_id))).signal == 9


def test_a_detached_actor_is_held_while_it_lives_and_its_root_ends_with_it(scene: Scene) -> None:
    class_id = scene.create("model", is_detached=True)
    scene.actors.register_handle(class_id, 11, 2)
    assert scene.core.held == [(11, 2)]
    assert scene.ended_roots == []
    scene.end(scene.started[0])
    assert scene.core.held == []
    assert scene.ended_roots == [scene.job]


def test_an_ordinary_actor_is_held_by_its_handles_only(scene: Scene) -> None:
    class_id = scene.create("model")
    scene.actors.register_handle(class_id, 11, 2)
    assert scene.core.held == []
    scene.end(scene.started[0])
    assert scene.ended_roots == []


def test_a_dead_process_is_replaced_while_restarts_are_left(scene: Scene) -> None:
    class_id = scene.create("model", max_restarts=1)
    assert scene.core.restarts == (True, 0)
    scene.actors.register_handle(class_id, 11, 2, (12, 3))
    assert scene.actors.creation_of(class_id) == (12, 3)
    scene.end(scene.started[0])
    assert scene.core.restarts == (False, 1)
    assert (scene.started[1].actor.n_restarts, scene.started[1].actor.handle) == (1, (11, 2))
    assert scene.find("model").class_id == class_id
    assert scene.core.closed == []
    scene.end(scene.started[1])
    assert len(scene.core.closed) == 1
    assert scene.core.held == []
    death = asyncio.run(scene.deaths.describe(actor_key(class_id)))
    assert len(death.earlier) == 1
    assert refused(scene, "model")


def test_no_process_follows_before_the_handle_is_known(scene: Scene) -> None:
    class_id = scene.create(max_restarts=1)
    scene.end(scene.started[0])
    scene.actors.granted(class_id)
    assert len(scene.started) == 1
    scene.actors.register_handle(class_id, 11, 2, (12, 3))
    assert len(scene.started) == 2


def test_who_is_killed_for_good_is_not_replaced_and_the_core_knows_it_first(scene: Scene) -> None:
    class_id = scene.create(max_restarts=-1)
    scene.actors.register_handle(class_id, 11, 2, (12, 3))
    scene.actors.end(class_id, "killed")
    assert scene.core.restarts == (False, 0)
    scene.end(scene.started[0])
    assert len(scene.started) == 1
    assert len(scene.core.closed) == 1


def test_one_killed_while_it_has_no_process_is_closed_at_once(scene: Scene) -> None:
    class_id = scene.create(max_restarts=-1)
    scene.end(scene.started[0])
    scene.actors.end(class_id, "killed")
    assert len(scene.core.closed) == 1
    scene.actors.register_handle(class_id, 11, 2, (12, 3))
    assert len(scene.started) == 1
    assert scene.core.held == []


def test_a_process_that_says_it_leaves_is_not_replaced(scene: Scene) -> None:
    scene.create(max_restarts=-1)
    leaving: Any = scene.started[0]
    scene.actors.leaves(leaving)
    assert scene.core.restarts == (False, 0)
    scene.end(leaving)
    assert len(scene.core.closed) == 1


def test_one_without_handles_is_replaced_only_if_it_crashed(scene: Scene) -> None:
    class_id = scene.create(max_restarts=-1)
    scene.actors.register_handle(class_id, 11, 2, (12, 3))
    scene.actors.unreferenced(class_id)
    scene.end(scene.started[0])
    assert len(scene.started) == 2
    scene.started[1].status = 0
    scene.end(scene.started[1])
    assert len(scene.core.closed) == 1


def test_an_actor_without_its_environment_is_not_restarted(scene: Scene) -> None:
    class_id = scene.create(max_restarts=-1)
    scene.actors.register_handle(class_id, 11, 2, (12, 3))
    scene.started[0].failure = Death(is_setup=True)
    scene.end(scene.started[0])
    assert len(scene.started) == 1
    assert scene.core.closed[0][0] == class_id


def test_a_removed_group_ends_its_actors_and_no_others(scene: Scene) -> None:
    scene.core.is_granting = False
    queued = scene.create(group="g")
    scene.core.is_granting = True
    running, other = scene.create(group="g", max_restarts=-1), scene.create(group="h")
    scene.actors.end_group("g", "its group was removed")
    assert [closed[0] for closed in scene.core.closed] == [queued]
    assert [(process.actor.class_id, reason) for process, reason in scene.killed] == [
        (running, "its group was removed")
    ]
    scene.end(scene.killed[0][0])
    assert [actor.order.class_id for actor in scene.actors] == [other]
    for class_id in (queued, running):
        assert asyncio.run(scene.deaths.describe(actor_key(class_id))).is_of_group


def test_only_the_process_that_is_the_actor_saves_its_checkpoint() -> None:
    scene = Scene()
    class_id = scene.create(max_restarts=-1)
    scene.actors.register_handle(class_id, 8, 1)
    first: Any = scene.started[-1]
    assert scene.actors.save_checkpoint(class_id, first, Checkpoint(20, 1, 6))
    assert scene.actors.save_checkpoint(class_id, first, Checkpoint(21, 1, 12))
    assert scene.actors.checkpoint_of(class_id) == Checkpoint(21, 1, 12)
    assert scene.core.held == [(21, 1)]  # and the one before is let go of
    scene.actors.process_ended(first)
    assert not scene.actors.save_checkpoint(class_id, first, Checkpoint(22, 1, 18))
    assert not scene.actors.save_checkpoint(class_id, None, Checkpoint(22, 1, 18))
    assert scene.actors.checkpoint_of(class_id) == Checkpoint(21, 1, 12)
    second: Any = scene.started[-1]
    assert second is not first
    assert scene.actors.save_checkpoint(class_id, second, Checkpoint(23, 1, 14))
    scene.actors.end(class_id, "done")
    scene.actors.process_ended(second)
    assert scene.core.held == []
    assert scene.actors.checkpoint_of(class_id) is None


def test_a_checkpoint_that_is_gone_is_not_taken() -> None:
    scene = Scene()
    class_id = scene.create(max_restarts=-1)
    process: Any = scene.started[-1]
    scene.core.hold = lambda index, generation: False  # type: ignore[method-assign]
    assert not scene.actors.save_checkpoint(class_id, process, Checkpoint(20, 1, 6))
    assert scene.actors.checkpoint_of(class_id) is None
