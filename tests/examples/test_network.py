# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from rl.network import Network

from .finite_differences import numerical_gradient


@pytest.fixture
def network() -> Network:
    return Network.create([3, 5, 4, 2], output_gain=1.0, rng=np.random.default_rng(0), dtype="float64")


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((7, 3))


def test_backward_is_the_gradient_of_forward(network: Network, rows: np.ndarray) -> None:
    pull = np.random.default_rng(2).standard_normal((7, 2))
    _, activations = network.forward(rows)
    for parameter, gradient in zip(network.parameters, network.backward(activations, pull), strict=True):
        expected = numerical_gradient(lambda: float(np.sum(pull * network(rows))), parameter)
        np.testing.assert_allclose(gradient, expected, atol=1e-7)


def test_forward_and_call_agree(network: Network, rows: np.ndarray) -> None:
    np.testing.assert_array_equal(network.forward(rows)[0], network(rows))


def test_one_vector_gives_what_its_row_in_a_batch_gives(network: Network, rows: np.ndarray) -> None:
    np.testing.assert_allclose(network(rows[4]), network(rows)[4])


def test_weights_begin_orthogonal(network: Network) -> None:
    first = network.parameters[0]
    np.testing.assert_allclose(first @ first.T, 2.0 * np.eye(3), atol=1e-12)
