# SPDX-License-Identifier: Apache-2.0
"""Messages for people who look at a node: what only its daemon knows. `shoal.util.state` and the command line ask them.

An *observer* says `Observe` where a driver says `Hello`. It gets no job, no client record and no descriptors, and may
ask what is in this file and for resources, counters and nodes.
"""

from __future__ import annotations

import msgspec

from shoal.protocol.conversation import Reply, Request


class Observed(Reply, frozen=True):
    """An observer may ask now."""

    node_id: str


class Observe(Request[Observed], frozen=True):
    """An observer's first message."""

    pid: int


class JobRow(msgspec.Struct, frozen=True):
    """A job that runs."""

    root: int
    pid: int
    entrypoint: str
    namespace: str
    started_s: float  # Unix time


class ActorRow(msgspec.Struct, frozen=True):
    """An actor that lives, waits to live, or has ended not long ago."""

    class_id: int  # may be another actor's by now, if it has ended
    root: int
    class_name: str
    name: str | None
    namespace: str
    pid: int  # 0: there was never a process
    max_concurrency: int
    is_async: bool
    methods: bytes  # as `ActorOrder.meta`
    resources: dict[str, float]
    is_alive: bool = True
    death: str = ""


class WorkerRow(msgspec.Struct, frozen=True):
    """A process that the node started for a job; one without a pid is about to be forked."""

    pid: int
    index: int  # of its client record
    epoch: int
    root: int
    name: str  # of the actor, or of the task that printed last


class NodeTables(Reply, frozen=True):
    """The daemon's names for what is numbered in the segment, and amounts that it keeps."""

    node_id: str
    hostname: str
    daemon_pid: int
    started_s: float
    runtime_dir: str
    total: dict[str, float]
    available: dict[str, float]
    counters: dict[str, float]
    store_bytes: int
    jobs: list[JobRow]
    actors: list[ActorRow]
    workers: list[WorkerRow]
    functions: dict[bytes, str]  # key -> name
    classes: dict[int, dict[str, float]]  # class id -> resources demanded by each task
    impossible: dict[int, str]  # classes whose demand the node can never meet -> why


class DescribeNode(Request[NodeTables], frozen=True):
    """Everything in `NodeTables`."""
