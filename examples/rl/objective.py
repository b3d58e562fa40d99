# SPDX-License-Identifier: Apache-2.0
"""The clipped surrogate objective of proximal policy optimisation (Schulman et al. 2017) and its gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rl.types import Array


@dataclass(frozen=True)
class PolicyLoss:
    """The loss of a batch of actions and where it pulls."""

    loss: float
    d_log_probs: Array  # gradient at each action's new log-probability
    divergence: float  # estimated Kullback-Leibler divergence from the policy that played to the new one, in nats


def clipped_policy_loss(log_probs: Array, old_log_probs: Array, advantages: Array, clip: float) -> PolicyLoss:
    """Minus the mean of min(ratio * advantage, clipped ratio * advantage).

    The ratio of new to old probability makes actions of an older policy usable; clipping it to 1 +- `clip` stops the
    pull of an action whose probability has already moved that far in the wanted direction.
    """
    log_ratio = log_probs - old_log_probs
    ratio = np.exp(log_ratio)
    plain = ratio * advantages
    clipped = np.clip(ratio, 1.0 - clip, 1.0 + clip) * advantages
    is_plain = plain <= clipped
    d_log_probs = np.where(is_plain, -plain, 0.0) / len(advantages)  # d ratio / d log_prob = ratio
    divergence = float(np.mean(ratio - 1.0 - log_ratio))
    return PolicyLoss(-float(np.mean(np.minimum(plain, clipped))), d_log_probs, divergence)
