# SPDX-License-Identifier: Apache-2.0
"""A node that has nothing to do costs next to nothing."""

from types import ModuleType

from shoal.microbenchmark.bench import Bench
from shoal.microbenchmark.memory import private_bytes
from shoal.microbenchmark.process_rows import idle_cpu
from shoal.runtime import connected

WINDOW_BUDGET_S = 0.6  # the row looks for five of them
N_LOOKS = 5  # what else the machine does makes the same work dearer, and none of it cheaper: the best look counts
MAX_PERCENT = 0.5  # of one core, all processes of the node together
MAX_DAEMON_BYTES = 40e6


def test_an_idle_node_uses_half_a_percent_of_a_core_at_most_and_its_daemon_40_mb(shoal_node: ModuleType) -> None:
    bench = Bench(lambda: (shoal_node, lambda: None), n_cpus=2, budget_s=WINDOW_BUDGET_S)
    looks: list[float] = []
    while not looks or (min(looks) >= MAX_PERCENT and len(looks) < N_LOOKS):
        looks.append(idle_cpu(bench).value)
    assert min(looks) < MAX_PERCENT, looks
    assert private_bytes(connected().config.daemon_pid) < MAX_DAEMON_BYTES
