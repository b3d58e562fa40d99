# SPDX-License-Identifier: Apache-2.0
"""`ray.util.joblib`: Shoal's backend under the name "ray". Needs joblib."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joblib import register_parallel_backend

from shoal.util.joblib import ShoalBackend


def register_ray() -> None:
    """Make the backend "ray" known to joblib: `joblib.parallel_config(backend="ray")`."""
    register_parallel_backend("ray", RayBackend)


class RayBackend(ShoalBackend):
    """Shoal's backend, with Ray's argument."""

    def __init__(self, ray_remote_args: Mapping[str, Any] | None = None, **parameters: Any) -> None:
        """`ray_remote_args`: options of the tasks, e.g. `{"num_cpus": 2}`."""
        super().__init__(**parameters, **(ray_remote_args or {}))
