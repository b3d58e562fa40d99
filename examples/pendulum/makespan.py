# SPDX-License-Identifier: Apache-2.0
"""How long a schedule takes, in timesteps, if all but the simulation is free: the bound that the lengths set."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def bulk_synchronous(lengths: Sequence[int], cores: int) -> int:
    """Rounds of one run per core: each round lasts as long as its longest run."""
    return sum(max(lengths[start : start + cores]) for start in range(0, len(lengths), cores))


def asynchronous(lengths: Sequence[int], cores: int) -> int:
    """Runs in order of submission, each on the core that is free first."""
    free_at = [0] * cores
    for length in lengths:
        heapq.heapreplace(free_at, free_at[0] + length)
    return max(free_at)
