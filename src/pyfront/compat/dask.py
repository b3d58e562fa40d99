# SPDX-License-Identifier: Apache-2.0
"""`ray.util.dask`: Shoal's scheduler, switched on and off as Ray's. Needs dask."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import dask

from shoal.util.dask import shoal_dask_get


def ray_dask_get(dsk: Mapping[Hashable, Any], keys: Any, **kwargs: Any) -> Any:
    """Dask's way to compute: as `shoal_dask_get`, with the options of the tasks in `kwargs["ray_remote_args"]`."""
    return shoal_dask_get(dsk, keys, task_options=kwargs.pop("ray_remote_args", None), **kwargs)


def enable_dask_on_ray(shuffle: str | None = "tasks", use_shuffle_optimization: bool | None = True) -> Any:
    """Make a node Dask's scheduler: for good, or within a `with` statement.

    `shuffle`: how data frames are shuffled, "tasks" or "disk". `use_shuffle_optimization` has no effect: Dask's own is
    used."""
    return dask.config.set({"scheduler": ray_dask_get, "dataframe.shuffle.method": shuffle})


def disable_dask_on_ray() -> Any:
    """Give Dask its own scheduler back: for good, or within a `with` statement."""
    return dask.config.set({"scheduler": None, "dataframe.shuffle.method": None})
