# SPDX-License-Identifier: Apache-2.0
"""Nodes as rows: the one that was looked at. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from shoal.util.state.record import Record
from shoal.util.state.snapshot import Snapshot

DAEMON = 0  # the first record is its own


class NodeState(Record, frozen=True, kw_only=True):
    """One node."""

    DETAIL: ClassVar[frozenset[str]] = frozenset({"start_time_ms", "counters", "runtime_dir"})

    node_id: str
    node_ip: str | None
    """None: a node of one machine listens on no network."""
    is_head_node: bool
    state: str
    """ALIVE; UNRESPONSIVE: its daemon does not answer."""
    node_name: str | None
    """The name of the machine."""
    daemon_pid: int
    resources_total: dict[str, float]
    resources_available: dict[str, float]
    n_processes: int
    start_time_ms: int | None = None
    counters: dict[str, float] | None = None
    runtime_dir: str | None = None


def node_rows(snapshot: Snapshot) -> Iterator[NodeState]:
    """The node."""
    tables = snapshot.tables
    daemon = snapshot.clients.get(DAEMON)
    yield NodeState(
        node_id=snapshot.node_id,
        node_ip=None,
        is_head_node=True,
        state="ALIVE" if tables is not None else "UNRESPONSIVE",
        node_name=None if tables is None else tables.hostname,
        daemon_pid=0 if daemon is None else daemon.pid,
        resources_total={} if tables is None else tables.total,
        resources_available={} if tables is None else tables.available,
        n_processes=len(snapshot.clients),
        start_time_ms=None if tables is None else int(tables.started_s * 1000),
        counters=None if tables is None else tables.counters,
        runtime_dir=None if tables is None else tables.runtime_dir,
    )
