# SPDX-License-Identifier: Apache-2.0
"""Where the ranks of a collective group meet. A group is known here from when rank 0 has opened it until all have come.

A group that cannot be complete any more, because one of its processes hung up, is forgotten: those who have joined see
the death in the group's memory, those who have not wait for the next one of that name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from shoal.node.connections import Connection
from shoal.node.refusal import Refusal
from shoal.protocol.groups import GroupRole
from shoal.protocol.messages import Refused

Key = tuple[str, str]
"""Namespace and name."""
Entry = tuple[int, int]


class Opening(msgspec.Struct, eq=False):
    """A group that waits for ranks."""

    world_size: int
    entry: Entry
    joined: dict[int, Connection] = msgspec.field(default_factory=dict)


class Declaration(NamedTuple):
    """A group of actors that need not be asked to join."""

    root: int
    ranks: dict[int, int]  # class of an actor -> its rank
    timeout_s: float


class Groups:
    """The meeting place of one node. `hold` and `drop` count the daemon's own reference to a group's memory."""

    def __init__(self, hold: Callable[[int, int], bool], drop: Callable[[int, int], None]) -> None:
        self._hold = hold
        self._drop = drop
        self._openings: dict[Key, Opening] = {}
        self._waiting: dict[Key, dict[asyncio.Future[None], Connection]] = {}
        self._declarations: dict[Key, Declaration] = {}

    def open(self, asker: Connection, key: Key, world_size: int, entry: Entry) -> None:
        """Rank 0 is there. Raises Refusal."""
        before = self._openings.get(key)
        if before is not None:
            raise Refusal(
                Refused.NAME_TAKEN,
                f"group {key[1]!r} is being formed, and process {before.joined[0].pid} is its rank 0: give each rank "
                "to one process",
            )
        if not self._hold(*entry):
            raise Refusal(Refused.NOT_FOUND, f"the memory of group {key[1]!r} is gone")
        opening = self._openings[key] = Opening(world_size, entry)
        self._take(asker, key, opening, 0)
        for waiter in self._waiting.get(key, {}):
            if not waiter.done():
                waiter.set_result(None)

    async def join(
        self, asker: Connection, key: Key, world_size: int, rank: int, wait_s: float, lend: Callable[[Entry], None]
    ) -> Entry:
        """Another rank is there -> the group's memory, lent to it. Raises Refusal."""
        opening = await self._opened(asker, key, rank, wait_s)
        if opening.world_size != world_size:
            raise Refusal(
                Refused.BAD_REQUEST,
                f"rank 0 says that group {key[1]!r} has {opening.world_size} ranks, and rank {rank} that it has "
                f"{world_size}: give all the same world_size",
            )
        if rank in opening.joined:
            raise Refusal(
                Refused.NAME_TAKEN,
                f"rank {rank} of group {key[1]!r} is process {opening.joined[rank].pid}: give each rank to one process",
            )
        lend(opening.entry)
        self._take(asker, key, opening, rank)
        return opening.entry

    def close(self, asker: Connection, key: Key, root: int) -> None:
        """This process does not go on with a group, or with its declaration."""
        for waiter, waiting in self._waiting.get(key, {}).items():
            if waiting is asker and not waiter.done():
                waiter.cancel()
        opening = self._openings.get(key)
        if opening is not None and asker in opening.joined.values():
            self._forget(key, opening)
        declaration = self._declarations.get(key)
        if declaration is not None and declaration.root == root:
            del self._declarations[key]

    def declare(self, key: Key, declaration: Declaration, is_running: Callable[[int], bool]) -> None:
        """A group of actors. Raises Refusal if there is one of that name, of a job that runs."""
        before = self._declarations.get(key)
        if before is not None and is_running(before.root):
            raise Refusal(
                Refused.NAME_TAKEN,
                f"group {key[1]!r} was declared before: destroy it first with destroy_collective_group()",
            )
        self._declarations[key] = declaration

    def role(self, key: Key, class_id: int) -> GroupRole:
        """What was declared of an actor. Raises Refusal."""
        declaration = self._declarations.get(key)
        if declaration is None or class_id not in declaration.ranks:
            raise Refusal(Refused.NOT_FOUND, f"no group {key[1]!r} with this actor was declared")
        return GroupRole(len(declaration.ranks), declaration.ranks[class_id], declaration.timeout_s)

    # -- inside

    async def _opened(self, asker: Connection, key: Key, rank: int, wait_s: float) -> Opening:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        while key not in self._openings:
            waiter: asyncio.Future[None] = loop.create_future()
            waiting = self._waiting.setdefault(key, {})
            waiting[waiter] = asker
            try:
                await asyncio.wait([waiter], timeout=max(0.0, deadline_s - loop.time()))
            finally:
                del waiting[waiter]
                if not waiting and self._waiting.get(key) is waiting:
                    del self._waiting[key]
            if waiter.cancelled():
                raise Refusal(Refused.BAD_REQUEST, f"rank {rank} of group {key[1]!r} broke off")
            if not waiter.done():
                raise Refusal(
                    Refused.TIMED_OUT,
                    f"rank 0 of group {key[1]!r} did not come within {wait_s:g} s, and rank {rank} waited for it: each "
                    "of the ranks has to call init_collective_group()",
                )
        return self._openings[key]

    def _take(self, asker: Connection, key: Key, opening: Opening, rank: int) -> None:
        opening.joined[rank] = asker
        if len(opening.joined) == opening.world_size:
            self._forget(key, opening)
        else:
            asker.closed.add_done_callback(lambda _: self._forget(key, opening))

    def _forget(self, key: Key, opening: Opening) -> None:
        if self._openings.get(key) is opening:
            del self._openings[key]
            self._drop(*opening.entry)
