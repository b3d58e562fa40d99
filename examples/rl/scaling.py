# SPDX-License-Identifier: Apache-2.0
"""Running mean and deviation, to bring observations and rewards to a scale that a network learns well at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rl.types import Array

SMALLEST_DEVIATION = 1e-4  # below it a component counts as constant and is only centred


@dataclass
class RunningScale:
    """The mean and the variance, per component, of all rows seen so far."""

    count: float
    mean: Array
    variance: Array

    @classmethod
    def create(cls, size: int) -> RunningScale:
        """A scale that has seen nothing and changes nothing, for rows of `size` components."""
        return cls(0.0, np.zeros(size), np.ones(size))

    @property
    def deviation(self) -> Array:
        """The standard deviation per component; 1 where a component has not varied."""
        deviation = np.sqrt(self.variance)
        return np.where(deviation < SMALLEST_DEVIATION, 1.0, deviation)

    def include(self, rows: Array) -> None:
        """Take a batch of rows into account (Chan's parallel update, exact whatever the batch sizes)."""
        batch_mean, batch_variance, batch = rows.mean(axis=0), rows.var(axis=0), len(rows)
        total = self.count + batch
        shift = batch_mean - self.mean
        between = shift * shift * self.count * batch / total
        self.variance = (self.variance * self.count + batch_variance * batch + between) / total
        self.mean = self.mean + shift * batch / total
        self.count = total
