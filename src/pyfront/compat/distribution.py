# SPDX-License-Identifier: Apache-2.0
"""The distribution "ray" as `importlib.metadata` finds it: libraries ask there whether Ray is installed, and which."""

from __future__ import annotations

from importlib.metadata import Distribution
from os import PathLike
from pathlib import Path

from shoal.compat.names import RAY_VERSION


class RayDistribution(Distribution):
    """Its name, version and nothing else."""

    def read_text(self, filename: str | PathLike[str]) -> str | None:
        """The text of a metadata file; there is one."""
        is_there = str(filename) == "METADATA"
        return f"Metadata-Version: 2.1\nName: ray\nVersion: {RAY_VERSION}\n" if is_there else None

    def locate_file(self, path: str | PathLike[str]) -> Path:
        """Where a file of the distribution would be."""
        return Path(__file__).with_name(str(path))
