# SPDX-License-Identifier: Apache-2.0
"""The systems that are measured: what to install for each and which module knows its rows.

Both the harness and the systems' own environments read this file: it imports nothing but the standard library.
"""

from __future__ import annotations

from dataclasses import dataclass

SHOAL = "shoal"
LIMIT = "limit"


@dataclass(frozen=True)
class System:
    """One column of the table.

    `module` (in this package) has `open_bench(key, budget_s, patience_s)` and `rows(key)`. `environment` names a
    virtual environment with `requirements` installed, "" the one that runs the harness. `version_of` is the
    distribution whose version is reported, "" for a part of Python itself.
    """

    key: str
    title: str
    module: str
    environment: str = ""
    requirements: tuple[str, ...] = ()
    version_of: str = ""


COMMON = ("numpy", "psutil")

SYSTEMS: tuple[System, ...] = (
    System(SHOAL, "Shoal", "ray_like", version_of="shoal"),
    System(LIMIT, "limit", "limits", "standard-library", COMMON),
    System("ray", "Ray", "ray_like", "ray", ("ray", *COMMON), "ray"),
    System("futures", "concurrent.futures", "executors", "standard-library", COMMON),
    System("pool", "multiprocessing.Pool", "pool", "standard-library", COMMON),
    System("loky", "loky", "executors", "loky", ("loky", *COMMON), "loky"),
    System("dask", "Dask distributed", "dask_distributed", "dask", ("distributed", *COMMON), "distributed"),
)

BY_KEY: dict[str, System] = {system.key: system for system in SYSTEMS}
PEERS: tuple[System, ...] = tuple(system for system in SYSTEMS if system.key not in (SHOAL, LIMIT))
