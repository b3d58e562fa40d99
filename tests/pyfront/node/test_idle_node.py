# SPDX-License-Identifier: Apache-2.0
"""A node that has nothing to do costs next to nothing."""

from types import ModuleType

from shoal.microbenchmark.bench import Bench
from shoal.microbenchmark.memory import private_bytes
from shoal.microbenchmark.process_rows import idle_cpu
from shoal.runtime import connected

WINDOW_BUDGET_S = 0.6  # the row looks for five of them
MAX_PERCENT = 10.0  # of one core: nothing spins. How little it is, is for `make bench` to say, beside what a wake costs
MAX_DAEMON_BYTES = 40e6


def test_an_idle_node_computes_next_to_nothing_and_its_daemon_has_40_mb_at_most(shoal_node: ModuleType) -> None:
    bench = Bench(lambda: (shoal_node, lambda: None), n_cpus=2, budget_s=WINDOW_BUDGET_S)
    assert idle_cpu(bench).value < MAX_PERCENT
    assert private_bytes(connected().config.daemon_pid) < MAX_DAEMON_BYTES
