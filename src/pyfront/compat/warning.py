# SPDX-License-Identifier: Apache-2.0
"""What a program for Ray asks for in vain is said once, by name."""

from __future__ import annotations

import warnings

from shoal.errors import CompatibilityWarning

_said: set[str] = set()


def warn_once(name: str, why: str, *, stacklevel: int) -> None:
    """Warn that `name` has no effect, and why; only the first time in this process."""
    if name not in _said:
        _said.add(name)
        warnings.warn(f"{name} has no effect in Shoal: {why}", CompatibilityWarning, stacklevel=stacklevel + 1)
