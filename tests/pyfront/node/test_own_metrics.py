# SPDX-License-Identifier: Apache-2.0
"""The node's own numbers, from what its parts say."""

from shoal._core import _node as core
from shoal.node.own_metrics import COUNTERS, own_families
from shoal.node.resources import Ledger


def test_states_are_words_and_all_of_them_are_there() -> None:
    clients = [
        {"role": core.ROLE_WORKER, "run_state": core.RUN_BUSY},
        {"role": core.ROLE_WORKER, "run_state": core.RUN_PARKED},
        {"role": core.ROLE_DRIVER, "run_state": core.RUN_BUSY},
        {"role": core.ROLE_DAEMON, "run_state": core.RUN_BUSY},
    ]
    families = {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in own_families(
            {**dict.fromkeys(COUNTERS, 7), "live_entries": 3, "live_bytes": 100, "spilled_bytes": 9},
            {core.TASK_RUNNING: 2, core.TASK_CANCELLED: 1, core.TASK_READY: 5},
            clients,
            1000,
            Ledger({"CPU": 2.0, "memory": 10.0}),
            {-1: 500},
        )
    }
    assert families["shoal_tasks"][("RUNNING",)] == 3
    assert families["shoal_tasks"][("PENDING",)] == 5
    assert families["shoal_tasks"][("PENDING_ARGS_AVAIL",)] == 0
    assert families["shoal_processes"][("WORKER", "RUNNING")] == families["shoal_processes"][("WORKER", "IDLE")] == 1
    assert families["shoal_processes"][("ACTOR", "IDLE")] == 0
    assert families["shoal_tasks_completed"] == {(): 7}
    assert families["shoal_objects"] == {(): 3}
    assert families["shoal_spilled_bytes"] == {(): 9}
    assert families["shoal_spilled_objects"] == {(): 0}
    assert families["shoal_store_limit_bytes"] == {(): 1000}
    assert families["shoal_resources"][("CPU", "total")] == 2
    assert families["shoal_resources"][("CPU", "available")] == 0.5
