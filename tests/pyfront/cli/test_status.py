# SPDX-License-Identifier: Apache-2.0
"""`shoal status`."""

import warnings
from collections.abc import Callable
from types import ModuleType

import psutil
from tests.pyfront.cli.conftest import Done
from tests.util.waiting import Gate, eventually, hold, stop

import shoal
from shoal.util.state import list_tasks

Shell = Callable[..., Done]


def test_what_a_node_has_does_and_lacks(shoal_node: ModuleType, gate: Gate, shell: Shell) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", shoal.InfeasibleResourcesWarning)
        impossible = hold.options(resources={"moon": 1}).remote(gate.path)
    refs = [hold.remote(gate.path) for _ in range(3)]
    eventually(lambda: [row.state for row in list_tasks()].count("RUNNING") == 2)
    found = shell("status", "--json").json
    assert found["is_alive"]
    assert found["resources"]["CPU"] == {"used": 2.0, "total": 2.0}
    assert (found["processes"]["daemon"], found["processes"]["driver"]) == (1, 1)
    assert found["tasks"] == {"PENDING_NODE_ASSIGNMENT": 2, "RUNNING": 2}
    demands = {row["resources"].get("moon", 0): row for row in found["demands"]}
    assert (demands[0]["n"], demands[0]["impossible"]) == (1, "")
    assert "can not be met" in demands[1]["impossible"]
    page = shell("status").output
    assert "Tasks: 2 PENDING_NODE_ASSIGNMENT, 2 RUNNING" in page
    assert "Waiting: 1 x {CPU: 1}" in page
    del impossible
    gate.open(3)
    shoal_node.get(refs)


def test_a_daemon_that_does_not_answer(shoal_node: ModuleType, shell: Shell) -> None:
    daemon = psutil.Process(shell("status", "--json").json["daemon_pid"])
    stop(daemon.pid)
    try:
        done = shell("status")
    finally:
        daemon.resume()
    assert done.code == 0
    assert "its daemon does not answer" in done.output
    assert "1 driver" in done.output
    assert "shoal: The node's daemon gave no names" in done.errors
