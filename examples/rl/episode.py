# SPDX-License-Identifier: Apache-2.0
"""Plays one episode: a policy in closed loop with a simulator."""

from __future__ import annotations

import numpy as np

from rl.policy import Policy
from rl.simulator import shared_simulator
from rl.trajectory import EpisodeSummary, Trajectory
from rl.types import Array


def explore(policy: Policy, seed: int) -> tuple[Trajectory, EpisodeSummary]:
    """Play one episode with random actions drawn from `policy`, and record it. The same seed plays the same episode."""
    simulator = shared_simulator(policy.info.env_id)
    rng = np.random.default_rng(seed)
    observation, _ = simulator.reset(seed=seed)
    observations, actions, rewards = [_float32(observation)], [], []
    terminated = truncated = False
    while not (terminated or truncated):
        action = policy.sample(observations[-1], rng)
        observation, reward, terminated, truncated, _ = simulator.step(policy.info.to_simulator(action))
        observations.append(_float32(observation))
        actions.append(action)
        rewards.append(float(reward))
    seen, done = np.stack(observations), np.stack(actions)
    log_probs = policy.log_prob(seen[:-1], done)
    trajectory = Trajectory(seen, done, log_probs, np.array(rewards, "float32"), terminated)
    return trajectory, EpisodeSummary(len(rewards), sum(rewards))


def perform(policy: Policy, seed: int) -> EpisodeSummary:
    """Play one episode with the best action that `policy` knows at each step."""
    simulator = shared_simulator(policy.info.env_id)
    observation, _ = simulator.reset(seed=seed)
    steps, total_reward = 0, 0.0
    terminated = truncated = False
    while not (terminated or truncated):
        action = policy.best(_float32(observation))
        observation, reward, terminated, truncated, _ = simulator.step(policy.info.to_simulator(action))
        steps += 1
        total_reward += float(reward)
    return EpisodeSummary(steps, total_reward)


def _float32(observation: Array) -> Array:
    return np.asarray(observation, "float32")
