# SPDX-License-Identifier: Apache-2.0
"""Generalised advantage estimation (Schulman et al. 2016): how much better each action was than expected."""

from __future__ import annotations

import numpy as np

from rl.types import Array


def estimate_advantages(
    rewards: Array, values: Array, is_terminal: bool, discount: float, trace_decay: float
) -> tuple[Array, Array]:
    """The advantage of each of T actions, and the return that the value function should have predicted.

    Args:
        rewards: (T,).
        values: (T + 1,): the predicted return at each observation, the one after the last action included.
        is_terminal: the episode ended by itself; if a time limit cut it, the last prediction stands for the rest.
        discount: weight of a reward one step later, in [0, 1].
        trace_decay: 0 trusts the predictions entirely (one-step), 1 only the observed rewards (Monte Carlo).
    """
    following = values[1:].copy()
    if is_terminal:
        following[-1] = 0.0
    surprises = rewards + discount * following - values[:-1]
    advantages = discounted_sums(surprises, discount * trace_decay)
    return advantages, advantages + values[:-1]


def discounted_sums(terms: Array, discount: float) -> Array:
    """sums[t] = terms[t] + discount * sums[t + 1]."""
    sums = np.empty_like(terms)
    running = 0.0
    for t in reversed(range(len(terms))):
        running = float(terms[t]) + discount * running
        sums[t] = running
    return sums
