# SPDX-License-Identifier: Apache-2.0
"""The node's placement groups: their names, their waits, and their ends.

    PENDING --resources granted--> CREATED --removed, its job ended--> REMOVED
       `-----------------------removed, its job ended--------------------^

The core sets a group's resources aside and takes them back (node/group.h). A group that this node can never grant does
not ask it. A detached group outlives its job; any other is removed with it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping

import msgspec

from shoal._core import status
from shoal._core._node import NodeCore
from shoal.node.deaths import Deaths, actor_key
from shoal.node.jobs import Job
from shoal.node.refusal import Refusal
from shoal.node.resources import Ledger
from shoal.protocol.messages import Death, Refused
from shoal.protocol.placement import CreateGroup, GroupRow
from shoal.protocol.places import unmet
from shoal.task.bundles import STRICT_SPREAD, total_of

MAX_ENDED = 256  # that are remembered for listings
NO_CLASS = -1


class Group(msgspec.Struct, eq=False):
    """One placement group."""

    asked: CreateGroup
    job: Job
    namespace: str
    class_id: int  # what the core calls it, until it is removed
    shortage: str  # why this node can never grant it; empty: it can
    created_s: float = msgspec.field(default_factory=time.time)  # to be shown
    asked_s: float = msgspec.field(default_factory=time.monotonic)
    waited_s: float | None = None  # for its resources; None: it still does
    end: str = ""
    is_granted: bool = False
    is_removed: bool = False
    task_classes: set[int] = msgspec.field(default_factory=set)  # of what runs in it, but for actors
    settled: asyncio.Event = msgspec.field(
        default_factory=asyncio.Event
    )  # set when it is granted, and when it is removed

    @property
    def state(self) -> str:
        """One of the constants of GroupRow."""
        return GroupRow.REMOVED if self.is_removed else GroupRow.CREATED if self.is_granted else GroupRow.PENDING

    def __str__(self) -> str:
        name = f" {self.asked.name!r}" if self.asked.name else ""
        return f"placement group {self.asked.id}{name}"


class PlacementGroups:
    """The registry. `end_actors` ends the actors of a group, for a reason."""

    def __init__(
        self,
        core: NodeCore,
        ledger: Ledger,
        labels: Mapping[str, str],
        deaths: Deaths,
        end_actors: Callable[[str, str], None],
    ) -> None:
        self._core = core
        self._ledger = ledger
        self._labels = labels
        self._deaths = deaths
        self._end_actors = end_actors
        self._groups: dict[str, Group] = {}  # by id
        self._names: dict[tuple[str, str], Group] = {}  # by (namespace, name)
        self._ended: deque[Group] = deque(maxlen=MAX_ENDED)  # the oldest first

    def create(self, job: Job, asked: CreateGroup) -> Group:
        """A group that has its resources, or waits for them. The same id again: the same group. Raises Refusal."""
        known = self._groups.get(asked.id)
        if known is not None:
            return known
        key = (job.namespace, asked.name)
        if asked.name and key in self._names:
            raise Refusal(
                Refused.NAME_TAKEN,
                f"a placement group named {asked.name!r} exists in namespace {job.namespace!r} already: take another "
                "name, remove it, or get it with get_placement_group()",
            )
        group = Group(asked, job, job.namespace, self._define(asked), self._shortage(asked))
        self._groups[asked.id] = group
        if asked.name:
            self._names[key] = group
        if not group.shortage and self._core.reserve_group(group.class_id):
            self._grant(group)
        return group

    def granted(self, class_id: int) -> None:
        """The core has set the resources of a group aside that had to wait for them.

        Perhaps of one that was removed since, whose number is another's by now: so the core is asked.
        """
        group = self.of_class(class_id)
        if group is not None and self._core.reserve_group(class_id):
            self._grant(group)

    def remove(self, group_id: str, reason: str) -> None:
        """End what runs in a group, and give its resources back. Of none: no effect."""
        group = self._groups.pop(group_id, None)
        if group is None:
            return
        if group.asked.name:
            del self._names[group.namespace, group.asked.name]
        group.is_removed, group.end = True, reason
        if group.waited_s is None:
            group.waited_s = time.monotonic() - group.asked_s
        self._ended.append(group)
        group.settled.set()
        for class_id in group.task_classes:  # first the record: whoever sees a task fail asks for it at once
            self._deaths.record(Death(reason=f"{group} was removed: {reason}"), actor_key(class_id))
        self._end_actors(group_id, f"{group} was removed: {reason}")
        self._core.remove_group(group.class_id)
        group.class_id = NO_CLASS

    def end_job(self, job: Job) -> list[Group]:
        """Remove the groups of a job that has ended, but for detached ones -> those that were removed."""
        ending = [group for group in self._groups.values() if group.job is job and not group.asked.is_detached]
        for group in ending:
            self.remove(group.asked.id, "its job has ended")
        return ending

    async def wait(self, group_id: str, timeout_s: float) -> bool:
        """Whether a group has its resources, after waiting for them. Raises Refusal if it is removed."""
        group = self.living(group_id)
        try:
            await asyncio.wait_for(group.settled.wait(), timeout_s)
        except asyncio.TimeoutError:
            return False
        self.living(group_id)
        return True

    def living(self, group_id: str) -> Group:
        """A group that was not removed. Raises Refusal."""
        group = self._groups.get(group_id)
        if group is None:
            ended = next((ended for ended in self._ended if ended.asked.id == group_id), None)
            text = f"{ended} was removed: {ended.end}" if ended else f"there is no placement group {group_id}"
            raise Refusal(Refused.GROUP_REMOVED, f"{text}; make a new one")
        return group

    def of_class(self, class_id: int) -> Group | None:
        """The group that the core calls so."""
        return next((group for group in self._groups.values() if group.class_id == class_id), None)

    def find(self, group_id: str, name: str, namespace: str) -> list[GroupRow]:
        """One group by its id or name, or all: those that were removed last before the others."""
        if name:
            named = self._names.get((namespace, name))
            return [] if named is None else [self._row(named)]
        return [self._row(group) for group in self if group_id in ("", group.asked.id)]

    def __iter__(self) -> Iterator[Group]:
        return iter([*self._ended, *self._groups.values()])

    def _grant(self, group: Group) -> None:
        group.is_granted = True
        group.waited_s = time.monotonic() - group.asked_s
        group.settled.set()

    def _define(self, asked: CreateGroup) -> int:
        try:
            return self._core.define_group([self._ledger.shape(bundle) for bundle in asked.bundles])
        except (status.StoreFull, status.Invalid) as error:
            raise Refusal(
                Refused.FULL, f"the node can not take another placement group like this ({error}); use fewer kinds"
            ) from error

    def _shortage(self, asked: CreateGroup) -> str:
        """Why this node can never grant it, and what to do."""
        if asked.strategy == STRICT_SPREAD and len(asked.bundles) > 1:
            return (
                f"STRICT_SPREAD wants each of its {len(asked.bundles)} bundles on another node, and there is one node: "
                "use PACK or SPREAD, or one bundle"
            )
        for index, rules in enumerate(asked.rules):
            broken = unmet(rules, self._labels)
            if broken:
                wanted = "; ".join(map(str, broken))
                return f"bundle {index} wants a node with {wanted}, and {labels_of(self._labels)}"
        return self._ledger.shortage(total_of(asked.bundles)) or ""

    def _row(self, group: Group) -> GroupRow:
        asked = group.asked
        available = []
        if group.is_granted and not group.is_removed:
            for index, bundle in enumerate(asked.bundles):
                free = self._core.bundle_available(group.class_id, index) or {}
                available.append(dict.fromkeys(bundle, 0.0) | self._ledger.named(free))
        return GroupRow(
            id=asked.id,
            name=asked.name,
            namespace=group.namespace,
            strategy=asked.strategy,
            bundles=asked.bundles,
            state=group.state,
            root=group.job.root,
            is_detached=asked.is_detached,
            class_id=group.class_id,
            created_s=group.created_s,
            waited_s=time.monotonic() - group.asked_s if group.waited_s is None else group.waited_s,
            shortage=group.shortage,
            available=available,
            end=group.end,
        )


def labels_of(labels: Mapping[str, str]) -> str:
    """What labels this node has, and what to do if others are wanted."""
    shown = ", ".join(f"{label}={value}" for label, value in labels.items())
    return f"this node's labels are {{{shown}}}: name others, or give the node labels with shoal.init(labels=...)"
