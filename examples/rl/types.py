# SPDX-License-Identifier: Apache-2.0
"""The array type that the package's signatures speak of."""

from __future__ import annotations

from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
