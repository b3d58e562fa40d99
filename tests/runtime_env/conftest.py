# SPDX-License-Identifier: Apache-2.0
"""Each test has a cache of its own, and pip that asks no index."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that environments are made in."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SHOAL_CACHE_DIR", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    return folder
