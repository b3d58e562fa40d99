# SPDX-License-Identifier: Apache-2.0
"""A policy: observations in, actions out. The trainer publishes one after each update; everyone else only reads it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rl.distributions import Categorical, Distribution, Gaussian
from rl.environment import EnvironmentInfo
from rl.network import Network
from rl.types import Array


@dataclass
class Policy:
    """A network, the distribution that its outputs parametrise, the scaling of its inputs, and what it was made for.

    Plain arrays throughout: in the object store the parameters lie once, and all tasks of the node read them in place.
    """

    info: EnvironmentInfo
    network: Network
    distribution: Distribution
    shift: Array  # observations are centred by `shift` and multiplied by `gain` before they enter the network
    gain: Array

    @classmethod
    def create(cls, info: EnvironmentInfo, hidden: tuple[int, ...], rng: np.random.Generator) -> Policy:
        """An untrained policy for an environment, close to uniform over its actions."""
        size = info.observation_size
        network = Network.create([size, *hidden, info.action_outputs], output_gain=0.01, rng=rng)
        distribution: Distribution = Categorical()
        if not info.is_discrete:
            distribution = Gaussian(np.full(info.action_outputs, -0.5, "float32"))
        return cls(info, network, distribution, np.zeros(size, "float32"), np.ones(size, "float32"))

    def scale(self, observations: Array) -> Array:
        """Observations as the network wants them: centred and of unit deviation."""
        return np.asarray((observations - self.shift) * self.gain)

    def sample(self, observations: Array, rng: np.random.Generator) -> Array:
        """A random action per observation, for exploring. One vector or a batch of rows."""
        return self.distribution.sample(self.network(self.scale(observations)), rng)

    def best(self, observations: Array) -> Array:
        """The most likely action per observation, for evaluating and serving. One vector or a batch of rows."""
        return self.distribution.mode(self.network(self.scale(observations)))

    def log_prob(self, observations: Array, actions: Array) -> Array:
        """How likely this policy is to take these actions; one number per row."""
        return self.distribution.log_prob(self.network(self.scale(observations)), actions)
