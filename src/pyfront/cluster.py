# SPDX-License-Identifier: Apache-2.0
"""Questions about the node: what it has, what is free, and what its processes did.

Names and shapes of the answers are those of Ray core, where they are about a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal import runtime

if TYPE_CHECKING:
    from shoal.protocol.messages import NodeInfo


def nodes() -> list[dict[str, Any]]:
    """The nodes, one dict each: NodeID, Alive, NodeManagerHostname, Resources, Labels."""
    return [_node_dict(info) for info in runtime.current().calls.nodes()]


def cluster_resources() -> dict[str, float]:
    """All resources there are, by name, e.g. `{"CPU": 2.0}`; of memory, bytes."""
    return runtime.current().calls.cluster_resources()


def available_resources() -> dict[str, float]:
    """Resources that no task or actor holds now, by name; of memory, bytes."""
    return runtime.current().calls.available_resources()


def timeline(filename: str | None = None) -> list[dict[str, Any]] | None:
    """What the node's processes did, as events of the Chrome trace format; or None, if they are written to `filename`
    as JSON for https://ui.perfetto.dev (default None: nothing is written).

    The node must trace: `init(tracing=True)`, or SHOAL_TRACING=1 in the environment of the program that starts it; else
    there is nothing, and an IncompleteStateWarning says so. The last 65,536 events of each driver and worker and 8,192
    of each actor are kept. Raises OSError."""
    from shoal.util.state.timeline import timeline as read_timeline

    runtime.current()
    return read_timeline(filename)


def _node_dict(info: NodeInfo) -> dict[str, Any]:
    return {
        "NodeID": info.node_id,
        "Alive": info.is_alive,
        "NodeManagerHostname": info.hostname,
        "Resources": dict(info.resources),
        "Labels": dict(info.labels),
    }
