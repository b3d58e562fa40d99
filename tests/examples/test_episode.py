# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="the simulators of the demo; pip install 'shoal[demo]'")

from rl.episode import explore, perform
from rl.policy import Policy
from rl.simulator import UnsuitableEnvironment, describe


@pytest.fixture(params=["CartPole-v1", "Pendulum-v1"])
def policy(request: pytest.FixtureRequest) -> Policy:
    return Policy.create(describe(request.param), hidden=(8,), rng=np.random.default_rng(0))


def test_same_seed_plays_the_same_episode(policy: Policy) -> None:
    first, summary = explore(policy, seed=7)
    explore(policy, seed=8)
    again, same_summary = explore(policy, seed=7)
    np.testing.assert_array_equal(first.observations, again.observations)
    assert summary == same_summary


def test_trajectory_records_each_step(policy: Policy) -> None:
    trajectory, summary = explore(policy, seed=7)
    assert len(trajectory.actions) == len(trajectory.rewards) == len(trajectory.log_probs) == summary.steps
    assert len(trajectory.observations) == summary.steps + 1
    assert trajectory.rewards.sum() == pytest.approx(summary.total_reward, rel=1e-5)
    np.testing.assert_array_equal(
        trajectory.log_probs, policy.log_prob(trajectory.observations[:-1], trajectory.actions)
    )


def test_time_limit_is_not_taken_for_the_end() -> None:
    pendulum = Policy.create(describe("Pendulum-v1"), hidden=(8,), rng=np.random.default_rng(0))
    trajectory, summary = explore(pendulum, seed=7)
    assert summary.steps == pendulum.info.max_steps
    assert not trajectory.is_terminal


def test_performing_takes_no_chances(policy: Policy) -> None:
    assert perform(policy, seed=7) == perform(policy, seed=7)


def test_published_threshold_is_known() -> None:
    assert describe("CartPole-v1").solved_return == 475.0


@pytest.mark.parametrize(("env_id", "reason"), [
    ("NoSuchThing-v0", "doesn't exist"),
    ("FrozenLake-v1", "vectors of numbers only"),
])  # fmt: skip
def test_unsuitable_environments_are_refused_with_the_reason(env_id: str, reason: str) -> None:
    with pytest.raises(UnsuitableEnvironment, match=reason):
        describe(env_id)
