# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from rl.environment import EnvironmentInfo
from rl.learner import Learner
from rl.policy import Policy
from rl.trajectory import Trajectory

DISCRETE = EnvironmentInfo("two-armed bandit", observation_size=2, action_outputs=2, is_discrete=True)
CONTINUOUS = EnvironmentInfo("dial", 2, action_outputs=1, is_discrete=False, action_low=-1.0, action_high=1.0)


def one_step_episodes(policy: Policy, seed: int, count: int = 256) -> list[Trajectory]:
    """Episodes of one action: rewarded by its number if discrete, by its closeness to 0.5 if continuous."""
    rng = np.random.default_rng(seed)
    episodes = []
    for _ in range(count):
        observations = rng.standard_normal((2, 2)).astype("float32")
        action = policy.sample(observations[:1], rng)
        reward = action.astype("float32") if policy.info.is_discrete else -((action[:, 0] - 0.5) ** 2)
        log_probs = policy.log_prob(observations[:1], action)
        episodes.append(Trajectory(observations, action, log_probs, reward, is_terminal=True))
    return episodes


def train(info: EnvironmentInfo, updates: int) -> Policy:
    learner = Learner(info, seed=0)
    for update in range(updates):
        learner.update(one_step_episodes(learner.snapshot(), seed=update))
    return learner.snapshot()


def test_learns_which_action_is_rewarded() -> None:
    observations = np.random.default_rng(9).standard_normal((100, 2)).astype("float32")
    assert train(DISCRETE, updates=10).best(observations).mean() > 0.95


def test_learns_where_to_turn_a_dial() -> None:
    observations = np.random.default_rng(9).standard_normal((100, 2)).astype("float32")
    assert train(CONTINUOUS, updates=40).best(observations).mean() == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("info", [DISCRETE, CONTINUOUS], ids=["discrete", "continuous"])
def test_same_seed_and_trajectories_give_the_same_policy_bit_for_bit(info: EnvironmentInfo) -> None:
    first, second = train(info, updates=3), train(info, updates=3)
    for ours, theirs in zip(first.network.parameters, second.network.parameters, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_snapshot_is_not_changed_by_later_updates() -> None:
    learner = Learner(DISCRETE, seed=0)
    snapshot = learner.snapshot()
    before = [parameter.copy() for parameter in snapshot.network.parameters]
    learner.update(one_step_episodes(snapshot, seed=0))
    for now, then in zip(snapshot.network.parameters, before, strict=True):
        np.testing.assert_array_equal(now, then)
    assert np.any(learner.snapshot().network.parameters[0] != before[0])


def test_actions_of_a_continuous_policy_are_mapped_to_the_range_of_the_simulator() -> None:
    info = EnvironmentInfo("torque", 1, 2, False, np.array([-2.0, 0.0]), np.array([2.0, 10.0]))
    np.testing.assert_allclose(info.to_simulator(np.array([0.0, -1.0])), [0.0, 0.0])
    np.testing.assert_allclose(info.to_simulator(np.array([5.0, 5.0])), [2.0, 10.0])
