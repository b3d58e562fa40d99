# SPDX-License-Identifier: Apache-2.0
import numpy as np

from rl.advantages import discounted_sums, estimate_advantages

REWARDS = np.array([1.0, 2.0, 3.0])
VALUES = np.array([0.5, 0.25, 0.125, 8.0])


def test_discounted_sums_look_forward() -> None:
    np.testing.assert_allclose(discounted_sums(REWARDS, 0.5), [1 + 0.5 * (2 + 0.5 * 3), 2 + 0.5 * 3, 3])


def test_full_trace_of_a_finished_episode_ignores_the_predictions() -> None:
    advantages, returns = estimate_advantages(REWARDS, VALUES, is_terminal=True, discount=0.9, trace_decay=1.0)
    np.testing.assert_allclose(returns, discounted_sums(REWARDS, 0.9))
    np.testing.assert_allclose(advantages, returns - VALUES[:-1])


def test_no_trace_looks_one_step_ahead() -> None:
    advantages, _ = estimate_advantages(REWARDS, VALUES, is_terminal=False, discount=0.9, trace_decay=0.0)
    np.testing.assert_allclose(advantages, REWARDS + 0.9 * VALUES[1:] - VALUES[:-1])


def test_a_cut_episode_counts_on_the_prediction_after_its_last_step() -> None:
    _, finished = estimate_advantages(REWARDS, VALUES, is_terminal=True, discount=0.9, trace_decay=1.0)
    _, cut = estimate_advantages(REWARDS, VALUES, is_terminal=False, discount=0.9, trace_decay=1.0)
    np.testing.assert_allclose(cut - finished, 8.0 * np.array([0.9**3, 0.9**2, 0.9]))
