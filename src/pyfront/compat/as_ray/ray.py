# SPDX-License-Identifier: Apache-2.0
"""What `import ray` finds where nobody ran `sitecustomize`: puts `shoal.compat.ray` in its own place."""

from __future__ import annotations

import sys
from importlib import import_module

try:
    from shoal.compat.as_ray.sitecustomize import install
except ModuleNotFoundError as error:
    if error.name != "shoal":
        raise
    raise ModuleNotFoundError(
        f"`import ray` means Shoal in what `shoal as-ray` starts, and {sys.executable} has no Shoal: install it there, "
        "or take this folder out of PYTHONPATH",
        name=__name__,
    ) from None
install()
sys.modules[__name__] = import_module("shoal.compat.ray")
