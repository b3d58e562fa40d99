# SPDX-License-Identifier: Apache-2.0
"""What `import ray` finds where nobody ran `sitecustomize`: puts `shoal.compat.ray` in its own place."""

from __future__ import annotations

import sys
from importlib import import_module

from shoal.compat.as_ray.sitecustomize import install

install()
sys.modules[__name__] = import_module("shoal.compat.ray")
