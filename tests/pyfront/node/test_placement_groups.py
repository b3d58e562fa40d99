# SPDX-License-Identifier: Apache-2.0
"""The registry of placement groups, and the places of classes: what is asked of the core, and what is refused."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from shoal.node.deaths import Deaths, actor_key
from shoal.node.placement_groups import Group, PlacementGroups
from shoal.node.placing import ELSEWHERE, NO_GROUP, Placing
from shoal.node.refusal import Refusal
from shoal.node.resources import Ledger
from shoal.protocol.messages import Refused
from shoal.protocol.placement import CreateGroup, GroupRow
from shoal.protocol.places import ANYWHERE, LabelRule, Place

LABELS = {"zone": "a"}
IN_B = LabelRule("zone", "in", ("b",))


class FakeCore:
    """Numbers groups from 10 on; grants or queues."""

    def __init__(self) -> None:
        self.is_granting = True
        self.defined: list[list[Any]] = []
        self.reserved: list[int] = []
        self.removed: list[int] = []

    def grant(self, groups: PlacementGroups, class_id: int) -> None:
        """Set the resources of one that waits aside, and say so."""
        self.is_granting = True
        groups.granted(class_id)

    def define_group(self, bundles: list[Any]) -> int:
        self.defined.append(bundles)
        return 9 + len(self.defined)

    def reserve_group(self, class_id: int) -> bool:
        self.reserved.append(class_id)
        return self.is_granting

    def remove_group(self, class_id: int) -> None:
        self.removed.append(class_id)

    def bundle_available(self, class_id: int, bundle: int) -> dict[int, int]:
        return {-1: 500}


class Scene:
    """A registry with its surroundings played by the test."""

    def __init__(self) -> None:
        self.core = FakeCore()
        self.deaths = Deaths()
        self.ended: list[tuple[str, str]] = []
        ledger = Ledger({"CPU": 4.0})
        core: Any = self.core
        self.groups = PlacementGroups(core, ledger, LABELS, self.deaths, lambda *ended: self.ended.append(ended))
        self.placing = Placing(ledger, self.groups, "here", LABELS)

    def create(self, name: str = "", job: Any = None, **fields: Any) -> Group:
        asked = CreateGroup(f"{len(self.core.defined):02x}", [{"CPU": 1.0}], "PACK", name)
        return self.groups.create(job or job_of(1), msgspec.structs.replace(asked, **fields))

    def row(self, group: Group) -> GroupRow:
        (row,) = self.groups.find(group.asked.id, "", "")
        return row


def job_of(root: int) -> Any:
    return SimpleNamespace(root=root, namespace="ns")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def refusal(of: Any) -> Refused:
    with pytest.raises(Refusal) as caught:
        of()
    return caught.value.reply


def test_a_group_is_granted_at_once_or_later(scene: Scene) -> None:
    first = scene.create(bundles=[{"CPU": 1.0, "disk": 2.0}, {"GPU": 0.5}])
    assert first.shortage  # there is no disk
    assert scene.core.reserved == []
    assert [tuple(bundle[:2]) for bundle in scene.core.defined[0]] == [(1000, 0), (0, 500)]
    second = scene.create()
    assert scene.row(second).state == "CREATED"
    assert scene.row(second).available == [{"CPU": 0.5}]
    scene.core.is_granting = False
    third = scene.create()
    assert scene.row(third).state == "PENDING"
    scene.groups.granted(third.class_id)  # said of one that had this number before
    assert scene.row(third).state == "PENDING"
    scene.core.grant(scene.groups, third.class_id)
    assert scene.row(third).state == "CREATED"
    scene.groups.granted(99)


def test_the_same_id_is_the_same_group(scene: Scene) -> None:
    assert scene.create(id="aa") is scene.create(id="aa")
    assert len(scene.core.defined) == 1


def test_names_are_unique_and_free_again(scene: Scene) -> None:
    group = scene.create("g")
    assert refusal(lambda: scene.create("g")).kind == Refused.NAME_TAKEN
    assert [row.id for row in scene.groups.find("", "g", "ns")] == [group.asked.id]
    assert scene.groups.find("", "g", "elsewhere") == []
    scene.groups.remove(group.asked.id, "for a test")
    assert scene.groups.find("", "g", "ns") == []
    scene.create("g")


def test_removal_ends_all_and_is_remembered(scene: Scene) -> None:
    group = scene.create("g")
    place = Place(group.asked.id)
    scene.placing.note(3, place, is_actor=False)
    scene.placing.note(4, place, is_actor=True)
    scene.groups.remove(group.asked.id, "for a test")
    scene.groups.remove(group.asked.id, "once more")
    assert scene.core.removed == [10]
    assert [ended for ended, _ in scene.ended] == [group.asked.id]
    assert "for a test" in asyncio.run(scene.deaths.describe(actor_key(3))).reason
    assert asyncio.run(scene.deaths.describe(actor_key(4), 0.0)).reason == ""  # said when the actor ends
    row = scene.row(group)
    assert (row.state, row.end, row.class_id) == ("REMOVED", "for a test", -1)
    assert refusal(lambda: scene.placing.settle(place, {})).kind == Refused.GROUP_REMOVED


def test_a_job_takes_its_groups_along_but_for_detached_ones(scene: Scene) -> None:
    job = job_of(7)
    mine, detached, other = scene.create(job=job), scene.create(job=job, is_detached=True), scene.create()
    assert scene.groups.end_job(job) == [mine]
    assert [scene.row(group).state for group in (mine, detached, other)] == ["REMOVED", "CREATED", "CREATED"]


def test_waiting_ends_with_the_grant_the_time_or_the_removal(scene: Scene) -> None:
    scene.core.is_granting = False
    group = scene.create()

    async def play(event: Any) -> bool:
        waiting = asyncio.ensure_future(scene.groups.wait(group.asked.id, 60))
        await asyncio.sleep(0)
        event()
        return await waiting

    assert not asyncio.run(scene.groups.wait(group.asked.id, 0.0))
    group.settled = asyncio.Event()  # of this loop
    assert asyncio.run(play(lambda: scene.core.grant(scene.groups, group.class_id)))
    group.settled = asyncio.Event()
    with pytest.raises(Refusal, match="removed"):
        asyncio.run(play(lambda: scene.groups.remove(group.asked.id, "for a test")))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"strategy": "STRICT_SPREAD", "bundles": [{"CPU": 1.0}] * 2}, "one node"),
        ({"bundles": [{"CPU": 3.0}, {"CPU": 2.0}]}, "CPU: 5"),
        ({"rules": [[IN_B]]}, "zone in b"),
    ],
)
def test_what_can_never_be_placed_says_why(scene: Scene, fields: dict[str, Any], text: str) -> None:
    group = scene.create(**fields)
    assert text in group.shortage
    assert scene.core.reserved == []  # it does not stand in anybody's way
    scene.placing.note(3, Place(group.asked.id), is_actor=False)
    assert text in str(scene.placing.shortage(3, {"CPU": 1.0}))


def test_one_bundle_may_be_strictly_spread(scene: Scene) -> None:
    assert scene.create(strategy="STRICT_SPREAD").shortage == ""


def test_places_are_told_to_the_core(scene: Scene) -> None:
    group = scene.create(bundles=[{"CPU": 1.0}, {"CPU": 2.0}])
    assert scene.placing.settle(ANYWHERE, {"CPU": 9.0}) == (NO_GROUP, -1, 0, {})
    assert scene.placing.settle(Place(node_id="here"), {}) == (NO_GROUP, -1, 0, {})
    in_it = scene.placing.settle(Place(group.asked.id, 1), {"CPU": 2.0})
    assert (in_it.group, in_it.bundle, in_it.extra) == (group.class_id, 1, {})
    again, other = (scene.placing.settle(Place(group.asked.id, 1, captures), {}) for captures in (False, True))
    assert in_it.tag == again.tag != other.tag
    assert scene.placing.settle(Place(rules=(IN_B,)), {}).extra == {ELSEWHERE: 1.0}
    assert scene.placing.settle(Place(rules=(LabelRule("zone", "exists"),)), {}).extra == {}


def test_what_can_not_be_is_refused(scene: Scene) -> None:
    group = scene.create(bundles=[{"CPU": 1.0}, {"CPU": 2.0}])
    assert refusal(lambda: scene.placing.settle(Place(node_id="there"), {})).kind == Refused.UNSCHEDULABLE
    assert refusal(lambda: scene.placing.settle(Place("unknown"), {})).kind == Refused.GROUP_REMOVED
    for bundle, cpus in ((-1, 3.0), (0, 2.0)):
        assert refusal(lambda at=bundle, n=cpus: scene.placing.settle(Place(group.asked.id, at), {"CPU": n})).kind == (
            Refused.UNFIT
        )


def test_waits_are_told_in_words(scene: Scene) -> None:
    scene.core.is_granting = False
    group = scene.create("g")
    scene.placing.note(3, Place(group.asked.id, 0), is_actor=False)
    scene.placing.note(4, Place(rules=(IN_B,)), is_actor=False)
    assert "waits itself for {CPU: 1}" in scene.placing.wait_of_class(3, {"CPU": 1.0}).what
    scene.core.grant(scene.groups, group.class_id)
    assert "its bundle 0" in scene.placing.wait_of_class(3, {"CPU": 1.0}).what
    assert "zone=a" in str(scene.placing.wait_of_class(4, {"CPU": 1.0}).shortage)
    assert scene.placing.wait_of_class(5, {"CPU": 1.0}).is_queue
    assert scene.placing.wait_of_class(5, {"CPU": 9.0}).shortage is not None
    assert scene.placing.wait_of_group(group).who == f"The placement group {group.asked.id} 'g'"
    assert scene.placing.describe(3).group == scene.placing.group_of(3) == group.asked.id
