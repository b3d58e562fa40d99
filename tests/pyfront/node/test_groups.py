# SPDX-License-Identifier: Apache-2.0
"""Where the ranks of a group meet: who waits for whom, what is refused, and that no memory is kept."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from shoal.node.groups import Declaration, Groups
from shoal.node.refusal import Refusal
from shoal.protocol.groups import GroupRole

KEY = ("ns", "g")
MEMORY = (7, 1)
LIMIT_S = 30.0


class Node:
    """Groups, and what the daemon itself holds."""

    def __init__(self) -> None:
        self.held: list[tuple[int, int]] = []
        self.lent: list[tuple[int, int]] = []
        self.groups = Groups(self._hold, lambda *entry: self.held.remove(entry))

    def _hold(self, *entry: int) -> bool:
        self.held.append((entry[0], entry[1]))
        return entry[0] != 0

    def join(self, asker: Any, rank: int, size: int = 3, wait_s: float = LIMIT_S) -> Coroutine[Any, Any, Any]:
        return self.groups.join(asker, KEY, size, rank, wait_s, self.lent.append)


class Process:
    """A connection."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()


def process(pid: int) -> Any:
    return Process(pid)


def test_ranks_come_in_any_order_and_the_last_one_ends_it() -> None:
    async def run() -> None:
        node = Node()
        early = asyncio.ensure_future(node.join(process(1), 1))
        await asyncio.sleep(0)
        node.groups.open(process(0), KEY, 3, MEMORY)
        assert await early == MEMORY
        assert node.held == [MEMORY]
        assert await node.join(process(2), 2) == MEMORY
        assert node.held == []
        assert node.lent == [MEMORY, MEMORY]
        node.groups.open(process(3), KEY, 2, (8, 1))  # the name is free again
        assert node.held == [(8, 1)]

    asyncio.run(run())


def test_what_does_not_fit_is_refused() -> None:
    async def run() -> None:
        node = Node()
        node.groups.open(process(5), KEY, 3, MEMORY)
        with pytest.raises(Refusal, match="process 5 is its rank 0"):
            node.groups.open(process(6), KEY, 3, MEMORY)
        with pytest.raises(Refusal, match="has 3 ranks, and rank 1 that it has 2"):
            await node.join(process(1), 1, size=2)
        await node.join(process(1), 1)
        with pytest.raises(Refusal, match="rank 1 of group 'g' is process 1"):
            await node.join(process(2), 1)
        with pytest.raises(Refusal, match="is gone"):
            node.groups.open(process(6), ("ns", "other"), 3, (0, 1))

    asyncio.run(run())


def test_a_rank_that_hangs_up_ends_the_meeting() -> None:
    async def run() -> None:
        node = Node()
        zeroth, first = process(0), process(1)
        node.groups.open(zeroth, KEY, 3, MEMORY)
        await node.join(first, 1)
        first.closed.set_result(None)
        await asyncio.sleep(0)
        assert node.held == []
        with pytest.raises(Refusal, match="did not come within 0 s"):
            await node.join(process(2), 2, wait_s=0.0)

    asyncio.run(run())


def test_a_rank_may_break_off() -> None:
    async def run() -> None:
        node = Node()
        zeroth, first = process(0), process(1)
        waiting = asyncio.ensure_future(node.join(first, 1))
        await asyncio.sleep(0)
        node.groups.close(first, KEY, 1)
        with pytest.raises(Refusal, match="broke off"):
            await waiting
        node.groups.open(zeroth, KEY, 3, MEMORY)
        node.groups.close(first, KEY, 1)  # has nothing to do with it
        assert node.held == [MEMORY]
        node.groups.close(zeroth, KEY, 1)
        assert node.held == []

    asyncio.run(run())


def test_declarations_are_kept_while_their_job_runs() -> None:
    groups = Node().groups
    declared = Declaration(1, {40: 0, 41: 1}, 9.0)
    groups.declare(KEY, declared, lambda root: True)
    assert groups.role(KEY, 41) == GroupRole(2, 1, 9.0)
    with pytest.raises(Refusal, match="no group 'g' with this actor"):
        groups.role(KEY, 42)
    with pytest.raises(Refusal, match="declared before"):
        groups.declare(KEY, declared, lambda root: True)
    groups.declare(KEY, declared, lambda root: False)
    groups.close(Any, KEY, 2)  # type: ignore[arg-type]  # of another job
    assert groups.role(KEY, 40).rank == 0
    groups.close(Any, KEY, 1)  # type: ignore[arg-type]
    with pytest.raises(Refusal):
        groups.role(KEY, 40)
