# SPDX-License-Identifier: Apache-2.0
"""The Adam optimiser (Kingma & Ba 2015) with a limit on the norm of the gradient."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rl.types import Array


class Adam:
    """Updates a fixed list of arrays in place."""

    def __init__(self, parameters: Sequence[Array], learning_rate: float, max_norm: float = 0.5) -> None:
        self.learning_rate = learning_rate
        self._parameters = list(parameters)
        self._max_norm = max_norm
        self._mean = [np.zeros_like(p) for p in self._parameters]
        self._square = [np.zeros_like(p) for p in self._parameters]
        self._steps = 0

    def step(self, gradients: Sequence[Array], mean_decay: float = 0.9, square_decay: float = 0.999) -> None:
        """Move each parameter against its gradient, all gradients scaled down together if their norm is too large."""
        self._steps += 1
        norm = float(np.sqrt(sum(float(np.vdot(g, g)) for g in gradients)))
        shrink = min(1.0, self._max_norm / (norm + 1e-8))
        # Both running means start at zero; the correction undoes that bias of the first steps.
        correction = np.sqrt(1.0 - square_decay**self._steps) / (1.0 - mean_decay**self._steps)
        rate = self.learning_rate * float(correction)
        for parameter, gradient, mean, square in zip(
            self._parameters, gradients, self._mean, self._square, strict=True
        ):
            scaled = gradient * shrink
            mean += (1.0 - mean_decay) * (scaled - mean)
            square += (1.0 - square_decay) * (scaled * scaled - square)
            parameter -= rate * mean / (np.sqrt(square) + 1e-8)
