# SPDX-License-Identifier: Apache-2.0
"""Messages about placement groups. Who makes a group draws its id, so that a creation can be undone wherever it was
broken off, and repeating one has no effect."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from shoal.protocol.conversation import Reply, Request
from shoal.protocol.places import LabelRule


class GroupRow(msgspec.Struct, frozen=True):
    """A placement group that is there, or was not long ago."""

    id: str  # hexadecimal
    name: str
    namespace: str
    strategy: str
    bundles: list[dict[str, float]]
    state: str  # one of the constants below
    root: int  # of the job that made it
    is_detached: bool
    class_id: int  # of the core; -1: it never had one, or has none any more
    created_s: float  # Unix time
    waited_s: float  # for its resources, so far or in all
    shortage: str = ""  # why this node can never grant it
    available: list[dict[str, float]] = msgspec.field(default_factory=list)  # of each bundle, once granted
    end: str = ""  # why it was removed

    PENDING: ClassVar[str] = "PENDING"
    CREATED: ClassVar[str] = "CREATED"
    REMOVED: ClassVar[str] = "REMOVED"


class GroupRows(Reply, frozen=True):
    """The groups that were asked for, the oldest first."""

    rows: list[GroupRow]


class GroupMade(Reply, frozen=True):
    """The group waits for its resources, or has them."""

    warning: str | None = None  # the node can never grant it; tell the user


class GroupGone(Reply, frozen=True):
    """There is no such group any more."""


class GroupWaited(Reply, frozen=True):
    """Whether the group has its resources."""

    is_created: bool


class ClassPlace(Reply, frozen=True):
    """Where the calls of a class run, as far as a group goes."""

    group: str = ""
    bundle: int = -1
    captures: bool = False


class CreateGroup(Request[GroupMade], frozen=True):
    """Set bundles of resources aside, all or none; refused with NAME_TAKEN."""

    id: str
    bundles: list[dict[str, float]]
    strategy: str
    name: str = ""
    is_detached: bool = False  # it outlives its job
    rules: list[list[LabelRule]] = msgspec.field(default_factory=list)  # of each bundle's node


class RemoveGroup(Request[GroupGone], frozen=True):
    """End what runs in a group and give its resources back. Of one that is not there: no effect."""

    id: str


class WaitForGroup(Request[GroupWaited], frozen=True):
    """Wait until a group has its resources, at most so long; refused with NOT_FOUND if it is removed."""

    id: str
    timeout_s: float


class FindGroups(Request[GroupRows], frozen=True):
    """One group by its id, removed or not; one that is not removed by its name; without either, all."""

    id: str = ""
    name: str = ""
    namespace: str | None = None  # default the asker's; only with a name


class DescribePlace(Request[ClassPlace], frozen=True):
    """In which group the calls of a class of this job run."""

    class_id: int


PlacementRequest = CreateGroup | RemoveGroup | WaitForGroup | FindGroups | DescribePlace
PlacementReply = GroupRows | GroupMade | GroupGone | GroupWaited | ClassPlace
