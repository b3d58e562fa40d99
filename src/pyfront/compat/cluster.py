# SPDX-License-Identifier: Apache-2.0
"""`ray.cluster_utils.Cluster`: a cluster for tests, as far as one node reaches.

The node is started by the `init` that is given its address, and ends with that connection."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from shoal import api
from shoal.errors import UnsupportedOptionError

PREFIX = "shoal-cluster-"
TAKEN = ("num_cpus", "num_gpus", "resources", "object_store_memory", "memory", "object_spilling_directory")
DEFAULTS: Mapping[str, Any] = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 150 * 1024 * 1024}

_numbers = itertools.count(1)
_clusters: dict[str, dict[str, Any]] = {}


def options_of_address(address: str | None) -> dict[str, Any] | None:
    """The options of the node of a `Cluster` at this address; None if it is the address of none."""
    return None if address is None else _clusters.get(address)


class Node:
    """The node of a cluster."""

    def __init__(self, address: str, options: Mapping[str, Any]) -> None:
        self.address = address
        self.options = dict(options)


class Cluster:
    """A cluster of one node."""

    def __init__(
        self,
        initialize_head: bool = False,
        connect: bool = False,
        head_node_args: Mapping[str, Any] | None = None,
        shutdown_at_exit: bool = True,
    ) -> None:
        """`head_node_args`: of `add_node`. `shutdown_at_exit` has no effect: a node ends with its driver at the latest.

        Raises RuntimeError for `connect` without `initialize_head`."""
        self.head_node: Node | None = None
        self.connected = False
        if connect and not initialize_head:
            raise RuntimeError("Cannot connect to uninitialized cluster.")
        if initialize_head:
            self.add_node(**(head_node_args or {}))
            if connect:
                self.connect()

    @property
    def address(self) -> str | None:
        """What `init(address=...)` takes, in this process; None before `add_node`."""
        return None if self.head_node is None else self.head_node.address

    gcs_address = address

    def add_node(self, wait: bool = True, **node_args: Any) -> Node:
        """The node: `num_cpus` (default 1), `num_gpus` (0), `resources`, `object_store_memory` (150 MiB), `memory`.

        Raises UnsupportedOptionError for a second node, TypeError for another argument."""
        if self.head_node is not None:
            raise UnsupportedOptionError(
                "a Cluster has one node: give the first one all the resources that the program needs"
            )
        unknown = sorted(set(node_args) - set(TAKEN))
        if unknown:
            raise TypeError(f"add_node takes {', '.join(TAKEN)}, not {', '.join(unknown)}")
        address = f"{PREFIX}{next(_numbers)}"
        _clusters[address] = {**DEFAULTS, **node_args}
        self.head_node = Node(address, _clusters[address])
        return self.head_node

    def remove_node(self, node: Node, allow_graceful: bool = True) -> None:
        """End the node, and the connection to it. Raises ValueError for a node of another cluster."""
        if node is not self.head_node:
            raise ValueError("this node is not of this cluster")
        self.shutdown()

    def list_all_nodes(self) -> list[Node]:
        """The nodes."""
        return [] if self.head_node is None else [self.head_node]

    def wait_for_nodes(self, timeout: float = 30) -> None:
        """Returns at once: a node answers as soon as one is connected to it."""

    def connect(self, namespace: str | None = None) -> None:
        """Connect this process to the cluster."""
        from shoal.compat.connection import init

        init(self.address, namespace=namespace, ignore_reinit_error=True)
        self.connected = True

    def shutdown(self) -> None:
        """End the node, and the connection to it. Repeating it has no effect."""
        if self.head_node is not None:
            api.shutdown()
            _clusters.pop(self.head_node.address, None)
            self.head_node = None
        self.connected = False
