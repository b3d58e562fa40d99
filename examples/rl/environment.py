# SPDX-License-Identifier: Apache-2.0
"""What a policy must know about an environment, without a simulator of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rl.types import Array


@dataclass(frozen=True)
class EnvironmentInfo:
    """Names, sizes, ranges and goals; `rl.simulator.describe` finds them out."""

    env_id: str
    observation_size: int
    action_outputs: int  # network outputs that an action takes: choices if discrete, dimensions if continuous
    is_discrete: bool
    action_low: float | Array = 0.0
    action_high: float | Array = 0.0
    max_steps: int | None = None  # where the time limit cuts an episode
    solved_return: float | None = None  # the mean return over 100 episodes at which its authors call it solved

    def to_simulator(self, action: Array) -> Any:
        """A policy's action as the simulator wants it: an int, or [-1, 1] mapped to the range of each dimension."""
        if self.is_discrete:
            return int(action)
        unit = np.clip(action, -1.0, 1.0)
        return self.action_low + 0.5 * (unit + 1.0) * (self.action_high - self.action_low)
