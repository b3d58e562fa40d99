# SPDX-License-Identifier: Apache-2.0
"""The gradient of a function by central differences: slow, and right without thinking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEP = 1e-6  # with float64, the error of the difference is about 1e-9 of the function's scale


def numerical_gradient(function: Callable[[], float], variable: NDArray[Any]) -> NDArray[Any]:
    """d function() / d variable, by changing each element of `variable` in place and back again."""
    gradient = np.zeros_like(variable)
    for index in np.ndindex(variable.shape):
        original = variable[index]
        variable[index] = original + STEP
        above = function()
        variable[index] = original - STEP
        below = function()
        variable[index] = original
        gradient[index] = (above - below) / (2.0 * STEP)
    return gradient
