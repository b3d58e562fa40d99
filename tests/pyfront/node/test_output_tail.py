# SPDX-License-Identifier: Apache-2.0
"""The last lines of workers: found by name and pid, bounded, and waited for."""

import asyncio

from shoal.node.output_tail import OutputTail
from shoal.protocol.messages import LogLine


def lines(*texts: str, pid: int = 1, name: str = "f") -> list[LogLine]:
    return [LogLine(pid, name, text, False) for text in texts]


def test_lines_are_found_by_name_and_by_pid() -> None:
    async def run() -> None:
        tail = OutputTail()
        tail.add(lines("a", "b"))
        tail.add(lines("c", pid=2, name="g"))
        for source, wanted in [("", "abc"), ("f", "ab"), ("1", "ab"), ("g", "c"), ("2", "c"), ("h", "")]:
            found, following, n_lost = await tail.read(source, 0, 10, 0)
            assert ("".join(line.text for line in found), following, n_lost) == (wanted, 3, 0)

    asyncio.run(run())


def test_the_newest_come_first_when_asked_for_the_past_and_in_turn_afterwards() -> None:
    async def run() -> None:
        tail = OutputTail()
        tail.add(lines("a", "b", "c"))
        found, following, _ = await tail.read("", 0, 2, 0)
        assert ([line.text for line in found], following) == (["b", "c"], 3)
        tail.add(lines("d", "e", "f"))
        found, following, _ = await tail.read("", following, 2, 0)
        assert ([line.text for line in found], following) == (["d", "e"], 5)
        found, following, _ = await tail.read("", following, 2, 0)
        assert ([line.text for line in found], following) == (["f"], 6)
        assert await tail.read("", following, 2, 0) == ([], 6, 0)

    asyncio.run(run())


def test_the_oldest_are_forgotten_and_counted() -> None:
    async def run() -> None:
        few = OutputTail(max_lines=3)
        few.add(lines("a", "b"))
        _, following, _ = await few.read("", 0, 10, 0)
        few.add(lines(*"cdefg"))
        found, _, n_lost = await few.read("", following, 10, 0)
        assert ([line.text for line in found], n_lost) == (["e", "f", "g"], 2)
        small = OutputTail(max_characters=10)
        small.add(lines("x" * 6, "y" * 6))
        found, _, n_lost = await small.read("", 0, 10, 0)
        assert ([line.text for line in found], n_lost) == (["y" * 6], 0)

    asyncio.run(run())


def test_who_waits_is_told_of_a_line_of_its_own_only() -> None:
    async def run() -> None:
        tail = OutputTail()
        tail.add(lines("before"))
        asked = asyncio.ensure_future(tail.read("g", 1, 10, 30))
        await asyncio.sleep(0)
        tail.add(lines("not yours"))
        await asyncio.sleep(0)
        assert not asked.done()
        tail.add(lines("yours", name="g"))
        found, following, _ = await asyncio.wait_for(asked, 30)
        assert ([line.text for line in found], following) == (["yours"], 3)
        assert await tail.read("g", 3, 10, 0.01) == ([], 3, 0)

    asyncio.run(run())
