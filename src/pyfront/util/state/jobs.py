# SPDX-License-Identifier: Apache-2.0
"""Jobs as rows: each driver with everything that it started. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from shoal._core import _node as core
from shoal.ids import job_id
from shoal.util.state.record import Record
from shoal.util.state.snapshot import Snapshot
from shoal.util.state.workers import state_of_client


class JobState(Record, frozen=True, kw_only=True):
    """One job."""

    DETAIL: ClassVar[frozenset[str]] = frozenset({"start_time", "ray_namespace"})

    job_id: str
    """Hexadecimal, as `get_runtime_context().get_job_id()`."""
    type: str
    """DRIVER."""
    status: str
    """RUNNING; a job that has ended is no row."""
    entrypoint: str | None
    """The driver's program; None if the daemon did not answer."""
    driver_pid: int
    driver_state: str
    """As `WorkerState.state`."""
    n_workers: int
    n_tasks: int
    """Tasks and calls that wait or run."""
    start_time: int | None = None
    """Unix time in milliseconds."""
    ray_namespace: str | None = None


def job_rows(snapshot: Snapshot) -> Iterator[JobState]:
    """One row for each driver."""
    tasks = Counter(task.root for task in snapshot.tasks)
    workers = Counter(client.root for client in snapshot.clients.values() if client.role != core.ROLE_DRIVER)
    for client in snapshot.clients.values():
        if client.role != core.ROLE_DRIVER:
            continue
        job = snapshot.job_by_root.get(client.root)
        yield JobState(
            job_id=job_id(client.root),
            type="DRIVER",
            status="RUNNING",
            entrypoint=None if job is None else job.entrypoint,
            driver_pid=client.pid,
            driver_state=state_of_client(snapshot, client),
            n_workers=workers[client.root],
            n_tasks=tasks[client.root],
            start_time=None if job is None else int(job.started_s * 1000),
            ray_namespace=None if job is None else job.namespace,
        )
