# SPDX-License-Identifier: Apache-2.0
"""What is kept of an episode."""

from __future__ import annotations

from dataclasses import dataclass

from rl.types import Array


@dataclass(frozen=True)
class Trajectory:
    """All that happened in one episode of T steps."""

    observations: Array  # (T + 1, observation size): the one after the last action too, to judge a cut episode's future
    actions: Array  # (T,) if discrete, (T, dimensions) if continuous, as the policy gave them
    log_probs: Array  # (T,): how likely the policy that played was to take each action
    rewards: Array  # (T,)
    is_terminal: bool  # the task was over; False: the time limit cut the episode


@dataclass(frozen=True)
class EpisodeSummary:
    """The two numbers of an episode that its observers need; a few bytes instead of the trajectory."""

    steps: int
    total_reward: float
