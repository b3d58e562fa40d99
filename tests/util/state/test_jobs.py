# SPDX-License-Identifier: Apache-2.0
"""`list_jobs`: each driver."""

import os
import sys
from types import ModuleType

from tests.util.waiting import Gate, eventually, hold

from shoal.util.state import get_job, list_jobs


def test_the_job_of_this_driver(shoal_node: ModuleType, gate: Gate) -> None:
    ref = hold.remote(gate.path)
    eventually(lambda: [row.n_workers for row in list_jobs()] == [2])
    (row,) = list_jobs(detail=True)
    assert row.job_id == shoal_node.get_runtime_context().get_job_id()
    assert (row.status, row.type, row.driver_pid, row.n_tasks) == ("RUNNING", "DRIVER", os.getpid(), 1)
    assert row.entrypoint == sys.argv[0]
    assert get_job(row.job_id) == row
    assert get_job("ffffffff") is None
    gate.open()
    shoal_node.get(ref)
