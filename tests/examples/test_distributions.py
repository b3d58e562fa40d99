# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from rl.distributions import Categorical, Distribution, Gaussian

from .finite_differences import numerical_gradient

RNG_SEED = 3
LOGITS = np.random.default_rng(RNG_SEED).standard_normal((6, 3))
CASES = {
    "categorical": (Categorical(np.zeros(0)), np.array([0, 2, 1, 1, 0, 2])),
    "gaussian": (Gaussian(np.array([-0.3, 0.2, 0.0])), np.random.default_rng(4).standard_normal((6, 3))),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_that_of_log_prob_and_entropy(name: str) -> None:
    distribution, actions = CASES[name]
    outputs = LOGITS.copy()
    pull, entropy_pull = np.random.default_rng(5).standard_normal(6), 0.7

    def loss() -> float:
        weighted = pull * distribution.log_prob(outputs, actions)
        return float(weighted.sum() + entropy_pull * distribution.entropy(outputs).sum())

    d_outputs, d_extra = distribution.gradient(outputs, actions, pull, entropy_pull)
    np.testing.assert_allclose(d_outputs, numerical_gradient(loss, outputs), atol=1e-7)
    np.testing.assert_allclose(d_extra, numerical_gradient(loss, distribution.extra), atol=1e-7)


def test_categorical_samples_as_often_as_it_says() -> None:
    categorical, draws = Categorical(), 20_000
    logits = np.tile([[0.0, 1.0, -1.0]], (draws, 1))
    counts = np.bincount(categorical.sample(logits, np.random.default_rng(0)), minlength=3)
    expected = np.exp([categorical.log_prob(logits[:1], np.array([action]))[0] for action in range(3)])
    np.testing.assert_allclose(counts / draws, expected, atol=0.015)
    assert expected.sum() == pytest.approx(1.0)


def test_gaussian_entropy_is_minus_the_mean_log_density_of_its_samples() -> None:
    gaussian = Gaussian(np.array([-0.5, 0.3], "float32"))
    outputs = np.zeros((20_000, 2), "float32")
    actions = gaussian.sample(outputs, np.random.default_rng(0))
    assert -gaussian.log_prob(outputs, actions).mean() == pytest.approx(gaussian.entropy(outputs)[0], abs=0.02)


@pytest.mark.parametrize("distribution", [Categorical(), Gaussian(np.full(3, -20.0))])
def test_mode_is_the_likeliest_action(distribution: Distribution) -> None:
    sure = LOGITS * 1e3
    np.testing.assert_allclose(distribution.mode(sure), distribution.sample(sure, np.random.default_rng(0)), atol=1e-6)
