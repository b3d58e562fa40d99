# SPDX-License-Identifier: Apache-2.0
"""What the place of a class of calls means on this node: in which group it books, or that it can never run here."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import NamedTuple

from shoal.node.placement_groups import Group, PlacementGroups, labels_of
from shoal.node.refusal import Refusal
from shoal.node.resources import CPU, Ledger, describe
from shoal.node.starvation import Wait
from shoal.protocol.messages import Refused
from shoal.protocol.placement import ClassPlace
from shoal.protocol.places import ANYWHERE, Place, unmet
from shoal.task.bundles import is_there_room, total_of

NO_GROUP = -1
NODE_ID_LABEL = "ray.io/node-id"  # that every node has
HELD = "The node has that much, but others hold it: actors keep what they asked for while they live"
ELSEWHERE = "a node with other labels"  # a resource that no node has: who demands it waits


class Placed(NamedTuple):
    """How the core is told."""

    group: int  # class of the placement group; NO_GROUP: none
    bundle: int
    tag: int  # tells classes of different places apart
    extra: dict[str, float]  # demanded besides


NOWHERE_SPECIAL = Placed(NO_GROUP, -1, 0, {})


class Placing:
    """Knows the place of each class."""

    def __init__(self, ledger: Ledger, groups: PlacementGroups, node_id: str, labels: Mapping[str, str]) -> None:
        self._ledger = ledger
        self._groups = groups
        self._node_id = node_id
        self._labels = labels
        self._places: dict[int, Place] = {}  # by class id; absent: anywhere
        self._tags: dict[Place, int] = {}
        self._numbers = count(1)

    def settle(self, place: Place, resources: Mapping[str, float]) -> Placed:
        """How the core is told of a class with this place and demand. Raises Refusal."""
        if place.node_id not in ("", self._node_id):
            raise Refusal(
                Refused.UNSCHEDULABLE,
                f"there is no node {place.node_id}: give the id of one of shoal.nodes(), or soft=True for a wish",
            )
        if not place.group and not place.rules:
            return NOWHERE_SPECIAL
        group, extra = NO_GROUP, {}
        if place.group:
            found = self._groups.living(place.group)
            if not is_there_room(found.asked.bundles, place.bundle, resources):
                shown = "; ".join(f"{{{describe(bundle)}}}" for bundle in found.asked.bundles[:8])
                which = "bundles" if place.bundle < 0 else f"bundle {place.bundle}"
                raise Refusal(
                    Refused.UNFIT,
                    f"the demand {{{describe(resources)}}} fits into no bundle that it may use: {found} has {shown}, "
                    f"and it is for its {which}; ask for less, or make a group with larger bundles",
                )
            group = found.class_id
        if unmet(place.rules, self._labels):
            extra = {ELSEWHERE: 1.0}
        if place not in self._tags:
            self._tags[place] = next(self._numbers)
        return Placed(group, place.bundle, self._tags[place], extra)

    def note(self, class_id: int, place: Place, *, is_actor: bool) -> None:
        """A class was defined."""
        self._places.pop(class_id, None)
        if place != ANYWHERE:
            self._places[class_id] = place
        if place.group and not is_actor:
            self._groups.living(place.group).task_classes.add(class_id)

    def forget(self, group_id: str) -> None:
        """A group was removed: nothing is defined in it any more."""
        for place in [place for place in self._tags if place.group == group_id]:
            del self._tags[place]

    def group_of(self, class_id: int) -> str:
        """The id of the group that a class books in; empty: none."""
        return self._places.get(class_id, ANYWHERE).group

    def describe(self, class_id: int) -> ClassPlace:
        """The place of a class, as far as a group goes."""
        place = self._places.get(class_id, ANYWHERE)
        return ClassPlace(place.group, place.bundle, place.captures)

    def shortage(self, class_id: int, resources: Mapping[str, float]) -> str | None:
        """Why a class can never be served here, and what to do; None if it can."""
        place = self._places.get(class_id, ANYWHERE)
        broken = unmet(place.rules, self._labels)
        if broken:
            wanted = "; ".join(map(str, broken))
            return f"No node is as wanted ({wanted}), and calls that need one wait: {labels_of(self._labels)}."
        if not place.group:
            return self._ledger.shortage(resources)
        group = self._group(place)
        return None if group is None or not group.shortage else f"{group} can never be placed here: {group.shortage}"

    def wait_of_class(self, class_id: int, resources: Mapping[str, float]) -> Wait:
        """What the calls of a class wait for."""
        demand = f"{{{describe(resources)}}}" if resources else "its turn"
        place = self._places.get(class_id, ANYWHERE)
        group = self._group(place)
        if group is None:
            demand += f". {HELD}"
        elif not group.is_granted:
            demand += f" in {group}, which waits itself for {{{describe(total_of(group.asked.bundles))}}} of the node"
        else:
            which = "its bundles" if place.bundle < 0 else f"its bundle {place.bundle}"
            demand += (
                f" in {group}. Others hold what {which} set aside: actors keep what they asked for while they live"
            )
        return Wait("A call", demand, self.shortage(class_id, resources), group is None and set(resources) == {CPU})

    def wait_of_group(self, group: Group) -> Wait:
        """What a group waits for that this node could grant."""
        resources = total_of(group.asked.bundles)
        return Wait(f"The {group}", f"{{{describe(resources)}}}. {HELD}", None, False)

    def _group(self, place: Place) -> Group | None:
        return next((group for group in self._groups if place.group and group.asked.id == place.group), None)
