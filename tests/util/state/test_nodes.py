# SPDX-License-Identifier: Apache-2.0
"""`list_nodes`: the one node."""

from types import ModuleType

from tests.util.waiting import eventually

from shoal.util.state import get_node, list_nodes, list_workers


def test_the_node_of_this_process(shoal_node: ModuleType) -> None:
    idle = [("worker_type", "=", "WORKER"), ("state", "=", "IDLE")]
    eventually(lambda: len(list_workers(filters=idle)) == 2)  # nobody comes or goes between two looks
    (row,) = list_nodes(detail=True)
    assert row.node_id == shoal_node.nodes()[0]["NodeID"]
    assert (row.state, row.is_head_node, row.resources_total["CPU"]) == ("ALIVE", True, 2.0)
    assert row.counters is not None
    assert row.counters["clients"] == row.n_processes
    found = get_node(row.node_id)
    assert found is not None
    assert found.daemon_pid == row.daemon_pid
