# SPDX-License-Identifier: Apache-2.0
"""A multi-layer perceptron with tanh hidden layers and its gradient, written out by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl.types import Array


@dataclass(frozen=True)
class Activations:
    """What `Network.forward` saw at each layer; `Network.backward` needs it again."""

    inputs: list[Array]  # inputs[i] went into layer i; the last hidden activation is inputs[-1]


@dataclass
class Network:
    """Fully connected layers; tanh after each but the last.

    `parameters` alternates weights (inputs x outputs) and biases: [W0, b0, W1, b1, ...].
    """

    parameters: list[Array]

    @classmethod
    def create(
        cls, sizes: Sequence[int], output_gain: float, rng: np.random.Generator, dtype: str = "float32"
    ) -> Network:
        """A network with orthogonal weights and zero biases, for layer widths `sizes` (inputs first, outputs last).

        A small `output_gain` starts a policy near uniform, so that it explores before it has learnt anything.
        """
        parameters: list[Array] = []
        for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
            is_last = layer == len(sizes) - 2
            gain = output_gain if is_last else np.sqrt(2.0)
            parameters.append((gain * _orthogonal(fan_in, fan_out, rng)).astype(dtype))
            parameters.append(np.zeros(fan_out, dtype))
        return cls(parameters)

    def __call__(self, inputs: Array) -> Array:
        """The outputs for one input vector or for a batch of rows."""
        hidden = inputs
        last = len(self.parameters) - 2
        for i in range(0, last, 2):
            hidden = np.tanh(hidden @ self.parameters[i] + self.parameters[i + 1])
        return hidden @ self.parameters[last] + self.parameters[last + 1]

    def forward(self, inputs: Array) -> tuple[Array, Activations]:
        """The outputs for a batch of rows, and what `backward` needs to differentiate them."""
        seen = [inputs]
        last = len(self.parameters) - 2
        for i in range(0, last, 2):
            seen.append(np.tanh(seen[-1] @ self.parameters[i] + self.parameters[i + 1]))
        return seen[-1] @ self.parameters[last] + self.parameters[last + 1], Activations(seen)

    def backward(self, activations: Activations, d_outputs: Array) -> list[Array]:
        """The gradient of a loss with respect to `parameters`, in their order, from its gradient at the outputs."""
        gradients: list[Array] = [np.empty(0)] * len(self.parameters)
        delta = d_outputs
        for layer in reversed(range(len(activations.inputs))):
            inputs = activations.inputs[layer]
            gradients[2 * layer] = inputs.T @ delta
            gradients[2 * layer + 1] = delta.sum(axis=0)
            if layer > 0:
                # tanh'(z) = 1 - tanh(z)^2, and `inputs` is that tanh(z).
                delta = (delta @ self.parameters[2 * layer].T) * (1.0 - inputs * inputs)
        return gradients


def _orthogonal(rows: int, columns: int, rng: np.random.Generator) -> Array:
    """A matrix with orthonormal rows or columns, whichever are fewer: keeps the scale of signals across layers."""
    gaussian = rng.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(gaussian)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform over orthogonal matrices
    return q if rows >= columns else q.T
