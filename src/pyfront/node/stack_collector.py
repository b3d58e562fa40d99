# SPDX-License-Identifier: Apache-2.0
"""Asks the processes of a node for their stacks. One that is stopped, or holds the GIL, does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from shoal.node.connections import Connection
from shoal.node.jobs import Jobs
from shoal.node.worker_pool import WorkerPool
from shoal.protocol.tables import DumpStacks

WAIT_S = 1.0  # a process that can answer does so within a switch of threads


class StackCollector:
    """Questions under way."""

    def __init__(self, jobs: Jobs, pool: WorkerPool) -> None:
        self._jobs = jobs
        self._pool = pool
        self._last_number = 0
        self._asked: dict[int, dict[Connection, asyncio.Future[str]]] = {}

    async def collect(self, pid: int, wait_s: float = WAIT_S, *, is_of_lines: bool = False) -> dict[int, str]:
        """The stacks of process `pid`, or with 0 of all, by pid: of those that answer within the wait."""
        self._last_number += 1
        number = self._last_number
        loop = asyncio.get_running_loop()
        asked = {connection: loop.create_future() for connection in self._connections() if pid in (0, connection.pid)}
        self._asked[number] = asked
        try:
            for connection in asked:
                connection.push(DumpStacks(number, is_of_lines))
            if asked:
                await asyncio.wait(asked.values(), timeout=wait_s)
        finally:
            del self._asked[number]
        return {connection.pid: answer.result() for connection, answer in asked.items() if answer.done()}

    def take(self, asker: Connection, number: int, text: str) -> None:
        """An answer; one that comes late is of no interest."""
        answer = self._asked.get(number, {}).get(asker)
        if answer is not None and not answer.done():
            answer.set_result(text)

    def _connections(self) -> Iterator[Connection]:
        for job in self._jobs:
            if job.driver is not None:
                yield job.driver
        for process in self._pool:
            if process.connection is not None and process.status is None:
                yield process.connection
