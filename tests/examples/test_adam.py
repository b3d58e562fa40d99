# SPDX-License-Identifier: Apache-2.0
import numpy as np

from rl.adam import Adam


def test_first_step_is_the_learning_rate_against_the_sign_of_the_gradient() -> None:
    parameter = np.zeros(3)
    Adam([parameter], learning_rate=0.1, max_norm=1e9).step([np.array([5.0, -0.2, 0.0])])
    np.testing.assert_allclose(parameter, [-0.1, 0.1, 0.0], atol=1e-6)


def test_finds_the_minimum_of_a_quadratic() -> None:
    target, parameter = np.array([1.0, -2.0]), np.zeros(2)
    optimizer = Adam([parameter], learning_rate=0.05)
    for _ in range(500):
        optimizer.step([np.array([1.0, 10.0]) * (parameter - target)])
    np.testing.assert_allclose(parameter, target, atol=1e-2)


def test_one_exploding_gradient_weighs_no_more_than_the_limit() -> None:
    def after(second: float) -> float:
        parameter = np.zeros(1)
        optimizer = Adam([parameter], learning_rate=0.1, max_norm=1.0)
        for gradient in (1.0, second, -1.0):
            optimizer.step([np.array([gradient])])
        return float(parameter[0])

    np.testing.assert_allclose(after(1e6), after(1.0))
