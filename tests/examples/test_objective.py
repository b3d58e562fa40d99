# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from rl.objective import clipped_policy_loss

from .finite_differences import numerical_gradient


def test_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    log_probs, old = 0.4 * rng.standard_normal(50) - 1.0, np.full(50, -1.0)
    advantages = rng.standard_normal(50)
    expected = numerical_gradient(lambda: clipped_policy_loss(log_probs, old, advantages, 0.2).loss, log_probs)
    np.testing.assert_allclose(clipped_policy_loss(log_probs, old, advantages, 0.2).d_log_probs, expected, atol=1e-8)


@pytest.mark.parametrize(("ratio", "advantage", "pulls"), [
    (1.5, 1.0, False),  # already made likelier by more than the clip: enough
    (1.5, -1.0, True),  # became likelier although it was bad: must come back
    (0.5, -1.0, False),
    (0.5, 1.0, True),
    (1.1, 1.0, True),
])  # fmt: skip
def test_an_action_pulls_until_it_has_moved_by_the_clip_the_wanted_way(
    ratio: float, advantage: float, pulls: bool
) -> None:
    result = clipped_policy_loss(np.log([ratio]), np.zeros(1), np.array([advantage]), clip=0.2)
    assert bool(result.d_log_probs[0]) is pulls


def test_divergence_is_zero_between_equal_policies_and_positive_otherwise() -> None:
    log_probs, advantages = np.full(4, -0.7), np.ones(4)
    assert clipped_policy_loss(log_probs, log_probs, advantages, 0.2).divergence == 0.0
    assert clipped_policy_loss(log_probs + 0.1, log_probs, advantages, 0.2).divergence > 0.0
