# SPDX-License-Identifier: Apache-2.0
"""Everything about metrics in the daemon: what processes report, the node's own, and the endpoint if there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from shoal._core._node import NodeCore
from shoal.node.connections import Connection
from shoal.node.metrics import MetricCollector, MetricTable
from shoal.node.own_metrics import own_families
from shoal.node.resources import Ledger
from shoal.protocol.metrics import Family

if TYPE_CHECKING:
    from shoal.node.metrics_server import MetricsServer


class MetricsReader:
    """Of one node."""

    def __init__(self, core: NodeCore, ledger: Ledger, store_bytes: int, port: int | None) -> None:
        """`port`: of the endpoint, 0 for any; None: there is none. Raises OSError if it is taken."""
        self._core = core
        self._ledger = ledger
        self._store_bytes = store_bytes
        self._spill_counters: Callable[[], Mapping[str, int]] = dict
        self._table = MetricTable(_warn)
        self.collector = MetricCollector(self._table)
        self._server = None if port is None else _server_at(port)

    @property
    def port(self) -> int:
        """Of the endpoint; 0: there is none."""
        return 0 if self._server is None else self._server.port

    def start(self, spill_counters: Callable[[], Mapping[str, int]]) -> None:
        """Serve the endpoint, if there is one, from now on."""
        self._spill_counters = spill_counters
        if self._server is not None:
            self._server.start(self._text)

    def close(self) -> None:
        """Let go of the endpoint."""
        if self._server is not None:
            self._server.close()

    async def read(self) -> list[Family]:
        """All metrics as they are now: processes are asked for what they have not reported yet."""
        await self.collector.collect()
        task_states = await asyncio.get_running_loop().run_in_executor(None, self._core.task_states)
        own = own_families(
            {**self._core.counters(), **self._spill_counters()},
            task_states,
            self._core.clients(),
            self._store_bytes,
            self._ledger,
            self._core.available(),
        )
        return [*own, *self._table.families()]

    async def _text(self) -> bytes:
        from shoal.node.exposition import to_text

        return to_text(await self.read())


def _server_at(port: int) -> MetricsServer:
    from shoal.node.metrics_server import MetricsServer  # the HTTP server of Python costs 30 ms to import

    try:
        return MetricsServer(port)
    except OSError as error:
        raise OSError(
            error.errno, f"metrics_export_port={port} cannot be had: {error.strerror}; give another one, or 0"
        ) from error


def _warn(source: Connection, text: str) -> None:
    if source.job is not None:
        source.job.warn(text)
