# SPDX-License-Identifier: Apache-2.0
"""The walk from a wait: what is a circle, what is none, and who gets the error."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from shoal._core import _node as core
from shoal.circles import Walk, walk
from shoal.task.records import ClassRecord, ClientRecord, ObjectRecord, TaskRecord

GENERATION = 1 << 32
TASKS = 1  # class of tasks


@dataclass
class FakeWait:
    """A wait of the process that looks."""

    objects: list[int]
    began_ns: int
    is_sole: bool = True

    def unresolved(self) -> list[int]:
        return self.objects


@dataclass
class Scene:
    """A node in the making, which is also its survey. Clients and things are numbered as they are made."""

    client_rows: list[ClientRecord] = field(default_factory=list)
    class_rows: dict[int, ClassRecord] = field(default_factory=dict)
    object_rows: list[ObjectRecord] = field(default_factory=list)
    task_rows: list[TaskRecord] = field(default_factory=list)
    waiters: dict[int, list[int]] = field(default_factory=dict)

    def clients(self, start: int, most: int) -> list[ClientRecord]:
        return self.client_rows[start : start + most]

    def classes(self, start: int, most: int) -> list[ClassRecord]:
        return [self.class_rows[start]] if start in self.class_rows else []

    def objects(self, start: int, most: int) -> tuple[list[ObjectRecord], None]:
        return self.object_rows[start : start + most], None

    def tasks(self, start: int, most: int) -> tuple[list[TaskRecord], None]:
        return self.task_rows[start : start + most], None

    def watched(self, client: int) -> list[int]:
        return self.waiters.get(client, [])

    def client(self, role: int = core.ROLE_WORKER, class_id: int = 0) -> int:
        number = len(self.client_rows)
        self.client_rows.append(
            ClientRecord(number, 1, 1, 100 + number, role, class_id, 1, core.RUN_BUSY, False, *[0] * 10)
        )
        return number

    def actor(self, class_id: int) -> int:
        client = self.client(core.ROLE_ACTOR, class_id)
        self.class_rows[class_id] = ClassRecord(
            class_id, core.CLASS_LIVE, core.CLASS_ACTOR, 1, 0, 0, client + 1, False, {}
        )
        return client

    def waits(self, client: int, since: int, awaits: int, kind: int = core.WAIT_SOLE) -> None:
        self.client_rows[client] = self.client_rows[client]._replace(
            awaits=awaits, waits=since * 4 | kind, since_ns=since
        )

    def task(self, state: int, who: int = 0, class_id: int = TASKS, awaits: int = 0) -> int:
        """-> the object that it resolves."""
        number = len(self.task_rows) | GENERATION
        flags = core.SLOT_ACTOR_CALL if class_id != TASKS else 0
        self.task_rows.append(
            TaskRecord(number, state, who, class_id, 0, 1, flags, 0, 0, 1, 1, 0, awaits, b"", b"", b"", 0)
        )
        self.object_rows.append(
            ObjectRecord(len(self.object_rows) | GENERATION, b"", 0, 0, 0, False, False, 0, 0, 0, number)
        )
        return self.object_rows[-1].object

    def change(self, thing: int, **fields: Any) -> None:
        index = thing & 0xFFFFFFFF
        self.object_rows[index] = self.object_rows[index]._replace(**fields)

    def walk(
        self, me: int, objects: Iterable[int], *, is_sole: bool = True, is_strict: bool = True, impossible: int = -1
    ) -> Walk | None:
        wait = FakeWait(list(objects), self.client_rows[me].waits & ~3, is_sole)
        return walk(cast(Any, self), cast(Any, wait), me, lambda class_id: class_id == impossible, is_strict=is_strict)


def two_actors() -> tuple[Scene, int, int, int, int]:
    """a runs a call and waits for one of b's, which waits for a queued one of a's -> scene, a, b, what each awaits."""
    scene = Scene()
    a, b = scene.actor(10), scene.actor(11)
    of_a, of_b = scene.task(core.TASK_RUNNING, b, 11), scene.task(core.TASK_READY, class_id=10)
    scene.task(core.TASK_RUNNING, a, 10)
    scene.waits(a, 1, of_a)
    scene.waits(b, 2, of_b)
    return scene, a, b, of_a, of_b


def test_both_see_the_same_circle_and_the_same_latest() -> None:
    scene, a, b, of_a, of_b = two_actors()
    first, second = scene.walk(a, [of_a]), scene.walk(b, [of_b])
    assert first is not None
    assert second is not None
    assert [thing[0] for thing in first.circle()] == ["client", "object", "task", "client", "object", "task", "client"]
    assert first.circle()[0] == first.circle()[-1] == ("client", a)
    assert second.circle()[0] == ("client", b)
    assert first.latest() == second.latest() == ("client", b)
    assert first == scene.walk(a, [of_a])
    assert first.demand() == []


def test_what_moves_in_it_makes_it_none() -> None:
    for move in (
        lambda s, b, o: s.change(o, closed=True),
        lambda s, b, o: s.change(o, object=o + GENERATION),
        lambda s, b, o: s.change(o, producer=0),
        lambda s, b, o: s.change(o, number=core.NUMBER_PERMIT),
        lambda s, b, o: s.waits(b, 2, o, core.WAIT_ANYHOW),
        lambda s, b, o: s.waits(b, 2, o, core.WAIT_LISTED),
        lambda s, b, o: s.waits(b, 2, core.AWAITS_NOTHING),
        lambda s, b, o: s.class_rows.update({10: s.class_rows[10]._replace(taker=0)}),
        lambda s, b, o: s.class_rows.update({10: s.class_rows[10]._replace(state=core.CLASS_CLOSED)}),
        lambda s, b, o: s.task_rows.__setitem__(1, s.task_rows[1]._replace(state=core.TASK_CANCELLED)),
        lambda s, b, o: s.client_rows.__setitem__(b, s.client_rows[b]._replace(state=core.CLIENT_DYING)),
    ):
        scene, a, b, of_a, of_b = two_actors()
        move(scene, b, of_b)
        assert scene.walk(a, [of_a]) is None


def test_another_wait_of_the_same_process_for_the_same_thing_is_told_from_the_first() -> None:
    scene, a, b, of_a, of_b = two_actors()
    before = scene.walk(a, [of_a])
    scene.waits(b, 3, of_b)
    after = scene.walk(a, [of_a])
    assert before is not None
    assert after is not None
    assert before != after


def test_who_only_waits_for_a_circle_is_not_in_it() -> None:
    scene, a, _, _, _ = two_actors()
    outside = scene.client(core.ROLE_DRIVER)
    seen = scene.walk(outside, [scene.object_rows[2].object], is_sole=False)  # of the call that a runs
    assert seen is not None
    assert seen.circle() == []
    worker = scene.client()
    scene.waits(worker, 9, scene.object_rows[2].object)
    seen = scene.walk(worker, [scene.object_rows[2].object])
    assert seen is not None
    assert seen.circle() == []
    assert seen.path(seen.root, lambda thing: thing == ("client", a))[0] == ("client", worker)


def test_a_list_counts_when_all_of_it_is_known() -> None:
    scene, a, b, of_a, of_b = two_actors()
    other = scene.task(core.TASK_READY, class_id=11)  # it waits for b too
    scene.waits(a, 1, of_a, core.WAIT_LISTED)
    assert scene.walk(b, [of_b]) is None
    assert scene.walk(b, [of_b], is_strict=False) is not None
    scene.waits(a, 1, of_a, core.WAIT_ALL)
    assert scene.walk(b, [of_b]) is None  # its waiters are not there yet
    scene.waiters[a] = [of_a, other]
    seen = scene.walk(b, [of_b])
    assert seen is not None
    assert seen.circle()
    runs = scene.task(core.TASK_RUNNING, scene.client())
    scene.waiters[a].append(runs)  # one of them computes, and may end in an error
    assert scene.walk(b, [of_b]) is None


def test_an_argument_is_waited_for() -> None:
    scene, a, _, _, _ = two_actors()
    queued = scene.task(core.TASK_READY, class_id=10)
    scene.waits(a, 1, scene.task(core.TASK_WAITING, awaits=queued))
    seen = scene.walk(a, [scene.client_rows[a].awaits])
    assert seen is not None
    assert [thing[0] for thing in seen.circle()] == ["client", "object", "task", "object", "task", "client"]


def test_demands() -> None:
    scene, a, b, of_a, _ = two_actors()
    lacking = scene.task(core.TASK_READY, class_id=TASKS)
    assert scene.walk(a, [lacking]) is None
    seen = scene.walk(a, [lacking], impossible=TASKS)
    assert seen is not None
    assert seen.demand()[-1] == ("demand", TASKS)
    assert seen.circle() == []
    scene.waits(b, 2, lacking)  # b is nearer to it than a, which waits for b
    seen = scene.walk(a, [of_a], impossible=TASKS)
    assert seen is not None
    assert seen.demand() == []
    assert seen.circle() == []
    nearer = scene.walk(b, [lacking], impossible=TASKS)
    assert nearer is not None
    assert nearer.demand()


def test_a_wait_that_others_cannot_see_is_in_no_circle() -> None:
    scene, a, _, of_a, _ = two_actors()
    wait = FakeWait([of_a], 4)
    scene.client_rows[a] = scene.client_rows[a]._replace(waits=0)  # a second thread of it waits as well
    assert walk(cast(Any, scene), cast(Any, wait), a, lambda _: False, is_strict=True) is None
