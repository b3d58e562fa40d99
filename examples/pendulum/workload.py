# SPDX-License-Identifier: Apache-2.0
"""Simulation runs of uneven length, the same for every way of executing them."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

MAX_TORQUE = 2.0
ROUNDS = 3  # runs per core, as in the paper: 3n runs on n cores


@dataclass(frozen=True)
class Run:
    """One simulation: a pendulum under random torques."""

    number: int
    seed: int
    timesteps: int


@dataclass(frozen=True)
class Outcome:
    """What comes back from a run."""

    number: int
    timesteps: int
    total_reward: float


def make_runs(cores: int, seed: int, shortest: int, longest: int) -> list[Run]:
    """3n runs for n cores, their lengths uniform between `shortest` and `longest` timesteps. Fixed by the seed."""
    lengths = np.random.default_rng(seed).integers(shortest, longest, size=ROUNDS * cores, endpoint=True)
    return [Run(number, seed * 100_003 + number, int(length)) for number, length in enumerate(lengths)]


def simulate(run: Run) -> Outcome:
    """Execute a run. Its outcome depends on nothing but the run."""
    simulator = pendulum()
    torques = np.random.default_rng(run.seed).uniform(-MAX_TORQUE, MAX_TORQUE, size=(run.timesteps, 1))
    simulator.reset(seed=run.seed)
    total_reward = 0.0
    for torque in torques:
        _, reward, _, is_cut, _ = simulator.step(torque)
        total_reward += float(reward)
        if is_cut:  # every 200 timesteps
            simulator.reset()
    return Outcome(run.number, run.timesteps, total_reward)


@functools.cache
def pendulum() -> gymnasium.Env[Any, Any]:
    """This process's simulator; each run resets it."""
    return gymnasium.make("Pendulum-v1", disable_env_checker=True)
