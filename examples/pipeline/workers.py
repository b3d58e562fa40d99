# SPDX-License-Identifier: Apache-2.0
"""The remote functions and classes: everything that runs in the workers. Each only wraps an ordinary piece of `rl`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

import shoal
from rl.batching import DynamicBatcher
from rl.environment import EnvironmentInfo
from rl.episode import explore, perform
from rl.learner import Learner, UpdateStats
from rl.policy import Policy
from rl.simulator import build_simulator
from rl.trajectory import EpisodeSummary, Trajectory
from rl.types import Array
from shoal import ActorHandle


@shoal.remote(num_returns=2)
def simulate(policy: Policy, seed: int) -> tuple[Trajectory, EpisodeSummary]:
    """Play one episode for the trainer."""
    return explore(policy, seed)


@shoal.remote
def evaluate(policy: Policy, seed: int) -> EpisodeSummary:
    """Play one episode as well as the policy can."""
    return perform(policy, seed)


@shoal.remote
class Trainer:
    """Owns the learner: the only state of the training loop."""

    def __init__(self, info: EnvironmentInfo, seed: int) -> None:
        self._learner = Learner(info, seed)

    def publish(self) -> Policy:
        """The policy before any update."""
        return self._learner.snapshot()

    @shoal.method(num_returns=2)
    def update(self, *trajectories: Trajectory) -> tuple[Policy, UpdateStats]:
        """Improve the policy. The result is in the object store the moment this returns, for whoever waits for it."""
        stats = self._learner.update(trajectories)
        return self._learner.snapshot(), stats


@shoal.remote
class PolicyServer:
    """Answers observations by actions, many at a time. `act` is a coroutine: thousands of calls may be under way."""

    def __init__(self, policy: Policy, max_batch: int, max_delay_s: float) -> None:
        self._policy = policy
        self._batcher = DynamicBatcher(self._answer, max_batch, max_delay_s)

    async def act(self, observation: Array) -> Any:
        """The best action, in the simulator's terms."""
        return await self._batcher.ask(observation)

    async def counts(self) -> tuple[int, int]:
        """Requests and batches answered so far."""
        return self._batcher.requests, self._batcher.batches

    def _answer(self, observations: list[Array]) -> list[Any]:
        return [self._policy.info.to_simulator(action) for action in self._policy.best(np.stack(observations))]


@dataclass(frozen=True)
class ServedEpisode:
    """What a client saw of one episode."""

    total_reward: float
    latencies_s: list[float]  # from each observation to its action


@shoal.remote
class Client:
    """Runs simulators in closed loop with a server: each step waits for the action to the last observation."""

    async def warm_up(self, env_id: str) -> None:
        """Import and build a simulator once, so that the first episode is not slower than the others."""
        build_simulator(env_id).close()

    async def play(self, server: ActorHandle[Any], env_id: str, seed: int) -> ServedEpisode:
        """Play one episode. Many may be under way in one client."""
        simulator = build_simulator(env_id)
        observation, _ = simulator.reset(seed=seed)
        total_reward, latencies_s = 0.0, []
        terminated = truncated = False
        while not (terminated or truncated):
            asked_s = time.perf_counter()
            action = await server.act.remote(np.asarray(observation, "float32"))
            latencies_s.append(time.perf_counter() - asked_s)
            observation, reward, terminated, truncated, _ = simulator.step(action)
            total_reward += float(reward)
        return ServedEpisode(total_reward, latencies_s)
