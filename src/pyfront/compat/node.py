# SPDX-License-Identifier: Apache-2.0
"""The node, with the fields that Ray gives it."""

from __future__ import annotations

from typing import Any

from shoal import cluster, runtime

HOST = "127.0.0.1"


def nodes() -> list[dict[str, Any]]:
    """As `shoal.nodes()`, with Ray's `alive`, `NodeManagerAddress`, `NodeName` and `Labels`."""
    return [
        {"alive": row["Alive"], "NodeManagerAddress": HOST, "NodeName": HOST, "Labels": {}, **row}
        for row in cluster.nodes()
    ]


def cluster_resources() -> dict[str, float]:
    """As `shoal.cluster_resources()`, with `object_store_memory` in bytes."""
    return {**cluster.cluster_resources(), "object_store_memory": _store_bytes()}


def available_resources() -> dict[str, float]:
    """As `shoal.available_resources()`, with `object_store_memory` in bytes: all of it, because objects that do not fit
    go to disk."""
    return {**cluster.available_resources(), "object_store_memory": _store_bytes()}


def get_node_ip_address(address: str = "8.8.8.8:53") -> str:
    """127.0.0.1: the processes of a node do not use the network. `address` has no effect."""
    return HOST


def get_node_instance_id() -> str:
    """The node's id."""
    return runtime.current().node_id


def _store_bytes() -> float:
    return float(runtime.current().config.store_bytes)
