# SPDX-License-Identifier: Apache-2.0
"""Messages by which the ranks of a collective group find each other. What they say then goes through shared memory."""

from __future__ import annotations

from shoal.protocol.conversation import Reply, Request


class GroupOpened(Reply, frozen=True):
    """Others can join."""


class OpenGroup(Request[GroupOpened], frozen=True):
    """Rank 0 offers the memory of a group, by index and generation of its entry; refused with NAME_TAKEN."""

    name: str
    world_size: int
    index: int
    generation: int


class GroupMemory(Reply, frozen=True):
    """The entry of a group's memory, held for the asker."""

    index: int
    generation: int


class JoinGroup(Request[GroupMemory], frozen=True):
    """Wait until rank 0 opens the group; refused with TIMED_OUT after `wait_s`, with NAME_TAKEN for a taken rank."""

    name: str
    world_size: int
    rank: int
    wait_s: float


class GroupClosed(Reply, frozen=True):
    """Forgotten."""


class CloseGroup(Request[GroupClosed], frozen=True):
    """The asker breaks off to open or to join a group, or takes a declaration back. No effect if there is none."""

    name: str


class GroupDeclared(Reply, frozen=True):
    """Its actors will find their ranks."""


class DeclareGroup(Request[GroupDeclared], frozen=True):
    """A group of actors, each of which joins when it first uses the group; refused with NAME_TAKEN."""

    name: str
    ranks: dict[int, int]  # class of an actor -> its rank
    timeout_s: float


class GroupRole(Reply, frozen=True):
    """What was declared of an actor."""

    world_size: int
    rank: int
    timeout_s: float


class FindGroup(Request[GroupRole], frozen=True):
    """The rank that was declared for this actor; refused with NOT_FOUND."""

    name: str
    class_id: int


GroupRequest = OpenGroup | JoinGroup | CloseGroup | DeclareGroup | FindGroup
GroupReply = GroupOpened | GroupMemory | GroupClosed | GroupDeclared | GroupRole
