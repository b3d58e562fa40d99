# SPDX-License-Identifier: Apache-2.0
"""The parts of a running daemon, for those who answer questions about the node or act on it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from shoal._core._node import NodeCore
    from shoal.node.actors import Actors
    from shoal.node.crews import Crew, Crews
    from shoal.node.deaths import Deaths
    from shoal.node.groups import Groups
    from shoal.node.jobs import Jobs
    from shoal.node.metrics import MetricCollector
    from shoal.node.output_tail import OutputTail
    from shoal.node.package_folder import PackageFolder
    from shoal.node.placement_groups import PlacementGroups
    from shoal.node.placing import Placing
    from shoal.node.resources import Ledger
    from shoal.node.spiller import Spiller
    from shoal.node.stack_collector import StackCollector
    from shoal.node.starvation import Starvation
    from shoal.node.worker_pool import WorkerPool
    from shoal.protocol.messages import NodeConfig
    from shoal.protocol.metrics import Family


class Node(msgspec.Struct, eq=False):
    """One node. What makes and joins the parts is `daemon.Daemon`."""

    core: NodeCore
    config: NodeConfig
    ledger: Ledger
    jobs: Jobs
    pool: WorkerPool
    actors: Actors
    placement_groups: PlacementGroups
    placing: Placing
    deaths: Deaths
    starvation: Starvation
    spiller: Spiller
    stacks: StackCollector
    output: OutputTail
    crews: Crews
    packages: PackageFolder
    begin: Callable[[Crew], None]  # workers of a crew will be wanted
    groups: Groups
    metrics: MetricCollector
    read_metrics: Callable[[], Awaitable[list[Family]]]
    stop: Callable[[], None]
    started_s: float = 0.0  # time of day

    def __post_init__(self) -> None:
        self.started_s = time.time()
