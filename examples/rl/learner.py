# SPDX-License-Identifier: Apache-2.0
"""Proximal policy optimisation: turns finished episodes into a better policy."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl.adam import Adam
from rl.advantages import discounted_sums, estimate_advantages
from rl.environment import EnvironmentInfo
from rl.network import Network
from rl.objective import clipped_policy_loss
from rl.policy import Policy
from rl.scaling import RunningScale
from rl.trajectory import Trajectory
from rl.types import Array


@dataclass(frozen=True)
class Hyperparameters:
    """Defaults that solve CartPole-v1 in seconds and do not fail on the other control tasks."""

    hidden: tuple[int, ...] = (64, 64)
    discount: float = 0.99
    trace_decay: float = 0.95
    clip: float = 0.2
    learning_rate: float = 1e-3
    entropy_bonus: float = 0.003
    epochs: int = 8
    minibatch: int = 256
    max_divergence: float = 0.03  # nats; an update that has moved the policy further than this ends early


@dataclass(frozen=True)
class UpdateStats:
    """What one update saw and did."""

    update: int
    steps: int
    policy_loss: float
    value_error: float  # mean squared error of the value function before the update, in scaled rewards
    divergence: float
    entropy: float


@dataclass(frozen=True)
class Batch:
    """Trajectories laid end to end: one row per action."""

    observations: Array
    actions: Array
    old_log_probs: Array
    advantages: Array
    returns: Array

    def rows(self, index: Array) -> Batch:
        """The sub-batch of these rows."""
        return Batch(
            self.observations[index],
            self.actions[index],
            self.old_log_probs[index],
            self.advantages[index],
            self.returns[index],
        )


class Learner:
    """A policy and a value function in training. The same seed and trajectories give the same policy, bit for bit."""

    def __init__(self, info: EnvironmentInfo, seed: int, hyper: Hyperparameters | None = None) -> None:
        self._hyper = hyper or Hyperparameters()
        self._rng = np.random.default_rng(seed)
        self._policy = Policy.create(info, self._hyper.hidden, self._rng)
        self._value = Network.create([info.observation_size, *self._hyper.hidden, 1], output_gain=1.0, rng=self._rng)
        self._observations = RunningScale.create(info.observation_size)
        self._returns = RunningScale.create(1)
        rate = self._hyper.learning_rate
        self._policy_optimizer = Adam([*self._policy.network.parameters, self._policy.distribution.extra], rate)
        self._value_optimizer = Adam(self._value.parameters, rate)
        self._updates = 0

    def snapshot(self) -> Policy:
        """The policy as it is now; later updates do not change it."""
        return copy.deepcopy(self._policy)

    def update(self, trajectories: Sequence[Trajectory]) -> UpdateStats:
        """Improve the policy by several passes over a batch of episodes."""
        self._rescale(trajectories)
        batch = self._join(trajectories)
        rows = len(batch.actions)
        value_error = float(np.mean((self._values(batch.observations) - batch.returns) ** 2))
        losses, divergence = [], 0.0
        for _ in range(self._hyper.epochs):
            order = self._rng.permutation(rows)
            divergences = []
            # At least one minibatch, and all of nearly the same size: a tiny last one would pull as hard as a full one.
            for index in np.array_split(order, max(1, rows // self._hyper.minibatch)):
                part = batch.rows(index)
                loss, part_divergence = self._improve_policy(part)
                self._improve_value(part)
                losses.append(loss)
                divergences.append(part_divergence)
            divergence = float(np.mean(divergences))
            if divergence > self._hyper.max_divergence:
                break
        self._updates += 1
        entropy = float(np.mean(self._policy.distribution.entropy(self._policy.network(batch.observations))))
        return UpdateStats(self._updates, rows, float(np.mean(losses)), value_error, divergence, entropy)

    def _rescale(self, trajectories: Sequence[Trajectory]) -> None:
        """Adapt the scales of observations and rewards to what has been seen so far."""
        for trajectory in trajectories:
            self._observations.include(trajectory.observations[:-1].astype("float64"))
            returns = discounted_sums(trajectory.rewards.astype("float64"), self._hyper.discount)
            self._returns.include(returns[:, None])
        self._policy.shift = self._observations.mean.astype("float32")
        self._policy.gain = (1.0 / self._observations.deviation).astype("float32")

    def _join(self, trajectories: Sequence[Trajectory]) -> Batch:
        reward_gain = np.float32(1.0 / self._returns.deviation[0])
        observations, advantages, returns = [], [], []
        for trajectory in trajectories:
            scaled = self._policy.scale(trajectory.observations)
            gains, targets = estimate_advantages(
                trajectory.rewards * reward_gain,
                self._values(scaled),
                trajectory.is_terminal,
                self._hyper.discount,
                self._hyper.trace_decay,
            )
            observations.append(scaled[:-1])
            advantages.append(gains)
            returns.append(targets)
        joined = np.concatenate(advantages)
        return Batch(
            np.concatenate(observations),
            np.concatenate([t.actions for t in trajectories]),
            np.concatenate([t.log_probs for t in trajectories]),
            (joined - joined.mean()) / (joined.std() + 1e-8),
            np.concatenate(returns),
        )

    def _values(self, observations: Array) -> Array:
        return self._value(observations)[:, 0]

    def _improve_policy(self, batch: Batch) -> tuple[float, float]:
        """One gradient step of the policy. Returns the loss and the divergence before it."""
        distribution = self._policy.distribution
        outputs, activations = self._policy.network.forward(batch.observations)
        log_probs = distribution.log_prob(outputs, batch.actions)
        result = clipped_policy_loss(log_probs, batch.old_log_probs, batch.advantages, self._hyper.clip)
        d_entropy = -self._hyper.entropy_bonus / len(batch.actions)
        d_outputs, d_extra = distribution.gradient(outputs, batch.actions, result.d_log_probs, d_entropy)
        self._policy_optimizer.step([*self._policy.network.backward(activations, d_outputs), d_extra])
        return result.loss, result.divergence

    def _improve_value(self, batch: Batch) -> None:
        """One gradient step of the value function towards the observed returns (half the mean squared error)."""
        predicted, activations = self._value.forward(batch.observations)
        d_predicted = (predicted - batch.returns[:, None]) / np.float32(len(batch.returns))
        self._value_optimizer.step(self._value.backward(activations, d_predicted))
