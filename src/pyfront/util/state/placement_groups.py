# SPDX-License-Identifier: Apache-2.0
"""Placement groups as rows: those that are there, and those that were removed last. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from shoal.ids import job_id
from shoal.util.state.record import Record
from shoal.util.state.snapshot import Snapshot


class PlacementGroupState(Record, frozen=True, kw_only=True):
    """One placement group."""

    DETAIL: ClassVar[frozenset[str]] = frozenset({"bundles_available", "ray_namespace", "start_time_ms"})

    placement_group_id: str
    name: str
    creator_job_id: str
    state: str
    """PENDING: it waits for its resources; CREATED: it has them; REMOVED."""
    strategy: str
    bundles: list[dict[str, float]]
    is_detached: bool
    waited_s: float
    """For its resources, so far or in all."""
    reason: str
    """Why it can never be placed here, or why it was removed."""
    bundles_available: list[dict[str, float]] | None = None
    """What of each bundle nobody uses; empty unless it is CREATED."""
    ray_namespace: str | None = None
    start_time_ms: int | None = None
    """Unix time in milliseconds, when it was asked for."""


def placement_group_rows(snapshot: Snapshot) -> Iterator[PlacementGroupState]:
    """One row for each group, those that were removed first; none if the daemon did not answer."""
    for row in () if snapshot.tables is None else snapshot.tables.groups:
        yield PlacementGroupState(
            placement_group_id=row.id,
            name=row.name,
            creator_job_id=job_id(row.root),
            state=row.state,
            strategy=row.strategy,
            bundles=row.bundles,
            is_detached=row.is_detached,
            waited_s=row.waited_s,
            reason=row.end or row.shortage,
            bundles_available=row.available,
            ray_namespace=row.namespace,
            start_time_ms=int(row.created_s * 1000),
        )
