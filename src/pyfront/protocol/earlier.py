# SPDX-License-Identifier: Apache-2.0
"""What a task's next attempt asks about the calls of the ones before. Cold: the first attempt asks nothing."""

from __future__ import annotations

import msgspec

from shoal.protocol.conversation import Reply, Request


class CallName(msgspec.Struct, frozen=True, array_like=True):
    """Which function a call is of: the start of its key as a little-endian number, and the actor's class."""

    function: int
    class_id: int  # -1: no actor's


class EarlierCall(msgspec.Struct, frozen=True, array_like=True):
    """A return of a call that an earlier attempt made, as the core has it (node/children.h)."""

    index: int
    generation: int
    place: int
    function: int
    class_id: int
    class_generation: int
    flags: int
    number: int
    digest: int


class CallsMade(Reply, frozen=True):
    """A later call of a place comes after an earlier one. Each object has been counted for the asker."""

    calls: list[EarlierCall]


class Names(Reply, frozen=True):
    """In the order asked for; an empty one is not known."""

    names: list[str]


class ActorOfClass(Reply, frozen=True):
    """An actor that lives."""

    class_name: str
    meta: bytes


class ListCallsMade(Request[CallsMade], frozen=True):
    """What the earlier attempts of the task in this slot, which the asker runs, have left."""

    index: int
    generation: int


class NameCalls(Request[Names], frozen=True):
    """What errors call these functions and methods."""

    calls: list[CallName]


class FindActorOfClass(Request[ActorOfClass], frozen=True):
    """The actor of this class; refused with NOT_FOUND."""

    class_id: int


EarlierRequest = ListCallsMade | NameCalls | FindActorOfClass
EarlierReply = CallsMade | Names | ActorOfClass
