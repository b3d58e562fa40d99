# SPDX-License-Identifier: Apache-2.0
"""Distributions over actions: how the numbers that leave a policy's network become an action.

Each distribution offers the same methods on a batch of network outputs (one row per observation), among them the
gradient by hand of a loss in its log-probabilities and entropies. `extra` holds the trainable parameters
that do not depend on the observation (none for `Categorical`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from rl.types import Array

LOG_2PI = float(np.log(2.0 * np.pi))


class Distribution(Protocol):
    """What a policy asks of its distribution over actions."""

    extra: Array

    def sample(self, outputs: Array, rng: np.random.Generator) -> Array:
        """A random action for each row."""

    def mode(self, outputs: Array) -> Array:
        """The most likely action for each row."""

    def log_prob(self, outputs: Array, actions: Array) -> Array:
        """The log-probability (or log-density) of one action per row."""

    def entropy(self, outputs: Array) -> Array:
        """The entropy of each row's distribution, in nats."""

    def gradient(self, outputs: Array, actions: Array, d_log_prob: Array, d_entropy: float) -> tuple[Array, Array]:
        """The gradients at (`outputs`, `extra`) of a loss, given its gradients at each row's log_prob and entropy."""


@dataclass
class Categorical:
    """A choice among n discrete actions; the outputs are n unnormalised log-probabilities."""

    extra: Array = field(default_factory=lambda: np.zeros(0, "float32"))

    def sample(self, outputs: Array, rng: np.random.Generator) -> Array:
        # Gumbel-max: the argmax of logits plus Gumbel noise is a draw from their softmax, without normalising.
        return np.asarray(np.argmax(outputs + rng.gumbel(size=outputs.shape), axis=-1))

    def mode(self, outputs: Array) -> Array:
        return np.asarray(np.argmax(outputs, axis=-1))

    def log_prob(self, outputs: Array, actions: Array) -> Array:
        return np.take_along_axis(_log_softmax(outputs), actions[:, None], axis=1)[:, 0]

    def entropy(self, outputs: Array) -> Array:
        log_p = _log_softmax(outputs)
        return np.asarray(-(np.exp(log_p) * log_p).sum(axis=1))

    def gradient(self, outputs: Array, actions: Array, d_log_prob: Array, d_entropy: float) -> tuple[Array, Array]:
        log_p = _log_softmax(outputs)
        p = np.exp(log_p)
        chosen = np.zeros_like(p)
        np.put_along_axis(chosen, actions[:, None], 1.0, axis=1)
        entropy = -(p * log_p).sum(axis=1, keepdims=True)
        d_outputs = d_log_prob[:, None] * (chosen - p) - d_entropy * p * (log_p + entropy)
        return d_outputs, self.extra


@dataclass
class Gaussian:
    """An independent normal distribution per action dimension: the outputs are means, `extra` the log deviations."""

    extra: Array

    def sample(self, outputs: Array, rng: np.random.Generator) -> Array:
        noise = rng.standard_normal(outputs.shape, dtype="float32")
        return np.asarray(outputs + np.exp(self.extra) * noise)

    def mode(self, outputs: Array) -> Array:
        return outputs

    def log_prob(self, outputs: Array, actions: Array) -> Array:
        z = (actions - outputs) * np.exp(-self.extra)
        return np.asarray((-0.5 * (z * z + LOG_2PI) - self.extra).sum(axis=1))

    def entropy(self, outputs: Array) -> Array:
        per_dimension = self.extra + 0.5 * (1.0 + LOG_2PI)
        return np.full(len(outputs), per_dimension.sum())

    def gradient(self, outputs: Array, actions: Array, d_log_prob: Array, d_entropy: float) -> tuple[Array, Array]:
        z = (actions - outputs) * np.exp(-self.extra)
        d_outputs = d_log_prob[:, None] * z * np.exp(-self.extra)
        d_extra = (d_log_prob[:, None] * (z * z - 1.0)).sum(axis=0) + d_entropy * len(outputs)
        return d_outputs, d_extra


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
