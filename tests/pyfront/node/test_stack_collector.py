# SPDX-License-Identifier: Apache-2.0
"""Stacks are taken from whoever answers in time."""

import asyncio
from types import SimpleNamespace
from typing import Any

from shoal.node.stack_collector import StackCollector
from shoal.protocol.tables import DumpStacks


class Asked:
    """A process's connection: remembers what it was asked."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.heard: list[DumpStacks] = []

    def push(self, message: DumpStacks) -> None:
        self.heard.append(message)


def collector_of(driver: Asked, *workers: Asked) -> StackCollector:
    jobs: Any = [SimpleNamespace(driver=driver)]
    pool: Any = [SimpleNamespace(connection=worker, status=None) for worker in workers]
    pool.append(SimpleNamespace(connection=None, status=None))  # not registered yet
    return StackCollector(jobs, pool)


def test_answers_are_kept_by_pid_and_silence_ends_the_wait() -> None:
    async def run() -> None:
        driver, worker, stopped = Asked(1), Asked(2), Asked(3)
        collector = collector_of(driver, worker, stopped)
        collecting = asyncio.ensure_future(collector.collect(0, wait_s=0.05))
        await asyncio.sleep(0)
        for asker, text in ((driver, "d"), (worker, "w"), (worker, "again")):
            known: Any = asker
            collector.take(known, asker.heard[0].number, text)
        assert await collecting == {1: "d", 2: "w"}
        late: Any = stopped
        collector.take(late, stopped.heard[0].number, "late")

    asyncio.run(run())


def test_one_process_is_asked_alone() -> None:
    async def run() -> None:
        driver, worker = Asked(1), Asked(2)
        collector = collector_of(driver, worker)
        collecting = asyncio.ensure_future(collector.collect(2, wait_s=30))
        await asyncio.sleep(0)
        known: Any = worker
        collector.take(known, worker.heard[0].number, "w")
        assert await collecting == {2: "w"}
        assert driver.heard == []
        assert await collector.collect(9) == {}

    asyncio.run(run())
