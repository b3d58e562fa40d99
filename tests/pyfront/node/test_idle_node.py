# SPDX-License-Identifier: Apache-2.0
"""A node that has nothing to do costs next to nothing."""

import time
from types import ModuleType

from shoal.microbenchmark.memory import descendants_cpu_s, private_bytes
from shoal.runtime import connected

SETTLE_S = 1.0  # start-up, preloading and spinning are over
WINDOW_S = 3.0
MAX_SHARE = 0.005  # of one core, all processes of the node together
MAX_DAEMON_BYTES = 40e6


def test_an_idle_node_uses_half_a_percent_of_a_core_at_most_and_its_daemon_40_mb(shoal_node: ModuleType) -> None:
    @shoal_node.remote
    def double(i: int) -> int:
        return 2 * i

    assert shoal_node.get([double.remote(i) for i in range(1000)]) == list(range(0, 2000, 2))
    time.sleep(SETTLE_S)
    before = descendants_cpu_s()
    time.sleep(WINDOW_S)
    assert descendants_cpu_s() - before < MAX_SHARE * WINDOW_S
    assert private_bytes(connected().config.daemon_pid) < MAX_DAEMON_BYTES
